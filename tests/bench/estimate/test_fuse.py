"""Which nodes become one launch, and what each reads, writes and computes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from edgereid.bench.estimate.fuse import DENSE, MEMORY, THIN, FusedLayer, fuse
from edgereid.bench.roofline.network import count

IMAGE = 16 * 8 * 4  # numbers in a tensor of these graphs


def layers(
    nodes: list[tuple[Any, ...]], output: str, **weights: tuple[int, ...]
) -> list[FusedLayer]:
    """Of a graph on an input ``x`` of (N, 16, 8, 4); a node: op, inputs, output, attributes."""
    from onnx import TensorProto, helper, numpy_helper

    made = [
        helper.make_node(op, inputs.split(), [out], name=out, **(rest[0] if rest else {}))
        for op, inputs, out, *rest in nodes
    ]
    graph = helper.make_graph(
        made,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 16, 8, 4])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.zeros(s, np.float32), n) for n, s in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return list(fuse(count(model, 1)))


W3 = (16, 16, 3, 3)
PAD = {"pads": [1, 1, 1, 1]}
MACS = IMAGE * 16 * 9


def test_a_convolution_takes_in_norm_and_activation() -> None:
    found = layers(
        [
            ("Conv", "x w b", "c", PAD),
            ("BatchNormalization", "c s s s s", "n"),
            ("Relu", "n", "r"),
        ],
        "r",
        w=W3,
        b=(16,),
        s=(16,),
    )
    assert found == [FusedLayer(DENSE, MACS, 2 * IMAGE, 16 * 16 * 9 + 16 + 4 * 16)]


def test_the_later_convolution_takes_in_the_sum_with_the_shortcut_and_reads_it() -> None:
    found = layers(
        [
            ("Conv", "x w", "a", PAD),
            ("Relu", "a", "ar"),
            ("Conv", "ar w", "b", PAD),
            ("Add", "b x", "s"),
            ("Relu", "s", "r"),
        ],
        "r",
        w=W3,
    )
    first, second = found
    assert first.activations == 2 * IMAGE
    assert second.activations == 3 * IMAGE, "its input, the shortcut, its output"


def test_what_is_read_twice_is_not_swallowed() -> None:
    found = layers(
        [("Conv", "x w", "c", PAD), ("Sigmoid", "c", "g"), ("Mul", "c g", "m")], "m", w=W3
    )
    assert [x.kind for x in found] == [DENSE, MEMORY]
    assert found[1].activations == 2 * IMAGE, "the chain reads c once and writes m"


@pytest.mark.parametrize(
    ("weight", "group", "kind"),
    [((16, 1, 3, 3), 16, THIN), ((16, 4, 1, 1), 4, THIN), ((16, 16, 3, 3), 1, DENSE)],
)
def test_a_convolution_of_short_sums_is_thin(
    weight: tuple[int, ...], group: int, kind: str
) -> None:
    pads = {"pads": [weight[2] // 2] * 4}
    (found,) = layers([("Conv", "x w", "c", {"group": group, **pads})], "c", w=weight)
    assert found.kind == kind
    assert found.macs == IMAGE * int(np.prod(weight[1:]))


def test_views_concatenations_and_arithmetic_on_shapes_are_no_launches() -> None:
    found = layers(
        [
            ("Relu", "x", "a"),
            ("Shape", "a", "sh"),
            ("Gather", "sh i", "n", {}),
            ("MaxPool", "a", "p", {"kernel_shape": [1, 1]}),
            ("Concat", "a p", "j", {"axis": 1}),
            ("Flatten", "j", "f"),
            ("Softmax", "f", "o"),
        ],
        "o",
        i=(),
    )
    assert [(x.kind, x.activations) for x in found] == [
        (MEMORY, 2 * IMAGE),
        (MEMORY, 2 * IMAGE),
        (MEMORY, 4 * IMAGE),
    ]


def test_a_matrix_product_behind_a_flatten_reads_the_pooled_tensor() -> None:
    found = layers(
        [("GlobalAveragePool", "x", "p"), ("Flatten", "p", "f"), ("Gemm", "f w b", "y")],
        "y",
        w=(16, 4),
        b=(4,),
    )
    assert found == [FusedLayer(MEMORY, 0, IMAGE + 16, 0), FusedLayer(THIN, 64, 20, 68)]


def test_an_output_of_the_graph_ends_the_layer_that_makes_it() -> None:
    found = layers([("Conv", "x w", "c", PAD), ("Relu", "c", "r")], "c", w=W3)
    assert len(found) == 2
