"""Which layers of TensorRT's network belong to an ONNX node, and what is constrained of them.

Names and metadata as onnx-tensorrt writes them (ImporterContext.cpp: a further layer of a node gets
"_" and a number; "[ONNX Layer: ...]" in the metadata since 8.6).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trt_fakes import RELEASES, installed

from edgereid.export.tensorrt.network import keep_float32, node_of


@dataclass
class Layer:
    """A layer as code sees it. ``outputs``: their types by name of DataType."""

    name: str
    metadata: str | None = None
    outputs: tuple[str, ...] = ("FLOAT",)
    type: Any = None
    trt: Any = None
    precision: Any = None
    set: dict[int, Any] = field(default_factory=dict)

    @property
    def num_outputs(self) -> int:
        return len(self.outputs)

    def get_output(self, i: int) -> Any:
        return SimpleNamespace(dtype=getattr(self.trt.DataType, self.outputs[i]))

    def set_output_type(self, i: int, dtype: Any) -> None:
        self.set[i] = dtype


@pytest.mark.parametrize(
    ("name", "metadata", "node"),
    [
        ("/gem/Pow", "", "/gem/Pow"),
        ("/gem/Pow_12", "", "/gem/Pow"),
        ("/gem/Pow_x", "", None),
        ("/gem/Pow_", "", None),
        ("/gem/Po", "", None),
        ("(Unnamed Layer* 7) [ElementWise]", "", None),
        ("(Unnamed Layer* 7) [ElementWise]", "[ONNX Layer: /gem/Pow]", "/gem/Pow"),
        ("/gem/Pow_1", "[ONNX Layer: /gem/Pow_1]", "/gem/Pow_1"),
        ("/gem/Pow", "[ONNX Layer: /other/Add]", None),
        ("/gem/Pow", None, "/gem/Pow"),
        ("x", "[ONNX Layer: /gem/Pow]\x1f[ONNX Layer: /other/Add]", "/gem/Pow"),
    ],
)
def test_a_layer_is_found_by_its_metadata_else_by_its_name(
    name: str, metadata: str | None, node: str | None
) -> None:
    layer = SimpleNamespace(name=name)  # 8.5 has no metadata at all
    if metadata is not None:
        layer.metadata = metadata
    assert node_of(layer, {"/gem/Pow", "/gem/Pow_1"}) == node


@given(st.text(), st.text(), st.sets(st.text(min_size=1), max_size=4))
def test_only_nodes_that_were_asked_for_are_found(
    name: str, metadata: str, nodes: set[str]
) -> None:
    found = node_of(SimpleNamespace(name=name, metadata=metadata), nodes)
    assert found is None or found in nodes


@pytest.mark.parametrize("release", [r for r in RELEASES if not r.startswith("11")])
def test_float_outputs_are_constrained_and_shapes_and_constants_are_not(release: str) -> None:
    with installed(release) as fake:
        trt: Any = fake.trt
        layers = [
            Layer("/norm/ReduceL2", outputs=("FLOAT", "INT32", "FLOAT")),
            Layer("/norm/ReduceL2_1", outputs=("INT32",)),
            Layer("/norm/ReduceL2_2", type=trt.LayerType.CONSTANT),
            Layer("/conv/Conv"),
        ]
        for layer in layers:
            layer.trt = trt
        network = SimpleNamespace(num_layers=len(layers), get_layer=layers.__getitem__)
        lost = keep_float32(trt, network, ("/norm/ReduceL2", "/gone/Pow"))
        assert lost == ("/gone/Pow",)
        assert layers[0].precision == trt.float32
        assert layers[0].set == {0: trt.float32, 2: trt.float32}
        for layer in layers[1:]:
            assert layer.precision is None
            assert layer.set == {}


def test_where_layers_have_no_precision_nothing_is_constrained() -> None:
    with installed("11.4") as fake:
        assert keep_float32(fake.trt, None, ("b", "a")) == ("a", "b")
