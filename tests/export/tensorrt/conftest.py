"""A small embedding network with a mean of powers and an L2 norm, float and Q/DQ, in a bundle."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.bundle import Bundle, Manifest, describe_file, write_manifest
from edgereid.calibration.scheme import Range
from edgereid.calibration.table import CalibrationTable, Entry
from edgereid.images import Preprocessing

onnx = pytest.importorskip("onnx")
SIZE = (16, 8)
#: The nodes of ``small_network`` whose numbers leave FP16's range.
FLOAT32 = ("/gem/Pow", "/norm/ReduceL2")


def small_network(quantized: bool = False, batch: int | str = "batch", opset: int = 17) -> Any:
    """images (N, 3, 16, 8) -> conv -> pool -> GeM -> L2 norm -> features (N, 4)."""
    rng = np.random.default_rng(3)
    make, helper = onnx.numpy_helper.from_array, onnx.helper
    constants: dict[str, Any] = {
        "conv.weight": rng.normal(size=(4, 3, 3, 3)).astype(np.float32),
        "three": np.float32(3.0),
        "third": np.float32(1 / 3),
        "floor": np.float32(1e-6),
        "eps": np.float32(1e-12),
    }
    image, weight = "images", "conv.weight"
    nodes = []
    if quantized:
        constants |= {
            "images.scale": np.float32(0.02),
            "weight.scale": np.float32(0.03),
            "zero": np.int8(0),
        }
        for name, scale in (("images", "images.scale"), ("conv.weight", "weight.scale")):
            nodes += [
                helper.make_node("QuantizeLinear", [name, scale, "zero"], [f"{name}.q"]),
                helper.make_node("DequantizeLinear", [f"{name}.q", scale, "zero"], [f"{name}.dq"]),
            ]
            nodes[-2].name, nodes[-1].name = f"/{name}/Q", f"/{name}/DQ"
        image, weight = "images.dq", "conv.weight.dq"
    rows = [
        ("Conv", "/conv/Conv", [image, weight], "c", {"kernel_shape": [3, 3], "pads": [1] * 4}),
        ("MaxPool", "/pool/MaxPool", ["c"], "d", {"kernel_shape": [2, 2], "strides": [2, 2]}),
        ("Clip", "/gem/Clip", ["d", "floor"], "cc", {}),
        ("Pow", "/gem/Pow", ["cc", "three"], "p", {}),
        ("ReduceMean", "/gem/ReduceMean", ["p"], "m", {"axes": [2, 3], "keepdims": 0}),
        ("Pow", "/gem/Pow_1", ["m", "third"], "g", {}),
        ("ReduceL2", "/norm/ReduceL2", ["g"], "n", {"axes": [1], "keepdims": 1}),
        ("Clip", "/norm/Clip", ["n", "eps"], "nn", {}),
        ("Div", "/norm/Div", ["g", "nn"], "features", {}),
    ]
    nodes += [helper.make_node(op, ins, [out], name=n, **kw) for op, n, ins, out, kw in rows]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("images", 1, [batch, 3, *SIZE])],
        [helper.make_tensor_value_info("features", 1, [batch, 4])],
        [make(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.fixture
def network() -> Callable[..., Any]:
    return small_network


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Bundle]:
    """A bundle in ``tmp_path``; ``leave`` leaves out files."""

    def make(name: str = "bundle", leave: tuple[str, ...] = ()) -> Bundle:
        directory = tmp_path / name
        directory.mkdir()
        files = []
        rows = {
            "model.onnx": (small_network(), "float", "onnxruntime", "f32"),
            "tensorrt.onnx": (small_network(quantized=True), "data", None, "int8"),
            "engine.onnx": (small_network(quantized=True), "engine", "onnxruntime", "int8"),
        }
        for file, (model, *what) in rows.items():
            if file not in leave:
                (directory / file).write_bytes(model.SerializeToString(deterministic=True))
                files.append(describe_file(directory / file, *what))
        if "calibration.json" not in leave:
            seen = Entry(-2.1, 2.6, 7, "mse", {"int8": Range(-2.54, 2.54)})
            CalibrationTable({"images": seen}).save(directory / "calibration.json")
            files.append(describe_file(directory / "calibration.json", "calibration"))
        manifest = Manifest("small", 4, Preprocessing(*SIZE), tuple(files))
        return write_manifest(directory, manifest)

    return make


class Driver:
    """libcuda's four functions, as ``ctypes`` calls them. ``failing``: the one that gives an
    error."""

    def __init__(self, name: bytes, compute: tuple[int, int], failing: str = "") -> None:
        self.name, self.compute, self.failing = name, compute, failing

    def _status(self, function: str) -> int:
        return 100 if function == self.failing else 0

    def cuInit(self, flags: int) -> int:  # noqa: N802
        assert flags == 0
        return self._status("cuInit")

    def cuDeviceGet(self, handle: Any, ordinal: int) -> int:  # noqa: N802
        assert ordinal == 0
        handle._obj.value = 7
        return self._status("cuDeviceGet")

    def cuDeviceGetName(self, name: Any, length: int, handle: Any) -> int:  # noqa: N802
        assert handle.value == 7
        name.value = self.name[: length - 1]
        return self._status("cuDeviceGetName")

    def cuDeviceGetAttribute(self, value: Any, what: int, handle: Any) -> int:  # noqa: N802
        assert handle.value == 7
        value._obj.value = self.compute[{75: 0, 76: 1}[what]]
        return self._status("cuDeviceGetAttribute")


@pytest.fixture
def make_driver() -> type[Driver]:
    return Driver


@pytest.fixture
def orin(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The driver says that the GPU is an Orin; the user's cache folder is a new one, and is
    given."""
    monkeypatch.setattr("edgereid.export.tensorrt.device._load", lambda: Driver(b"Orin", (8, 7)))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """Every file in a folder."""

    def read(folder: Path) -> dict[str, bytes]:
        files = (f for f in folder.rglob("*") if f.is_file())
        return {str(f.relative_to(folder)): f.read_bytes() for f in files}

    return read
