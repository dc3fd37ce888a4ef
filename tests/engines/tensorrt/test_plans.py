"""Files that are no plan, plans of elsewhere, plans that bring code along."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from trt_fakes import Failures, Fake, installed

from edgereid.bundle import Manifest, describe_file, write_manifest
from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
from edgereid.engines.tensorrt.engine import TensorRTEngine
from edgereid.engines.tensorrt.plan_header import HEADER_BYTES
from edgereid.errors import InputError, IntegrityError
from edgereid.images import Preprocessing

Images = Callable[..., NDArray[np.float32]]
TRUST = EngineOptions(trust=True)


@pytest.fixture(params=["8.6", "11.4"])
def fake(request: pytest.FixtureRequest) -> Iterator[Fake]:
    """The oldest and the newest release; nothing may be left behind."""
    with installed(request.param) as one:
        yield one
        assert one.allocated() == []
        assert one.alive() == []


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_engine(path, TRUST)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert len(message) < 600
    assert "::" not in message
    return message


# Of another release, another GPU


@pytest.mark.parametrize(
    ("built", "here", "said"),
    [
        ("8.6", "10.3", "8.6.1"),
        ("10.3", "8.6", "10.3.0"),
        ("10.3", "10.13", "10.3.0"),
        ("10.16", "11.4", "10.16.1.11"),
        ("11.4", "10.16", "11.4.0.106"),
    ],
)
def test_a_plan_of_another_release_is_refused_with_both_versions(
    sample: Any, tmp_path: Path, built: str, here: str, said: str
) -> None:
    with installed(built):
        path = sample.write_plan(tmp_path / "engine.plan")
    with installed(here) as fake:
        message = refusal(path)
        assert f"TensorRT {fake.trt.__version__} cannot load" in message  # type: ignore[union-attr]
        assert f"it was built with TensorRT {said}: build it again on this device" in message
        assert fake.allocated() == []


@pytest.mark.parametrize("release", ["8.6", "11.4"])
def test_a_plan_of_another_gpu_is_refused_with_both_capabilities(
    sample: Any, tmp_path: Path, release: str
) -> None:
    with installed(release, device="t4"):
        path = sample.write_plan(tmp_path / "engine.plan")
    with installed(release, device="orin") as fake:
        assert (
            "it was built for a GPU of compute capability 7.5 and Orin here has 8.7: "
            "build it again on this device (`edgereid build`)"
        ) in refusal(path)
        assert fake.allocated() == []


#: What real releases were seen to log (issues of NVIDIA/TensorRT and others), and what is made of
#: it. The header in these cases says 10.3.0.0, as the fake wrote it.
LOGGED = {
    "6: The engine plan file is not compatible with this version of TensorRT, expecting library "
    "version 8.2.4 got 8.2.3, please rebuild.": "it was built with TensorRT 8.2.3: build",
    "6: The engine plan file is generated on an incompatible device, expecting compute 9.0 got "
    "compute 8.9, please rebuild.": "built for a GPU of compute capability 8.9 and Orin here",
    "1: [stdArchiveReader.cpp::StdArchiveReader::40] Error Code 1: Serialization (Serialization "
    "assertion stdVersionRead == serializationVersion failed.Version tag does not match. Note: "
    "Current Version: 213, Serialized Engine Version: 205)": "(format 205, needed is 213): build",
    "[runtime.cpp::parsePlan::314] Error Code 1: Serialization (Serialization assertion "
    "plan->header.magicTag == rt::kPLAN_MAGIC_TAG failed.)": "does not begin as a plan that it",
    "IPluginRegistry::getCreator: Error Code 4: Internal Error (Cannot find plugin: "
    "InstanceNormalization_TRT, version: 1)": "it needs a plugin that is not part of this",
    "[defaultAllocator.cpp::allocate::31] Error Code 1: Cuda Runtime (out of memory)": (
        "Cuda Runtime (out of memory): the device has too little free memory"
    ),
    "something that nobody has seen yet": "something that nobody has seen yet: it may be cut off",
}


@pytest.mark.parametrize("logged", LOGGED)
def test_what_tensorrt_logs_becomes_one_line_with_what_to_do(
    sample: Any, tmp_path: Path, logged: str
) -> None:
    with installed("10.3", failures=Failures(deserialize=logged)):
        message = refusal(sample.write_plan(tmp_path / "engine.plan"))
    assert LOGGED[logged] in message
    assert "Error Code" not in message


def test_a_header_of_another_release_is_told_where_tensorrt_does_not_tell(
    sample: Any, tmp_path: Path
) -> None:
    with installed("10.13"):
        path = sample.write_plan(tmp_path / "engine.plan")
    with installed("10.3", failures=Failures(deserialize="an assertion failed")):
        assert "its header says TensorRT 10.13.0.35 (an assertion failed): build" in refusal(path)


def test_tensorrt_that_raises_instead_of_logging_is_told_likewise(
    sample: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed("10.3") as fake:
        path = sample.write_plan(tmp_path / "engine.plan")

        def fail(self: Any, data: Any) -> Any:
            raise RuntimeError("std::bad_alloc")

        monkeypatch.setattr(fake.trt.Runtime, "deserialize_cuda_engine", fail)  # type: ignore[union-attr]
        with pytest.raises(InputError, match="bad_alloc"):
            open_engine(path, TRUST)


# No plan at all


def test_a_plan_that_was_cut_off_or_damaged_is_refused(
    fake: Fake, sample: Any, tmp_path: Path
) -> None:
    path = sample.write_plan(tmp_path / "engine.plan")
    whole = path.read_bytes()
    for size in (HEADER_BYTES, HEADER_BYTES + 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert "cut off or damaged; copy it again" in refusal(path)
    path.write_bytes(whole[:20])
    assert "has 20 bytes, less than the beginning of a plan" in refusal(path)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    assert "cut off or damaged" in refusal(path)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "an empty file"),
        (b"<html><body>404 not found</body></html>\n", "text or XML"),
        (b"PK\x03\x04" + bytes(60), "a zip archive"),
        (np.random.default_rng(0).bytes(3000), "does not begin as a plan"),
        (b"\x00" * 3000, "does not begin as a plan"),
    ],
)
def test_a_file_that_is_no_plan_is_refused_without_a_word_on_the_terminal(
    fake: Fake, tmp_path: Path, capfd: pytest.CaptureFixture[str], data: bytes, words: str
) -> None:
    path = tmp_path / "engine.plan"
    path.write_bytes(data)
    assert words in refusal(path)
    assert capfd.readouterr() == ("", "")


def test_an_onnx_file_called_plan_and_a_plan_behind_a_preface_are_told_apart(
    fake: Fake, sample: Any, tmp_path: Path
) -> None:
    path = sample.write_onnx(tmp_path / "engine.plan")
    assert "ONNX file: build a plan from it" in refusal(path)
    plan = sample.write_plan(path).read_bytes()
    preface = b'{"task": "embed"}'
    path.write_bytes(struct.pack("<I", len(preface)) + preface + plan)
    assert f"a plan behind {4 + len(preface)} bytes of another tool's" in refusal(path)


def test_a_plan_that_cannot_be_read_says_why(
    fake: Fake, sample: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = sample.write_plan(tmp_path / "engine.plan")

    def fail(self: Path) -> bytes:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)
    assert "cannot read" in refusal(path)


# Another kind of network


def other_networks() -> dict[str, tuple[Any, str]]:
    from onnx import helper

    def model(inputs: Any, outputs: Any, nodes: Any) -> Any:
        graph = helper.make_graph(
            nodes,
            "other",
            [helper.make_tensor_value_info(n, t, s) for n, t, s in inputs],
            [helper.make_tensor_value_info(n, t, s) for n, t, s in outputs],
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    flatten = helper.make_node("Flatten", ["x"], ["y"])
    both = [flatten, helper.make_node("Relu", ["x"], ["z"])]
    image = ("x", 1, [2, 3, 4, 4])
    vector = ("y", 1, [2, 48])
    return {
        "one channel": (
            model([("x", 1, [2, 1, 4, 4])], [("y", 1, [2, 16])], [flatten]),
            "it takes 2x1x4x4 float32 and gives 2x16 float32",
        ),
        "two outputs": (
            model([image], [vector, ("z", 1, [2, 3, 4, 4])], both),
            "gives 2x48 float32, 2x3x4x4 float32",
        ),
        "half precision": (
            model([("x", 10, [2, 3, 4, 4])], [("y", 10, [2, 48])], [flatten]),
            "it takes 2x3x4x4 float16 and gives 2x48 float16",
        ),
        "a map": (
            model([image], [("y", 1, [2, 3, 4, 4])], [helper.make_node("Identity", ["x"], ["y"])]),
            "gives 2x3x4x4 float32",
        ),
    }


@pytest.mark.parametrize("which", sorted(other_networks()))
def test_a_network_that_embeds_no_images_is_refused_and_freed(
    fake: Fake, tmp_path: Path, plan_bytes: Any, which: str
) -> None:
    model, words = other_networks()[which]
    path = tmp_path / "engine.plan"
    path.write_bytes(plan_bytes(model))
    with pytest.raises(InputError, match="no embedding network") as caught:
        open_engine(path, TRUST)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("method", "enum", "value", "words"),
    [
        ("get_tensor_location", "TensorLocation", "HOST", "in the processor's memory"),
        ("get_tensor_format", "TensorFormat", "HWC8", "is laid out as"),
        ("get_tensor_dtype", "DataType", "BOOL", "it takes Nx3x32x16 ?"),
    ],
)
def test_tensors_that_could_be_misread_are_refused(
    fake: Fake,
    sample: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    enum: str,
    value: str,
    words: str,
) -> None:
    path = sample.write_plan(tmp_path / "engine.plan")
    trt: Any = fake.trt
    answer = getattr(getattr(trt, enum), value)
    monkeypatch.setattr(trt.ICudaEngine, method, lambda self, name: answer)
    with pytest.raises(InputError) as caught:
        open_engine(path, TRUST)
    assert words in str(caught.value)


# Plans that bring code along


def vouch(path: Path) -> None:
    entry = describe_file(path, "engine", "tensorrt", "f32")
    write_manifest(path.parent, Manifest("sample", 16, Preprocessing(32, 16), (entry,)))


@pytest.mark.parametrize(("built", "here"), [("8.6", "8.6"), ("8.6", "10.3"), ("10.16", "11.4")])
def test_a_version_compatible_plan_runs_where_it_is_vouched_for_or_trusted(
    sample: Any, images: Images, tmp_path: Path, built: str, here: str
) -> None:
    with installed(built):
        path = sample.write_plan(tmp_path / "engine.plan", flags=["VERSION_COMPATIBLE"])
    with installed(here):
        with pytest.raises(IntegrityError, match="native code and no manifest vouches"):
            open_engine(path)
        with open_engine(path, TRUST) as engine:
            np.testing.assert_allclose(engine.run(images(2)), sample.embed(images(2)), atol=1e-4)
        vouch(path)
        with open_engine(path) as engine:
            assert engine.info.details["plan_header_version"].startswith(built)


def test_code_in_a_plan_is_allowed_to_none_that_is_neither_vouched_for_nor_trusted(
    fake: Fake, sample: Any, tmp_path: Path
) -> None:
    """Also when the engine is made by itself, around ``open_engine``."""
    path = sample.write_plan(tmp_path / "engine.plan", flags=["VERSION_COMPATIBLE"])
    with pytest.raises(InputError, match="setEngineHostCodeAllowed"):
        TensorRTEngine(path, EngineOptions())
    vouch(path)
    TensorRTEngine(path, EngineOptions()).close()
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(IntegrityError, match="is not the file its manifest vouches for"):
        TensorRTEngine(path, EngineOptions())


def test_a_plan_in_a_bundle_that_does_not_list_it_needs_trust(
    fake: Fake, sample: Any, tmp_path: Path
) -> None:
    path = sample.write_plan(tmp_path / "engine.plan")
    vouch(path)
    other = path.rename(tmp_path / "other.plan")
    sample.write_plan(path)
    with pytest.raises(IntegrityError, match="not listed"):
        open_engine(other)
    with open_engine(other, TRUST) as engine:
        assert engine.info.precision == "unknown"
