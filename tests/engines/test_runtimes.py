"""What is particular to one runtime."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgereid.bundle import Manifest, describe_file, write_manifest
from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
from edgereid.errors import InputError, UsageError
from edgereid.images import Preprocessing

Images = Callable[..., NDArray[np.float32]]


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_file_with_a_fixed_batch_takes_that_batch_only(
    sample: Any, images: Images, tmp_path: Path, runtime: str
) -> None:
    pytest.importorskip(runtime)
    path = sample.write_onnx(tmp_path / "net.onnx", batch=2)
    with open_engine(path, runtime=runtime) as engine:
        assert engine.inputs[0].shape[0] == 2
        np.testing.assert_allclose(engine.run(images(2)), sample.embed(images(2)), atol=1e-4)
        with pytest.raises(InputError, match=r"takes 2x3x32x16, got 3x3x32x16 \(batch size\)"):
            engine.run(images(3))


@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_a_file_that_leaves_the_image_size_open_runs_and_says_so(
    sample: Any, images: Images, tmp_path: Path, runtime: str
) -> None:
    pytest.importorskip(runtime)
    model = sample.onnx()
    for axis, name in ((2, "H"), (3, "W")):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_param = name
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    with open_engine(path, runtime=runtime) as engine:
        assert engine.inputs[0].shape == (None, 3, None, None)
        np.testing.assert_allclose(engine.run(images(2)), sample.embed(images(2)), atol=1e-4)
        assert engine.run(images(2, (48, 40))).shape == (2, 16)
        with pytest.raises(InputError, match="no fixed height and width"):
            _ = engine.input_size


# OpenVINO


def test_openvino_compiles_for_a_few_batch_sizes_and_no_more(
    sample: Any, images: Images, tmp_path: Path
) -> None:
    pytest.importorskip("openvino")
    from edgereid.engines.openvino import MAX_SPECIALISED, OpenVINOEngine

    engine = open_engine(sample.write_xml(tmp_path / "net.xml"))
    assert isinstance(engine, OpenVINOEngine)
    assert set(engine._requests) == {1}
    for count in range(1, 12):
        expected = sample.embed(images(count, seed=count))
        np.testing.assert_allclose(engine.run(images(count, seed=count)), expected, atol=1e-4)
        assert len(engine._requests) <= MAX_SPECIALISED + 1
    assert set(engine._requests) == {1, 2, 3, 4, None}


def test_openvino_refuses_arithmetic_the_processor_does_not_have(
    sample: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino")
    from edgereid.engines import openvino

    path = sample.write_xml(tmp_path / "net.xml")
    core = openvino._core()

    class PlainCore:
        """A processor with f32 only."""

        def get_property(self, device: str, name: str) -> Any:
            return ["FP32", "INT8"] if "CAPABILITIES" in name else "Plain 2000"

        def __getattr__(self, name: str) -> Any:
            return getattr(core, name)

    monkeypatch.setattr(openvino, "_core", PlainCore)
    with pytest.raises(UsageError, match=r"\(Plain 2000\) has no bf16 arithmetic.*use f32"):
        open_engine(path, EngineOptions(precision="bf16"))
    assert open_engine(path).info.precision == "f32"  # and f32 is what it is, not a guess


def test_a_signal_finds_the_process_whole_after_openvino_engines_were_closed_in_any_order(
    sample: Any, tmp_path: Path
) -> None:
    """Two cores of OpenVINO gone in the order they came took the thread's signal stack along:
    the next Ctrl-C was a segmentation fault. Python's own handlers run on that stack."""
    pytest.importorskip("openvino")
    code = (
        "import gc, signal, sys\n"
        "from pathlib import Path\n"
        "import faulthandler; faulthandler.enable()\n"  # as pytest does: a stack of its own
        "from edgereid.engines.open import open_engine\n"
        "signal.signal(signal.SIGINT, lambda *_: print('met'))\n"
        "first, second = (open_engine(Path(sys.argv[1])) for _ in range(2))\n"
        "first.close(); del first; gc.collect()\n"
        "second.close(); del second; gc.collect()\n"
        "signal.raise_signal(signal.SIGINT)\n"
    )
    words = [sys.executable, "-c", code, str(sample.write_xml(tmp_path / "net.xml"))]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "met\n"), done.stderr


def test_openvino_tells_what_the_weighted_layers_run_in(sample: Any, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    with open_engine(sample.write_xml(tmp_path / "f32.xml")) as engine:
        assert engine.info.details["weighted_layers"] == {"f32": 2}
    with open_engine(sample.write_xml(tmp_path / "int8.xml", int8=True)) as engine:
        layers = engine.info.details["weighted_layers"]
        assert sum(layers.values()) == 2
        assert layers.get("u8", 0) + layers.get("i8", 0) == 1


# Eager PyTorch


@pytest.fixture
def weights(sample: Any, registered: str, tmp_path: Path) -> Path:
    return Path(sample.write_safetensors(tmp_path / "net.safetensors"))


@pytest.fixture(scope="module")
def dslnet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """DSLNet with random weights as a safetensors file that says what it is."""
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    from edgereid.models.registry import build

    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / "dslnet.safetensors"
    save_file(build("dslnet").state_dict(), path, metadata={"network": "dslnet"})
    return path


def test_eager_leaves_the_threads_of_the_process_as_they_were(
    weights: Path, images: Images
) -> None:
    torch = pytest.importorskip("torch")
    before = torch.get_num_threads()
    with open_engine(weights, EngineOptions(threads=before + 1)) as engine:
        engine.run(images(1))
    assert torch.get_num_threads() == before


def test_eager_leaves_no_gradients_behind_and_is_in_evaluation_mode(
    dslnet_weights: Path, images: Images
) -> None:
    with open_engine(dslnet_weights, EngineOptions(threads=1)) as engine:
        assert engine.input_size == (256, 128)
        batch = images(2, (256, 128))
        together, alone = engine.run(batch), engine.run(batch[:1])
    assert together.shape == (2, 512)
    # Batch statistics of training mode would make an image's embedding depend on its neighbours.
    np.testing.assert_allclose(together[:1], alone, atol=1e-4 * float(np.abs(together).max()))


def rewritten(path: Path, metadata: dict[str, str] | None, **changes: Any) -> Path:
    """The same tensors with some replaced, removed (None) or added."""
    from safetensors.numpy import load_file, save_file

    tensors = {**load_file(path), **changes}
    save_file({k: v for k, v in tensors.items() if v is not None}, path, metadata=metadata)
    return path


SAMPLE = {"network": "sample"}


@pytest.mark.parametrize(
    ("metadata", "changes", "error", "message"),
    [
        (None, {}, InputError, "does not say which network"),
        ({"network": "resnet1"}, {}, UsageError, "unknown network 'resnet1'"),
        (SAMPLE, {"fc.weight": None}, InputError, r"1 missing \(such as fc\.weight\)"),
        (SAMPLE, {"x": np.zeros(1, np.float32)}, InputError, r"1 unknown \(such as x\)"),
        (SAMPLE, {"fc.weight": np.zeros((2, 8), np.float32)}, InputError, "1 of another shape"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(
    weights: Path,
    metadata: dict[str, str] | None,
    changes: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        open_engine(rewritten(weights, metadata, **changes))


def test_in_a_bundle_the_manifest_says_which_network_it_is(
    weights: Path, sample: Any, images: Images
) -> None:
    rewritten(weights, None)
    files = (describe_file(weights, "weights"),)
    write_manifest(weights.parent, Manifest("sample", 16, Preprocessing(32, 16), files))
    with open_engine(weights) as engine:
        np.testing.assert_allclose(engine.run(images(2)), sample.embed(images(2)), atol=1e-4)
