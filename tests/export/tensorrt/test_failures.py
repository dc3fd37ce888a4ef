"""What goes wrong in a build, with the fakes: the message, and that nothing is left behind."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trt_fakes import RELEASES, Failures, installed

import edgereid.files
from edgereid.bundle import Bundle
from edgereid.errors import (
    EdgeReidError,
    InputError,
    MissingRuntimeError,
    StorageError,
)
from edgereid.export.tensorrt.build import build
from edgereid.export.tensorrt.options import BuildOptions

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.usefixtures("orin")
MakeBundle = Callable[..., Bundle]
Refused = Callable[..., str]
Contents = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def refused(contents: Contents) -> Callable[..., str]:
    """The message of a build that must fail, and leave the bundle as it was."""

    def run(bundle: Bundle, error: type[EdgeReidError], **options: Any) -> str:
        before = contents(bundle.directory)
        with pytest.raises(error) as caught:
            build(BuildOptions(bundle.directory, **options))
        assert contents(bundle.directory) == before
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return run


def test_without_tensorrt_the_line_says_where_to_get_it(
    make_bundle: MakeBundle, refused: Refused
) -> None:
    with installed(None):
        message = refused(make_bundle(), MissingRuntimeError)
    assert message.startswith("TensorRT is not installed here")


@pytest.mark.parametrize("release", RELEASES)
def test_without_a_gpu_the_line_says_so(
    release: str, make_bundle: MakeBundle, refused: Refused
) -> None:
    with installed(release, gpu=False):
        message = refused(make_bundle(), MissingRuntimeError)
    assert message.startswith("TensorRT found no usable GPU or driver")


@pytest.mark.parametrize("release", RELEASES)
def test_a_node_that_the_parser_does_not_know_is_named(
    release: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    proto = onnx.load(str(make_bundle().directory / "tensorrt.onnx"))
    zero = next(i for i in proto.graph.initializer if i.name == "zero")
    zero.CopyFrom(onnx.numpy_helper.from_array(np.int8(3), "zero"))
    onnx.save(proto, tmp_path / "x.onnx")
    with installed(release), pytest.raises(InputError) as caught:
        build(BuildOptions(tmp_path / "x.onnx", precision="int8"))
    assert "symmetric" in str(caught.value)
    assert ("/images/Q" in str(caught.value)) == (release != "8.6")
    assert not (tmp_path / "x-tensorrt").exists()


@pytest.mark.parametrize("release", RELEASES)
def test_the_parsers_own_words_reach_the_user(
    release: str, make_bundle: MakeBundle, refused: Refused
) -> None:
    with installed(release, failures=Failures(parser_errors=("Weights are empty.", "later"))):
        message = refused(make_bundle(), InputError)
    assert "cannot read" in message
    assert "node 0" in message
    assert "Weights are empty; `edgereid lint" in message
    assert "--trt-version " + ".".join(release.split(".")[:2]) in message
    assert ("(node_0, Op)" in message) == (release != "8.6")


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize(
    ("build_failure", "reason", "advice"),
    [
        ("memory", "OutOfMemory", "smaller --workspace"),
        ("tactic", "Could not find any implementation", "--level"),
        ("silent", "does not say why", "When a build fails"),
    ],
)
def test_a_build_that_gives_nothing_says_why_and_what_to_do(
    release: str,
    build_failure: str,
    reason: str,
    advice: str,
    make_bundle: MakeBundle,
    refused: Refused,
) -> None:
    with installed(release, failures=Failures(build=build_failure)) as fake:
        message = refused(make_bundle(), InputError)
        assert not fake.alive()
    assert reason in message
    assert advice in message


def test_a_full_disk_leaves_the_bundle_with_its_former_plan(
    make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch, contents: Contents
) -> None:
    bundle = make_bundle()
    options = BuildOptions(bundle.directory, precision="f32", overwrite=True)
    room: list[int] = []

    def flush(path: Path) -> None:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        room.pop()

    with installed("10.3"):
        build(BuildOptions(bundle.directory))
        before = contents(bundle.directory)
        monkeypatch.setattr(edgereid.files, "_flush", flush)
        # Each time one more of the writes finds room; two are the timing cache's, two the plan's,
        # two the manifest's.
        for writes in range(6):
            room[:] = range(writes)
            with pytest.raises(StorageError, match="disk is full"):
                build(options)
            assert contents(bundle.directory) == before
        room[:] = range(6)
        build(options)
    assert Bundle.open(bundle.directory).file("engine.plan").precision == "f32"


# --- Ctrl-C -----------------------------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
def test_ctrl_c_during_a_build_leaves_nothing_behind(
    release: str,
    make_bundle: MakeBundle,
    monkeypatch: pytest.MonkeyPatch,
    contents: Contents,
    orin: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from trt_fakes import build_checks

    bundle = make_bundle()
    before = contents(bundle.directory)
    steps = []

    def press(module: object, name: str) -> None:
        original = getattr(module, name)

        def pressed(*arguments: Any) -> Any:
            os.kill(os.getpid(), signal.SIGINT)
            result = original(*arguments)
            steps.append(result)
            return result

        monkeypatch.setattr(module, name, pressed)

    # where there is a monitor it stops the build; where there is none the build ends first
    press(build_checks, "monitored")
    with installed(release), pytest.raises(KeyboardInterrupt):
        build(BuildOptions(bundle.directory))
    assert steps == [release == "8.6"]
    assert contents(bundle.directory) == before
    assert not orin.exists()
    said = "cannot stop a build" if release == "8.6" else "stopping"
    assert said in capsys.readouterr().err


# --- the timing cache -------------------------------------------------------------------------


def cache_of(orin: Path, version: str = "10.3.0") -> Path:
    return orin / "edgereid" / "tensorrt" / f"{version}-orin-sm87.timing"


@pytest.mark.parametrize("release", RELEASES)
def test_what_was_measured_is_kept_for_the_next_build_of_this_device_and_release(
    release: str, make_bundle: MakeBundle, orin: Path
) -> None:
    directory = make_bundle().directory
    states = []
    for _ in range(2):
        with installed(release) as fake:
            built = build(BuildOptions(directory, overwrite=True))
            version = fake.world.api.version
        states.append(built.provenance["timing_cache"])
    name = cache_of(orin, version).name
    assert states == [{"file": name, "state": "new"}, {"file": name, "state": "loaded"}]
    assert [f.name for f in cache_of(orin).parent.iterdir()] == [name]
    assert b"conv" in cache_of(orin, version).read_bytes()


@pytest.mark.parametrize("damage", [b"", b"x", b"\0" * 1000, b"fake timing cache\n{"])
def test_a_damaged_cache_costs_a_note_and_is_replaced(
    damage: bytes, make_bundle: MakeBundle, orin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = cache_of(orin)
    path.parent.mkdir(parents=True)
    path.write_bytes(damage)
    with installed("10.3"):
        built = build(BuildOptions(make_bundle().directory))
    assert built.provenance["timing_cache"]["state"] == ("refused" if damage else "new")
    assert ("is not used" in capsys.readouterr().err) == bool(damage)
    assert b"conv" in path.read_bytes()
    assert built.provenance["warnings"] == []


def test_a_cache_of_another_device_or_release_is_never_taken(
    make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory, path = make_bundle().directory, tmp_path / "a.timing"
    states = []
    for release, device in (("10.3", "orin"), ("10.3", "h200"), ("10.13", "h200")):
        with installed(release, device=device):
            built = build(BuildOptions(directory, timing_cache=path, overwrite=True))
        states.append(built.provenance["timing_cache"]["state"])
    assert states == ["new", "refused", "refused"]
    assert capsys.readouterr().err.count("TensorRT measures anew") == 2


def test_a_cache_that_cannot_be_written_or_read_costs_a_note_and_no_plan(
    make_bundle: MakeBundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    with installed("10.3"):
        built = build(BuildOptions(make_bundle().directory, timing_cache=folder))
    said = capsys.readouterr().err
    assert "is not used" in said
    assert "is not kept" in said
    assert built.path.is_file()


def test_a_huge_cache_is_not_read(
    make_bundle: MakeBundle, orin: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = cache_of(orin)
    path.parent.mkdir(parents=True)
    with path.open("wb") as f:
        f.truncate(2**28 + 1)
    with installed("10.3"):
        build(BuildOptions(make_bundle().directory))
    assert "more than 256 MiB" in capsys.readouterr().err
    assert path.stat().st_size < 10_000


def test_without_the_devices_name_no_cache_is_kept(
    make_bundle: MakeBundle,
    orin: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("edgereid.export.tensorrt.device._load", lambda: object())
    with installed("10.3"):
        built = build(BuildOptions(make_bundle().directory))
    assert built.provenance["device"] is None
    assert built.provenance["timing_cache"] is None
    assert "name is unknown" in capsys.readouterr().err
    assert not orin.exists()
