"""Units, and what keeping any of them in float does to the placement."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgereid.export.graph import Graph
from edgereid.export.placement import KEPT, place
from edgereid.export.policy import POLICIES
from edgereid.search.agreement import agreement_of
from edgereid.search.units import nodes_of, units_of
from tests.export.conftest import Builder

LAYERS = ["stem", "pw", "dw", "expand", "short", "last"]


def test_a_pointwise_depthwise_pair_and_both_sides_of_a_sum_are_units(network: Any) -> None:
    units = units_of(Graph(network), POLICIES["openvino"])
    assert [u.nodes for u in units] == [("stem",), ("pw", "dw"), ("expand", "short"), ("last",)]
    assert [u.name for u in units] == ["stem", "pw +1", "expand +1", "last"]
    assert units[0].macs == 16 * 8 * 8 * 3 * 9
    assert units[1].macs == 8 * 4 * (8 * 8 + 8 * 9)
    assert nodes_of(units, (1, 3)) == ("pw", "dw", "last")


def test_a_depthwise_layer_that_a_policy_leaves_float_is_in_no_unit(network: Any) -> None:
    units = units_of(Graph(network), POLICIES["tensorrt"])
    assert "dw" not in {name for unit in units for name in unit.nodes}


@pytest.mark.parametrize("target", POLICIES)
@given(keep=st.sets(st.sampled_from(LAYERS)))
@settings(max_examples=64, deadline=None, suppress_health_check=list(HealthCheck))
def test_one_table_serves_every_choice_of_kept_layers(
    network: Any, target: str, keep: set[str]
) -> None:
    graph, policy = Graph(network), POLICIES[target]
    everything, some = place(graph, policy), place(graph, policy, keep)
    assert set(some.activations.values()) <= set(everything.activations.values())
    assert some.weights.items() <= everything.weights.items()
    for name in keep:
        assert some.precision[name] == "f32"
        assert some.reasons[name] == KEPT
        assert f"{name}.weight" not in some.weights
    for name in set(LAYERS) - keep:
        assert some.precision[name] == everything.precision[name]


def test_a_pool_that_only_its_neighbours_quantise_keeps_its_inputs_grid() -> None:
    b = Builder()
    stem = b.op("Relu", "stem.relu", b.conv("stem", "images", 3, 8, 3))
    pool = b.op("MaxPool", "pool", stem, kernel_shape=[2, 2], strides=[2, 2])
    flat = b.op("ReduceMean", "flat", b.conv("a", pool, 8, 8), axes=[2, 3], keepdims=0)
    weight = b.constant("fc.weight", b.rng.normal(size=(6, 8)).astype(np.float32))
    b.op("Gemm", "features", flat, weight, transB=1)
    placed = place(Graph(b.model()), POLICIES["onnxruntime"], {"a"})
    assert placed.activations["pool"] == "stem.relu"


def test_agreement_against_the_textbook_and_its_corners() -> None:
    rng = np.random.default_rng(0)
    a = rng.normal(size=(50, 8)).astype(np.float32)
    b = a + 0.1 * rng.normal(size=a.shape).astype(np.float32)
    found = agreement_of(a, b)
    x = a / np.linalg.norm(a, axis=1, keepdims=True)
    y = b / np.linalg.norm(b, axis=1, keepdims=True)
    variance = sum(np.sum((row - x.mean(axis=0)) ** 2) for row in x)
    assert found.error == pytest.approx(
        sum(np.sum((p - q) ** 2) for p, q in zip(x, y, strict=True)) / variance, rel=1e-5
    )
    same = agreement_of(a, 3 * a)
    assert same.error == pytest.approx(0.0, abs=1e-12)
    assert same.cosine == pytest.approx(1.0)
    assert same.kept == 1.0
    nearest = [max((j for j in range(50) if j != i), key=lambda j: x[i] @ x[j]) for i in range(50)]
    moved = [max((j for j in range(50) if j != i), key=lambda j: y[i] @ x[j]) for i in range(50)]
    assert found.kept == pytest.approx(
        np.mean([p == q for p, q in zip(nearest, moved, strict=True)])
    )
    shifted = agreement_of(a, a + 5)  # one shift of all is an error: the gallery stays
    assert shifted.error > 0.5
