"""From paths to rows: which engines are measured, which are left out and why."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from edgereid.bench.candidates import candidates_of, file_bytes, resolve
from edgereid.bench.opening import open_all, reference_of
from edgereid.bundle import Manifest, describe_file, write_manifest
from edgereid.engines.base import Engine, EngineOptions
from edgereid.errors import InputError, IntegrityError, MissingRuntimeError, UsageError
from edgereid.images import Preprocessing

FILES = (
    ("weights.safetensors", "weights", None, None),
    ("model.onnx", "float", "onnxruntime", "f32"),
    ("calibration.json", "calibration", None, None),
    ("engine.onnx", "engine", "onnxruntime", "int8"),
    ("engine.xml", "engine", "openvino", "int8"),
    ("engine.bin", "data", None, None),
)


def make_bundle(directory: Path) -> Path:
    directory.mkdir(parents=True)
    for name, *_ in FILES:
        (directory / name).write_bytes(name.encode() * 10)
    files = tuple(describe_file(directory / n, role, rt, p) for n, role, rt, p in FILES)
    write_manifest(directory, Manifest("dslnet", 24, Preprocessing(64, 32), files))
    return directory


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "dslnet-int8")


def rows_of(candidates: list[Any]) -> list[tuple[str, str | None, str | None]]:
    return [(c.path.name, c.runtime, c.stated_precision) for c in candidates]


def test_a_bundle_stands_for_its_float_network_everywhere_and_for_its_engines(bundle: Path) -> None:
    assert rows_of(resolve([bundle])) == [
        ("weights.safetensors", "eager", "f32"),
        ("model.onnx", "onnxruntime", "f32"),
        ("model.onnx", "openvino", "f32"),
        ("model.onnx", "openvino", "bf16"),
        ("engine.onnx", "onnxruntime", "int8"),
        ("engine.xml", "openvino", "int8"),
    ]
    assert [c.under_test for c in resolve([bundle])] == [False] * 4 + [True] * 2
    assert not any(c.named for c in resolve([bundle]))


def test_only_a_departure_from_the_file_is_asked_of_the_runtime(bundle: Path) -> None:
    assert [c.precision for c in resolve([bundle])] == [None, None, None, "bf16", None, None]


def test_a_file_in_a_bundle_brings_the_float_network_along(bundle: Path) -> None:
    found = resolve([bundle / "engine.xml"])
    assert rows_of(found) == [
        ("weights.safetensors", "eager", "f32"),
        ("model.onnx", "onnxruntime", "f32"),
        ("model.onnx", "openvino", "f32"),
        ("engine.xml", "openvino", "int8"),
    ]
    assert [c.named for c in found] == [False, False, False, True]
    assert found[-1].preprocessing == Preprocessing(64, 32)


def test_a_bundle_and_a_file_in_it_give_each_row_once(bundle: Path) -> None:
    found = resolve([bundle, bundle / "engine.onnx", bundle])
    assert len(found) == 6
    assert [c.path.name for c in found if c.named] == ["engine.onnx"]


def test_runtimes_limit_a_bundle_and_choose_for_a_file(bundle: Path) -> None:
    assert {c.runtime for c in resolve([bundle], ["openvino"])} == {"openvino"}
    named = [c for c in resolve([bundle / "engine.onnx"], ["openvino"]) if c.named]
    assert rows_of(named) == [("engine.onnx", "openvino", "int8")]


def test_a_bare_file_has_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "osnet.onnx").write_bytes(b"x")
    (candidate,) = resolve([tmp_path / "osnet.onnx"])
    assert (candidate.group, candidate.preprocessing, candidate.runtime) == ("", None, None)
    assert candidate.named


def test_bundles_of_one_name_stay_apart(tmp_path: Path) -> None:
    first = make_bundle(tmp_path / "a" / "dslnet-int8")
    second = make_bundle(tmp_path / "b" / "dslnet-int8")
    found = resolve([first, second])
    assert [c.group for c in found] == ["dslnet-int8"] * 6 + ["dslnet-int8 #2"] * 6
    assert len({c.key for c in found}) == 12


def test_an_engine_weighs_as_much_as_all_its_files(bundle: Path) -> None:
    assert file_bytes(bundle / "engine.xml") == 2 * len("engine.xml") * 10
    assert file_bytes(bundle / "engine.onnx") == len("engine.onnx") * 10


@pytest.mark.parametrize(
    ("name", "error", "why"),
    [
        ("nothing", InputError, "does not exist"),
        ("calibration.json", InputError, "no engine"),
        ("engine.bin", InputError, "no engine"),
        ("stray.onnx", IntegrityError, "not listed"),
    ],
)
def test_what_is_no_engine_is_refused(
    bundle: Path, name: str, error: type[Exception], why: str
) -> None:
    if name == "stray.onnx":
        (bundle / name).write_bytes(b"x")
    with pytest.raises(error, match=why):
        candidates_of(bundle / name)


def test_a_changed_byte_is_refused(bundle: Path) -> None:
    (bundle / "engine.onnx").write_bytes(b"X" + (bundle / "engine.onnx").read_bytes()[1:])
    with pytest.raises(IntegrityError, match=r"engine\.onnx"):
        resolve([bundle])


def test_an_unknown_runtime_and_an_empty_choice_are_refused(bundle: Path) -> None:
    with pytest.raises(UsageError, match="Known: eager"):
        resolve([bundle], ["tflite"])
    with pytest.raises(UsageError, match="no engine for tensorrt"):
        resolve([bundle], ["tensorrt"])


class Opener:
    """Opens fakes; ``failures`` maps (file name, runtime, precision) to what is raised."""

    def __init__(self, fake_engine: Any, failures: dict[Any, Any] | None = None) -> None:
        self.fake_engine, self.failures = fake_engine, failures or {}

    def __call__(self, path: Path, options: EngineOptions, runtime: str | None) -> Engine:
        precision = options.precision or ("int8" if path.name.startswith("engine") else "f32")
        error = self.failures.get((path.name, runtime, options.precision))
        if isinstance(error, str):
            precision = error
        elif error is not None:
            raise error
        engine: Engine = self.fake_engine(runtime or "onnxruntime", precision)
        return engine


def test_what_cannot_run_here_is_left_out_with_the_reason(bundle: Path, fake_engine: Any) -> None:
    failures = {
        ("weights.safetensors", "eager", None): MissingRuntimeError("torch is not installed."),
        ("model.onnx", "openvino", "bf16"): UsageError("no bf16 arithmetic here."),
    }
    with ExitStack() as stack:
        opened, left_out = open_all(
            resolve([bundle]), EngineOptions(), stack, Opener(fake_engine, failures)
        )
    assert [o.label for o in opened] == [
        "ONNX Runtime FP32", "OpenVINO FP32", "ONNX Runtime INT8", "OpenVINO INT8",
    ]  # fmt: skip
    assert [(x.label, x.reason) for x in left_out] == [
        ("PyTorch eager FP32 (dslnet-int8/weights.safetensors)", "torch is not installed."),
        ("OpenVINO bf16 (dslnet-int8/model.onnx)", "no bf16 arithmetic here."),
    ]


def test_bf16_that_silently_runs_as_float_is_left_out(bundle: Path, fake_engine: Any) -> None:
    opener = Opener(fake_engine, {("model.onnx", "openvino", "bf16"): "f32"})
    with ExitStack() as stack:
        opened, left_out = open_all(resolve([bundle]), EngineOptions(), stack, opener)
    assert "OpenVINO bf16" not in [o.label for o in opened]
    assert "runs it as f32" in left_out[0].reason


def test_a_file_the_user_named_must_open(bundle: Path, fake_engine: Any) -> None:
    missing = MissingRuntimeError("openvino is not installed.")
    opener = Opener(fake_engine, {("engine.xml", "openvino", None): missing})
    with ExitStack() as stack, pytest.raises(MissingRuntimeError, match="openvino"):
        open_all(resolve([bundle / "engine.xml"]), EngineOptions(), stack, opener)


def test_a_damaged_file_is_never_merely_left_out(bundle: Path, fake_engine: Any) -> None:
    opener = Opener(fake_engine, {("engine.xml", "openvino", None): IntegrityError("changed.")})
    with ExitStack() as stack, pytest.raises(IntegrityError):
        open_all(resolve([bundle]), EngineOptions(), stack, opener)


def test_when_nothing_opens_the_first_reason_is_the_error(bundle: Path, fake_engine: Any) -> None:
    error = MissingRuntimeError("onnxruntime is not installed.")
    only = resolve([bundle], ["onnxruntime"])
    opener = Opener(fake_engine, {(c.path.name, "onnxruntime", None): error for c in only})
    with ExitStack() as stack, pytest.raises(MissingRuntimeError, match="onnxruntime"):
        open_all(only, EngineOptions(), stack, opener)


def test_the_reference_is_the_float_row_of_the_same_bundle(
    tmp_path: Path, bundle: Path, fake_engine: Any
) -> None:
    other = make_bundle(tmp_path / "other")
    (tmp_path / "bare.onnx").write_bytes(b"x")
    no_float = {("model.onnx", r, p): InputError("no") for r in ("onnxruntime", "openvino")
                for p in (None, "bf16")}  # fmt: skip
    no_float[("weights.safetensors", "eager", None)] = InputError("no")

    class OnlyFirst(Opener):
        def __call__(self, path: Path, options: EngineOptions, runtime: str | None) -> Engine:
            self.failures = no_float if path.parent == other else {}
            return super().__call__(path, options, runtime)

    with ExitStack() as stack:
        candidates = resolve([bundle, other, tmp_path / "bare.onnx"])
        opened, _ = open_all(candidates, EngineOptions(), stack, OnlyFirst(fake_engine))
    references = {o.label: reference_of(o, opened) for o in opened}
    first = "dslnet-int8/model.onnx:onnxruntime"
    assert references["dslnet-int8: OpenVINO INT8"] == first
    assert references["dslnet-int8: PyTorch eager FP32"] == first
    assert references["other: OpenVINO INT8"] is None  # another network's accuracy says nothing
    assert references["bare.onnx: ONNX Runtime FP32"] == "bare.onnx"


def test_eager_is_the_reference_where_onnx_runtime_is_missing(
    bundle: Path, fake_engine: Any
) -> None:
    missing = MissingRuntimeError("no")
    failures = {(n, "onnxruntime", None): missing for n in ("model.onnx", "engine.onnx")}
    with ExitStack() as stack:
        opened, _ = open_all(
            resolve([bundle]), EngineOptions(), stack, Opener(fake_engine, failures)
        )
    assert {reference_of(o, opened) for o in opened} == {"dslnet-int8/weights.safetensors:eager"}


def test_engines_are_closed_when_one_fails(bundle: Path, fake_engine: Any) -> None:
    made: list[Engine] = []

    def opener(path: Path, options: EngineOptions, runtime: str | None) -> Engine:
        if path.name == "engine.xml":
            raise IntegrityError("changed.")
        made.append(fake_engine(runtime, options.precision or "f32"))
        return made[-1]

    with pytest.raises(IntegrityError), ExitStack() as stack:
        open_all(resolve([bundle]), EngineOptions(), stack, opener)
    assert len(made) == 5
    with pytest.raises(UsageError, match="closed"):
        made[0].run(None)  # type: ignore[arg-type]
