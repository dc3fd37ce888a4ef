"""Graphs that break FP16 in one way each, and an evaluator that rounds to FP16 at every step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

onnx = pytest.importorskip("onnx")
from onnx import helper, numpy_helper  # noqa: E402
from onnx.reference import ReferenceEvaluator  # noqa: E402


class Sketch:
    """Adds nodes to a graph whose input is ``images``; every method returns a tensor's name."""

    def __init__(self, shape: Any = ("batch", 8, 6, 4), opset: int = 17, dtype: int = 1) -> None:
        self.shape, self.opset, self.dtype = shape, opset, dtype
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def const(self, value: Any, name: str = "") -> str:
        array = value if isinstance(value, np.ndarray | np.generic) else np.float32(value)
        self.constants.append(
            numpy_helper.from_array(np.asarray(array), name or f"c{len(self.constants)}")
        )
        return str(self.constants[-1].name)

    def op(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> str:
        name = f"{kind}{len(self.nodes)}"
        outs = [name, *(f"{name}:{i}" for i in range(1, outputs))]
        domain = attributes.pop("domain", "")
        self.nodes.append(
            helper.make_node(kind, list(inputs), outs, name=name, domain=domain, **attributes)
        )
        return name

    def conv(self, x: str, i: int = 8, o: int = 8, scale: float = 0.2) -> str:
        rng = np.random.default_rng(len(self.nodes))
        weight = self.const((rng.normal(size=(o, i, 1, 1)) * scale).astype(np.float32))
        return self.op("Conv", x, weight, kernel_shape=[1, 1])

    def pair(self, x: str, scale: float) -> str:
        """QuantizeLinear and DequantizeLinear, one scale."""
        given = [self.const(np.float32(scale)), self.const(np.int8(0))]
        return self.op("DequantizeLinear", self.op("QuantizeLinear", x, *given), *given)

    def weight(self, levels: NDArray[Any], scale: Any) -> str:
        """DequantizeLinear of stored integers, a scale for each output channel."""
        zero = np.zeros(len(levels), levels.dtype)
        given = [self.const(v) for v in (levels, np.asarray(scale, np.float32), zero)]
        return self.op("DequantizeLinear", *given, axis=0)

    def model(self, *outs: str) -> Any:
        graph = helper.make_graph(
            self.nodes,
            "sketch",
            [helper.make_tensor_value_info("images", self.dtype, self.shape)],
            [onnx.ValueInfoProto(name=o) for o in outs],
            self.constants,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8
        )
        inferred = onnx.shape_inference.infer_shapes(model).graph
        del model.graph.output[:]
        model.graph.output.extend(inferred.output)
        return model


def _run_half(model: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first result by ONNX's reference: what is typed float16 is rounded to it and overflows
    as it does; nothing is fused and no cast is left out (ONNX Runtime does both on a CPU)."""
    with np.errstate(all="ignore"):
        out = ReferenceEvaluator(model).run(None, {"images": images})[0]
    return np.asarray(out)


def _naive(model: Any) -> Any:
    """Everything float16 but the inputs and outputs, without a thought."""
    from edgereid.export.lint.view import View
    from edgereid.export.typed.assign import HALF
    from edgereid.export.typed.opset import raised
    from edgereid.export.typed.rules import is_float
    from edgereid.export.typed.writer import Writer

    view = View(raised(model))
    types = {i: HALF for i, n in enumerate(view.nodes) if is_float(view, n)}
    return Writer(view, types, "float32").write()


def _centred_cosine(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The smallest cosine of two sets of features (N, D), the mean of ``b`` taken away."""
    a, b = a.astype(np.float64) - b.mean(0), b.astype(np.float64) - b.mean(0)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(1) / norms).min())


def _run(model: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:
    """The first result by ONNX Runtime."""
    ort = pytest.importorskip("onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0])


@pytest.fixture(scope="session")
def sketch() -> type[Sketch]:
    return Sketch


@pytest.fixture(scope="session")
def run() -> Callable[..., NDArray[Any]]:
    return _run


@pytest.fixture(scope="session")
def run_half() -> Callable[..., NDArray[Any]]:
    return _run_half


@pytest.fixture(scope="session")
def naive() -> Callable[[Any], Any]:
    return _naive


@pytest.fixture(scope="session")
def centred_cosine() -> Callable[..., float]:
    return _centred_cosine
