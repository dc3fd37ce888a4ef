"""Thresholds by the error at the output: against brute force; the same for any order of images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.calibration.auto import candidates, decide_by_output
from edgereid.calibration.collect import collect
from edgereid.calibration.histogram import Histogram
from edgereid.calibration.scheme import INT8, UINT8, UINT8_AFFINE, Scheme
from edgereid.calibration.suffix import Suffix
from edgereid.calibration.table import CalibrationTable
from edgereid.errors import InputError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

RNG = np.random.default_rng(2)
IMAGES = RNG.standard_t(2, size=(24, 3, 8, 6)).astype(np.float32)
SCHEMES: dict[str, tuple[Scheme, ...]] = {
    "images": (INT8, UINT8_AFFINE),
    "b": (UINT8,),
    "c": (INT8,),
    "unused": (INT8,),
}


def conv(name: str, x: str, i: int, o: int) -> tuple[Any, Any]:
    weight = (RNG.normal(size=(o, i, 1, 1)) / np.sqrt(i)).astype(np.float32)
    constant = onnx.numpy_helper.from_array(weight, f"{name}.w")
    return onnx.helper.make_node("Conv", [x, f"{name}.w"], [name], name=name), constant


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """images -> Conv "a" -> Relu "b" -> Conv "c" -> + b -> GlobalMaxPool -> features; an "unused"
    branch; heavy tails, so that methods differ."""
    h = onnx.helper
    (a, wa), (c, wc) = conv("a", "images", 3, 6), conv("c", "b", 6, 6)
    nodes = [
        a,
        h.make_node("Relu", ["a"], ["b"]),
        h.make_node("Neg", ["b"], ["unused"]),
        c,
        h.make_node("Add", ["b", "c"], ["d"]),
        h.make_node("GlobalMaxPool", ["d"], ["e"]),
        h.make_node("Flatten", ["e"], ["features"]),
    ]
    graph = h.make_graph(
        nodes,
        "net",
        [h.make_tensor_value_info("images", 1, ["n", 3, 8, 6])],
        [h.make_tensor_value_info("features", 1, ["n", 6])],
        [wa, wc],
    )
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("auto") / "net.onnx"
    onnx.save(model, str(path))
    return path


@pytest.fixture(scope="module")
def seen(network: Path) -> dict[str, Histogram]:
    return collect(network, [IMAGES], SCHEMES, threads=1)


def decided(network: Path, seen: dict[str, Histogram], images: np.ndarray) -> CalibrationTable:
    return decide_by_output(network, seen.values(), SCHEMES, images, {"from": "test"}, threads=1)


def forward(network: Path, images: np.ndarray, name: str = "", rounded: Any = None) -> np.ndarray:
    """The network node by node in NumPy; the tensor ``name`` is passed through ``rounded``."""
    w = {i.name: onnx.numpy_helper.to_array(i) for i in onnx.load(str(network)).graph.initializer}

    def step(tensor: str, value: np.ndarray) -> np.ndarray:
        return rounded(value) if tensor == name else value

    x = step("images", images)
    b = step("b", np.maximum(np.einsum("oi,nihw->nohw", w["a.w"][:, :, 0, 0], x), 0))
    c = step("c", np.einsum("oi,nihw->nohw", w["c.w"][:, :, 0, 0], b))
    return (b + c).max(axis=(2, 3))


def error(got: np.ndarray, want: np.ndarray, scaled: bool = True) -> float:
    if scaled:
        got, want = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (got, want))
    a, b = got - want.mean(axis=0), want - want.mean(axis=0)
    cosines = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    return float(1 - cosines.mean())


def least(
    network: Path, h: Histogram, scheme: Scheme, images: np.ndarray, scaled: bool = True
) -> str:
    """The candidate with the least error at the output, by brute force."""
    want = forward(network, images)
    errors = {}
    for method, covered in candidates(h, scheme).items():
        rounded = partial(scheme.fake_quantize, range=covered)
        errors[method] = error(forward(network, images, h.name, rounded), want, scaled)
    return min(errors, key=lambda m: errors[m])


@pytest.mark.parametrize("magnified", [False, True])
def test_each_range_is_the_candidate_with_the_least_error_by_brute_force(
    network: Path, magnified: bool
) -> None:
    """Also with one embedding much longer than the others, where the centred cosine of rows that
    are not scaled to length 1 chooses otherwise."""
    images = IMAGES[:12].copy()
    images[0] *= 50 if magnified else 1
    seen = collect(network, [images, IMAGES[12:]], SCHEMES, threads=1)
    table = decided(network, seen, images)
    several = otherwise = 0
    for name in ("images", "b", "c"):
        for scheme in SCHEMES[name]:
            options = candidates(seen[name], scheme)
            several += len(options) > 1
            best = least(network, seen[name], scheme, images)
            otherwise += best != least(network, seen[name], scheme, images, scaled=False)
            assert table.range(name, scheme) == options[best], name
            assert best in table.entry(name).method.removeprefix("auto: ").split(", ")
    assert several >= 3
    assert otherwise >= magnified


def test_the_order_of_the_images_makes_no_difference(
    network: Path, seen: dict[str, Histogram]
) -> None:
    first = decided(network, seen, IMAGES[:12])
    assert decided(network, seen, IMAGES[11::-1]).to_json() == first.to_json()
    assert CalibrationTable.from_json(first.to_json()).entries == first.entries


def test_a_tensor_that_the_features_do_not_depend_on_takes_the_first_candidate(
    network: Path, seen: dict[str, Histogram]
) -> None:
    table = decided(network, seen, IMAGES[:3])
    assert table.entry("unused").method == "auto: mse"


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (IMAGES[:1], "at least two that differ.*--method mse"),
        (np.repeat(IMAGES[:1], 3, axis=0), "one embedding"),
    ],
)
def test_images_that_tell_nothing_are_refused(
    network: Path, seen: dict[str, Histogram], images: np.ndarray, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        decided(network, seen, images)


@pytest.mark.parametrize(
    ("tensor", "beside", "nodes"),
    [("images", (), 7), ("b", (), 5), ("c", ("b",), 3), ("d", (), 2)],
)
def test_a_suffix_reads_what_does_not_depend_on_its_tensor_and_gives_the_features(
    network: Path, tensor: str, beside: tuple[str, ...], nodes: int
) -> None:
    from onnx.reference import ReferenceEvaluator

    model = onnx.load(str(network))
    suffix = Suffix.of(model, tensor)
    assert (suffix.beside, len(suffix.nodes), suffix.reaches_output) == (beside, nodes, True)
    whole = onnx.load(str(network))
    for name in (tensor, *beside):
        whole.graph.output.append(onnx.helper.make_tensor_value_info(name, 1, None))
    names = ["features", *(n for n in (tensor, *beside) if n != "images")]
    found = ReferenceEvaluator(whole).run(names, {"images": IMAGES[:2]})
    values = {"images": IMAGES[:2], **dict(zip(names, found, strict=True))}
    feed = {n: values[n] for n in (tensor, *beside)}
    (got,) = ReferenceEvaluator(suffix.build(values)).run(None, feed)
    np.testing.assert_allclose(got, values["features"], atol=1e-6)
