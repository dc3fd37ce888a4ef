"""Small graphs as others export them, made with onnx.helper."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper, numpy_helper  # noqa: E402


@dataclass
class Foreign:
    """Adds layers to a graph; every method returns the name of its output."""

    opset: int = 17
    ir: int = 8
    batch: int | str = "n"
    size: tuple[Any, Any] = (8, 4)
    source: str = "input.1"
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(3))
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        out = f"t{len(self.nodes)}"
        label = kind.lower() + f"_{len(self.nodes)}" if name is None else name
        self.nodes.append(helper.make_node(kind, list(inputs), [out], name=label, **attributes))
        return out

    def constant(self, value: Any, dtype: Any = np.float32, name: str | None = None) -> str:
        name = name or f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype=dtype), name))
        return name

    def shape(self, *sizes: int) -> str:
        return self.constant(sizes, np.int64)

    def normal(self, *shape: int) -> str:
        return self.constant(self.rng.normal(size=shape) / np.sqrt(np.prod(shape[1:])))

    def conv(self, x: str, i: int, o: int, k: int = 1, **attributes: Any) -> str:
        return self.op("Conv", x, self.normal(o, i, k, k), pads=[k // 2] * 4, **attributes)

    def norm(self, x: str, channels: int) -> str:
        around = [self.constant(self.rng.uniform(0.5, 1.5, channels)) for _ in range(4)]
        return self.op("BatchNormalization", x, *around, epsilon=1e-3)

    def stem(self, channels: int = 6) -> str:
        return self.op("Relu", self.conv(self.source, 3, channels, 3))

    def pooled(self, x: str) -> str:
        return self.op("GlobalAveragePool", x)

    def flat(self, x: str) -> str:
        return self.op("Flatten", x)

    def model(self, *outputs: str, shapes: Any = None, dtype: int = TensorProto.FLOAT) -> Any:
        shape = [self.batch, 3, *self.size] if shapes is None else shapes
        graph = helper.make_graph(
            self.nodes,
            "foreign",
            [helper.make_tensor_value_info(self.source, dtype, shape)],
            [helper.make_tensor_value_info(o, TensorProto.FLOAT, None) for o in outputs],
            self.constants,
        )
        opsets = [helper.make_opsetid("", self.opset)]
        return helper.make_model(
            graph, opset_imports=opsets, ir_version=self.ir, producer_name="pytorch"
        )


@pytest.fixture(scope="session")
def foreign() -> type[Foreign]:
    return Foreign


@pytest.fixture(scope="session")
def images() -> np.ndarray:
    """(32, 3, 8, 4), of different colours."""
    rng = np.random.default_rng(11)
    colour = rng.normal(size=(32, 3, 1, 1))
    return (colour + rng.normal(size=(32, 3, 8, 4))).astype(np.float32)


@pytest.fixture(scope="session")
def evaluate() -> Callable[..., np.ndarray]:
    """ONNX's reference evaluator: images -> the first output, one image at a time by default."""
    from onnx.reference import ReferenceEvaluator

    def run(model: Any, images: np.ndarray, batch: int = 1) -> np.ndarray:
        session = ReferenceEvaluator(model)
        name = model.graph.input[0].name
        parts = [
            session.run(None, {name: images[i : i + batch]})[0]
            for i in range(0, len(images), batch)
        ]
        return np.concatenate(parts)

    return run


@pytest.fixture
def save(tmp_path: Path) -> Callable[[Any], Path]:
    """Write a model, or bytes, to a file of its own."""

    def write(model: Any, name: str = "network.onnx") -> Path:
        data = model if isinstance(model, bytes) else model.SerializeToString()
        (tmp_path / name).write_bytes(data)
        return tmp_path / name

    return write
