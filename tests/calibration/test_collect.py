"""Collecting: the histograms are those of the activations, batch by batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgereid.calibration.collect import MOST_AT_ONCE, collect, shared_out
from edgereid.calibration.histogram import Histogram
from edgereid.errors import InputError

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

IMAGES = np.random.default_rng(0).normal(size=(10, 3, 4, 4)).astype(np.float32)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """images -> Relu "a" -> Log "b" -> ReduceSum "features"; Log of zero is minus infinity."""
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        [
            helper.make_node("Relu", ["images"], ["a"]),
            helper.make_node("Log", ["a"], ["b"]),
            helper.make_node("Exp", ["b"], ["c"]),
            helper.make_node("ReduceMean", ["c"], ["features"], axes=[2, 3], keepdims=0),
        ],
        "net",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", 3, 4, 4])],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(tmp_path / "net.onnx"))
    return tmp_path / "net.onnx"


def batches(size: int) -> list[NDArray[np.float32]]:
    return [IMAGES[i : i + size] for i in range(0, len(IMAGES), size)]


@pytest.mark.parametrize("size", [1, 4, 10])
def test_histograms_are_those_of_the_activations_in_any_batch_size(
    network: Path, size: int
) -> None:
    found = collect(network, batches(size), ["images", "a", "features"], threads=2)
    relu = np.maximum(IMAGES, 0)
    for name, values in {"images": IMAGES, "a": relu}.items():
        want = Histogram(name)
        want.add(values)
        assert np.array_equal(found[name].counts, want.counts)
        assert (found[name].low, found[name].high) == (want.low, want.high)
    assert found["features"].count == 30
    assert found["features"].high == pytest.approx(relu.mean((2, 3)).max(), rel=1e-5)


def test_the_input_alone_can_be_counted(network: Path) -> None:
    found = collect(network, batches(4), ["images"], threads=2)
    assert list(found) == ["images"]
    assert found["images"].count == IMAGES.size


def test_the_first_tensor_that_is_no_number_is_named(network: Path) -> None:
    with pytest.raises(InputError, match="tensor 'b' holds NaN or infinity"):
        collect(network, batches(4), ["c", "b", "a"], threads=1)


@pytest.mark.parametrize("threads", [1, 2, 3, 9])
def test_any_number_of_threads_finds_the_same(network: Path, threads: int) -> None:
    found = collect(network, batches(4), ["images", "a"], threads=threads)
    want = collect(network, [IMAGES[::-1]], ["images", "a"], threads=1)
    for name, histogram in found.items():
        assert np.array_equal(histogram.counts, want[name].counts)
        for value in ("exponent", "low", "high", "count", "images", "low_sum", "high_sum"):
            assert getattr(histogram, value) == getattr(want[name], value)


@pytest.mark.parametrize("threads", [1, 2])
def test_of_several_faulty_images_the_first_is_reported(network: Path, threads: int) -> None:
    images = np.ones((40, 3, 4, 4), np.float32)
    images[5:, 0, 0, 0] = 0  # the logarithm is minus infinity
    images[11:] = np.nan
    with pytest.raises(InputError, match=r"tensor 'b' holds NaN or infinity in 1 of 48 values"):
        collect(network, [images], ["images", "a", "b"], threads=threads)


def test_a_tensor_of_another_network_is_refused(network: Path) -> None:
    with pytest.raises(InputError, match="no tensor 'zz'"):
        collect(network, batches(4), ["a", "zz"], threads=1)


def test_no_images_are_refused(network: Path) -> None:
    with pytest.raises(InputError, match="at least one"):
        collect(network, [], ["a"], threads=1)


@pytest.mark.parametrize("threads", range(1, 65))
def test_no_more_threads_idle_than_one_more_image_would_need(threads: int) -> None:
    at_once, each = shared_out(threads)
    assert 1 <= at_once <= MOST_AT_ONCE
    assert at_once * each <= threads < (at_once + 1) * each


def test_six_threads_are_three_pairs() -> None:
    assert [shared_out(n) for n in (1, 2, 4, 6, 8)] == [(1, 1), (2, 1), (4, 1), (3, 2), (4, 2)]
