"""A batch that is fixed in the file becomes dynamic: batches 1, 3 and 8 against the file as it was
given, image by image (by ONNX's reference evaluator)."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import helper  # noqa: E402

from edgereid.errors import InputError  # noqa: E402
from edgereid.export.incoming.batch import batch_axis, open_batch  # noqa: E402
from edgereid.export.incoming.network import Incoming  # noqa: E402
from edgereid.export.incoming.options import IncomingOptions  # noqa: E402

Build = Callable[[Any, int], str]


def shuffle(g: Any, b: int) -> str:
    """Channels of two groups interleaved."""
    x = g.op("Reshape", g.stem(), g.shape(b, 2, 3, 8, 4))
    x = g.op("Reshape", g.op("Transpose", x, perm=[0, 2, 1, 3, 4]), g.shape(b, -1, 8, 4))
    return str(g.flat(g.pooled(g.conv(x, 6, 6))))


def view_of_a_vector(g: Any, b: int) -> str:
    return str(g.op("Reshape", g.pooled(g.stem()), g.shape(b, -1)))


def open_view_of_a_vector(g: Any, b: int) -> str:
    return str(g.op("Reshape", g.pooled(g.stem()), g.shape(-1, 6)))


def kept_zero(g: Any, b: int) -> str:
    return str(g.op("Reshape", g.pooled(g.stem()), g.shape(0, -1)))


def flattened_gemm(g: Any, b: int) -> str:
    small = g.op("MaxPool", g.stem(), kernel_shape=[4, 2], strides=[4, 2])
    return str(g.op("Gemm", g.op("Flatten", small), g.normal(24, 5)))


def resized(g: Any, b: int) -> str:
    small = g.op("AveragePool", g.stem(), kernel_shape=[3, 2], strides=[3, 2])  # 2 x 2
    up = g.op(
        "Resize", small, "", "", g.shape(b, 6, 7, 5), mode="linear",
        coordinate_transformation_mode="half_pixel",
    )  # fmt: skip
    return str(g.flat(g.pooled(g.op("Abs", g.conv(up, 6, 6, 3)))))


def radix_attention(g: Any, b: int) -> str:
    """As in ResNeSt: sum over splits, gate, softmax over splits."""
    x = g.conv(g.stem(), 6, 8)
    split = g.op("Reshape", x, g.shape(b, 2, 4, 8, 4))
    total = g.op("ReduceSum", split, g.shape(1), keepdims=0)
    gate = g.conv(g.pooled(total), 4, 8)
    gate = g.op("Transpose", g.op("Reshape", gate, g.shape(b, 1, 2, 4)), perm=[0, 2, 1, 3])
    gate = g.op("Reshape", g.op("Softmax", gate, axis=1), g.shape(b, 8, 1, 1))
    gated = g.op("Reshape", g.op("Mul", x, gate), g.shape(b, 2, 4, 8, 4))
    return str(g.flat(g.pooled(g.op("ReduceSum", gated, g.shape(1), keepdims=0))))


def attention(g: Any, b: int) -> str:
    """Non-local: every place looks at every other."""
    x = g.stem()
    flat = g.op("Reshape", x, g.shape(b, 6, 32))
    weights = g.op("MatMul", g.op("Transpose", flat, perm=[0, 2, 1]), flat)
    seen = g.op("MatMul", flat, g.op("Softmax", weights, axis=-1))
    return str(g.flat(g.pooled(g.op("Add", g.op("Reshape", seen, g.shape(b, 6, 8, 4)), x))))


def merged_with_places(g: Any, b: int) -> str:
    """Batch and windows in one axis, as in networks with windows."""
    x = g.op("Reshape", g.stem(), g.shape(b, 6, 4, 2, 4))
    x = g.op("Reshape", g.op("Transpose", x, perm=[0, 2, 1, 3, 4]), g.shape(4 * b, 48))
    x = g.op("Reshape", g.op("Gemm", x, g.normal(48, 48)), g.shape(b, 4, 6, 2, 4))
    x = g.op("Reshape", g.op("Transpose", x, perm=[0, 2, 1, 3, 4]), g.shape(b, 6, 8, 4))
    return str(g.flat(g.pooled(g.op("Abs", x))))


def places_first(g: Any, b: int) -> str:
    """(places, batch, channels), split into heads and back, as in PyTorch's attention."""
    x = g.op("Transpose", g.op("Reshape", g.stem(), g.shape(b, 6, 32)), perm=[2, 0, 1])
    heads = g.op("Reshape", x, g.shape(32, 2 * b, 3))
    back = g.op("Reshape", g.op("Softmax", heads, axis=-1), g.shape(32, b, 6))
    return str(g.op("ReduceMean", back, axes=[0], keepdims=0))


def expanded(g: Any, b: int) -> str:
    x = g.op("Reshape", g.pooled(g.stem()), g.shape(b, 6, 1))
    wide = g.op("Expand", x, g.shape(b, 6, 4))
    return str(g.op("Reshape", g.op("Mul", wide, g.normal(1, 6, 4)), g.shape(b, 24)))


CASES: list[Build] = [
    shuffle,
    view_of_a_vector,
    open_view_of_a_vector,
    kept_zero,
    flattened_gemm,
    resized,
    radix_attention,
    attention,
    merged_with_places,
    places_first,
    expanded,
]


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("build", CASES, ids=lambda f: f.__name__)
def test_it_gives_each_image_what_the_file_gave(
    build: Build,
    batch: int,
    foreign: Any,
    save: Any,
    evaluate: Any,
    images: np.ndarray,
    tmp_path: Path,
) -> None:
    g = foreign(batch=batch)
    original = g.model(build(g, batch))
    Incoming(save(original), IncomingOptions(), 1).write(tmp_path, images)
    model = onnx.load(str(tmp_path / "model.onnx"))
    want = evaluate(original, images[:8], batch)
    for size in (1, 3, 8):
        got = evaluate(model, images[:8], size)
        assert_allclose(got, want, rtol=1e-4, atol=1e-5)


def test_a_batch_fixed_inside_a_file_that_says_it_is_dynamic_is_opened_as_well(
    foreign: Any, save: Any, evaluate: Any, images: np.ndarray, tmp_path: Path
) -> None:
    """What tracing leaves behind: the input is dynamic, a reshaping is not."""
    g = foreign()
    original = g.model(shuffle(g, 1))
    written = Incoming(save(original), IncomingOptions(), 1).write(tmp_path, images)
    assert (
        "batch fixed inside made dynamic (2 nodes changed)" in written.provenance["source"]["steps"]
    )
    model = onnx.load(str(tmp_path / "model.onnx"))
    assert_allclose(evaluate(model, images, 32), evaluate(original, images, 1), atol=1e-5)


def class_token(g: Any, b: int) -> str:
    x = g.op("Transpose", g.op("Reshape", g.stem(), g.shape(b, 6, 32)), perm=[0, 2, 1])
    token = g.constant(np.ones((b, 1, 6)))
    whole = g.op("Concat", token, x, axis=1, name="with_token")
    return str(g.op("ReduceMean", whole, axes=[1], keepdims=0))


def over_the_batch(g: Any, b: int) -> str:
    mean = g.op("ReduceMean", g.stem(), axes=[0], keepdims=1, name="mean_of_batch")
    return str(g.flat(g.pooled(g.op("Add", g.stem(), mean))))


def first_image(g: Any, b: int) -> str:
    x = g.pooled(g.stem())
    one = g.op("Gather", x, g.constant([0], np.int64), axis=0, name="first_of_batch")
    return str(g.flat(g.op("Add", one, g.op("Mul", one, g.constant(0.0)))))


def added_rows(g: Any, b: int) -> str:
    """Runs for one image as well, and then gives a row for each that the constant has."""
    pooled = g.flat(g.pooled(g.stem()))
    return str(g.op("Add", pooled, g.constant(np.zeros((2, 6))), name="added_rows"))


@pytest.mark.parametrize(
    ("build", "node", "batch"),
    [
        (added_rows, "added_rows", 2),
        (class_token, "with_token", 1),
        (over_the_batch, "mean_of_batch", 1),
        (over_the_batch, "mean_of_batch", "n"),
        (first_image, "first_of_batch", 1),
    ],
    ids=lambda v: getattr(v, "__name__", str(v)),
)
def test_what_cannot_take_any_batch_is_refused_with_the_node_that_prevents_it(
    build: Build,
    node: str,
    batch: Any,
    foreign: Any,
    save: Any,
    images: np.ndarray,
    tmp_path: Path,
) -> None:
    g = foreign(batch=batch)
    incoming = Incoming(save(g.model(build(g, 1))), IncomingOptions(), 1)
    with pytest.raises(InputError, match=rf"{node}.*; export it anew, with dynamic_axes"):
        incoming.write(tmp_path, images)
    assert not (tmp_path / "model.onnx").exists()


@pytest.mark.parametrize(
    ("old", "new", "out", "batch", "axis"),
    [
        ((1, 6, 4, 2), (7, 6, 4, 2), (1, 48), 1, 0),
        ((1, 6, 4, 2), (7, 6, 4, 2), (1, 1, 6, 8), 1, 0),
        ((4, 6, 2), (28, 6, 2), (2, 24), 4, None),  # the batch is torn apart
        ((4, 6, 2), (28, 6, 2), (1, 4, 12), 4, 1),
        ((4, 6, 2), (28, 6, 2), (24, 2), 4, 0),
        ((32, 4, 6), (32, 28, 6), (32, 8, 3), 4, 1),
        ((2, 2), (2, 2), (4,), 2, None),
        ((2, 2), (14, 14), (4,), 2, None),
    ],
)
def test_the_axis_that_holds_the_batch(
    old: Any, new: Any, out: Any, batch: int, axis: int | None
) -> None:
    assert batch_axis(old, new, out, batch) == axis


@st.composite
def chains(draw: st.DrawFn) -> tuple[int, list[tuple[str, tuple[int, ...]]]]:
    """A batch, and reshapings, transpositions and products that keep it in front."""
    batch = draw(st.sampled_from([1, 2, 3]))
    sizes: tuple[int, ...] = (3, 4, 2)
    steps: list[tuple[str, tuple[int, ...]]] = []
    for _ in range(draw(st.integers(1, 5))):
        kind = draw(st.sampled_from(["Reshape", "Transpose", "Softmax"]))
        if kind == "Reshape":
            length = math.prod(sizes)
            first = draw(st.sampled_from([d for d in range(1, length + 1) if length % d == 0]))
            rest = length // first
            second = draw(st.sampled_from([d for d in range(1, rest + 1) if rest % d == 0]))
            sizes = draw(st.permutations([first, second, rest // second]))  # type: ignore[assignment]
            sizes = tuple(sizes)
            steps.append((kind, sizes))
        elif kind == "Transpose":
            order = tuple(draw(st.permutations(range(3))))
            sizes = tuple(sizes[i] for i in order)
            steps.append((kind, order))
        else:
            steps.append((kind, ()))
    return batch, steps


@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
@given(chain=chains())
def test_random_graphs_with_a_fixed_batch_take_any(
    chain: tuple[int, list[tuple[str, tuple[int, ...]]]], foreign: Any, evaluate: Any
) -> None:
    batch, steps = chain
    g = foreign(batch=batch, size=(4, 2))
    x = g.source
    for kind, detail in steps:
        if kind == "Reshape":
            x = g.op(kind, x, g.shape(batch, *detail))
        elif kind == "Transpose":
            x = g.op(kind, x, perm=[0, *(i + 1 for i in detail)])
        else:
            x = g.op(kind, x, axis=-1)
    original = g.model(g.op("Reshape", x, g.shape(batch, 24)))
    model = onnx.ModelProto()
    model.CopyFrom(original)
    open_batch(model, batch, (4, 2))
    rows = np.random.default_rng(0).normal(size=(6, 3, 4, 2)).astype(np.float32)
    want = evaluate(original, rows, batch)
    for size in (1, 3, 6):
        assert_allclose(evaluate(model, rows, size), want, rtol=1e-5, atol=1e-6)


def test_a_model_that_is_dynamic_already_is_left_as_it_is(foreign: Any) -> None:
    g = foreign()
    model = g.model(g.flat(g.pooled(g.stem())))
    nodes = [node.SerializeToString() for node in model.graph.node]
    assert open_batch(model, 1, (8, 4)) == []
    assert [node.SerializeToString() for node in model.graph.node] == nodes
    assert helper.printable_value_info(model.graph.input[0]).startswith("%input.1[FLOAT, batchx3")
