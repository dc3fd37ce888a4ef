"""However the images are ordered, batched or shared out, the calibration table is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edgereid.calibration.collect import collect
from edgereid.calibration.histogram import Histogram, merge_shards
from edgereid.calibration.sample import Sample
from edgereid.calibration.scheme import INT8, UINT8_AFFINE
from edgereid.calibration.table import decide
from edgereid.calibration.thresholds import METHODS, Decision
from edgereid.errors import InputError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

IMAGES = np.random.default_rng(0).normal(size=(12, 3, 8, 6)).astype(np.float32)
IMAGES *= np.geomspace(0.01, 100, 12, dtype=np.float32).reshape(-1, 1, 1, 1)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """images -> Conv "a" -> Relu "b" -> GlobalAveragePool "features"."""
    from onnx import TensorProto, helper, numpy_helper

    weight = np.random.default_rng(1).normal(size=(5, 3, 3, 3)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["images", "w"], ["a"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["a"], ["b"]),
            helper.make_node("GlobalAveragePool", ["b"], ["features"]),
        ],
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 8, 6])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 5, 1, 1])],
        [numpy_helper.from_array(weight, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path = tmp_path_factory.mktemp("shards") / "net.onnx"
    onnx.save(model, str(path))
    return path


def tables(histograms: dict[str, Histogram]) -> list[object]:
    """What every method decides, as it is written to the file."""
    schemes = dict.fromkeys(("images", "a", "b", "features"), (INT8, UINT8_AFFINE))
    return [decide(histograms.values(), schemes, Decision(m), {}).to_json() for m in METHODS]


def batches(images: NDArray[np.float32], size: int) -> list[NDArray[np.float32]]:
    return [images[i : i + size] for i in range(0, len(images), size)]


def passed(network: Path, images: NDArray[np.float32], size: int) -> dict[str, Histogram]:
    names = ["images", "a", "b", "features"]
    return collect(network, batches(images, size), names, threads=1)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_any_order_batch_size_and_number_of_shards_give_one_table(
    network: Path, data: st.DataObject
) -> None:
    order = np.asarray(data.draw(st.permutations(range(len(IMAGES)))))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(IMAGES) - 1), max_size=4)))
    parts = np.split(IMAGES[order], cuts)
    sizes = [data.draw(st.integers(1, 5)) for _ in parts]
    shards = [passed(network, part, size) for part, size in zip(parts, sizes, strict=True)]
    merged = merge_shards(data.draw(st.permutations(shards)))
    assert tables(merged) == tables(passed(network, IMAGES, 4))


@settings(max_examples=25, deadline=None)
@given(st.permutations(range(len(IMAGES))), st.integers(1, 5), st.integers(1, 14))
def test_a_sample_of_the_images_is_the_same_in_any_order_and_batch_size(
    order: list[int], size: int, count: int
) -> None:
    wanted, found = Sample(count), Sample(count)
    assert sum(len(b) for b in wanted.passing([IMAGES])) == len(IMAGES)
    for _ in found.passing(batches(IMAGES[np.asarray(order)], size)):
        assert len(found.kept) <= count
    np.testing.assert_array_equal(found.images(), wanted.images())
    assert len(found.images()) == min(count, len(IMAGES))


def test_a_sample_holds_images_that_passed_and_no_image_twice() -> None:
    sample = Sample(5)
    for _ in sample.passing([IMAGES, IMAGES[:3]]):
        pass
    held = {image.tobytes() for image in sample.images()}
    assert len(held) == 5
    assert held <= {image.tobytes() for image in IMAGES}


def test_nothing_to_merge_or_to_sample_is_refused() -> None:
    with pytest.raises(InputError, match="not counted the same tensors"):
        merge_shards([])
    with pytest.raises(InputError, match="not counted the same tensors"):
        merge_shards([{"a": Histogram("a")}, {"b": Histogram("b")}])
    with pytest.raises(InputError, match="no calibration image"):
        Sample(3).images()
