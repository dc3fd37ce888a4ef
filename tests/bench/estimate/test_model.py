"""The arithmetic in closed form, and what more hardware must never do."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.bench.estimate.devices import Device, device, devices
from edgereid.bench.estimate.fuse import DENSE, MEMORY, THIN, FusedLayer
from edgereid.bench.estimate.model import Efficiency, predict, terms
from edgereid.bench.estimate.published import networks

PERFECT = Efficiency(1.0, 1.0, 1.0, 1.0, 1.0, launch_jetson=0.0, launch_desktop=0.0)
USUAL = Efficiency(0.3, 0.2, 0.5, 0.2, 0.8, launch_jetson=5e-6, launch_desktop=4e-6)
TOY = Device(
    "toy", "toy", "Toy", "jetson", "ampere", {"f32": 1e9, "f16": 8e9, "int8": 16e9},
    ("f16", "int8"), 1e9, 5.0, "5 W", {}, (),
)  # fmt: skip


def seconds(
    layer: FusedLayer, precision: str, batch: int = 1, efficiency: Efficiency = PERFECT
) -> float:
    return predict(terms([layer], TOY, precision, batch), efficiency).seconds


CASES = [
    # layer, precision, batch, seconds
    (FusedLayer(DENSE, 16_000_000, 10, 10), "int8", 1, 1e-3),
    (FusedLayer(DENSE, 16_000_000, 10, 10), "f16", 1, 2e-3),
    (FusedLayer(DENSE, 16_000_000, 10, 10), "f32", 1, 16e-3),
    (FusedLayer(DENSE, 16_000_000, 10, 10), "int8", 4, 4e-3),
    (FusedLayer(THIN, 1_000_000, 10, 10), "int8", 1, 1e-3),
    (FusedLayer(DENSE, 1, 1_000_000, 2_000_000), "int8", 1, 3e-3),
    (FusedLayer(DENSE, 1, 1_000_000, 2_000_000), "f16", 1, 6e-3),
    (FusedLayer(DENSE, 1, 1_000_000, 2_000_000), "f32", 3, 20e-3),
    (FusedLayer(MEMORY, 0, 1_000_000, 0), "int8", 1, 2e-3),
    (FusedLayer(MEMORY, 0, 1_000_000, 0), "f32", 1, 4e-3),
]


@pytest.mark.parametrize(("layer", "precision", "batch", "expected"), CASES)
def test_a_layer_takes_the_longer_of_arithmetic_and_traffic(
    layer: FusedLayer, precision: str, batch: int, expected: float
) -> None:
    assert seconds(layer, precision, batch) == pytest.approx(expected)


def test_efficiencies_divide_and_each_launch_costs_its_overhead() -> None:
    layer = FusedLayer(DENSE, 16_000_000, 10, 10)
    half = Efficiency(0.5, 0.25, 0.1, 0.1, 0.1, launch_jetson=1e-4, launch_desktop=2e-4)
    found = predict(terms([layer, layer], TOY, "int8", 1), half)
    assert found.seconds == pytest.approx(2 * 2e-3 + 2 * 1e-4)
    assert (found.compute, found.memory, found.launch) == pytest.approx((4e-3, 0, 2e-4))
    early = replace(TOY, family="desktop", architecture="volta")
    other = predict(terms([layer, layer], early, "int8", 1), half)
    assert other.seconds == pytest.approx(2 * 4e-3 + 2 * 2e-4)


LAYER = st.builds(
    FusedLayer,
    st.sampled_from([DENSE, THIN]),
    st.integers(1, 10**10),
    st.integers(1, 10**8),
    st.integers(0, 10**8),
) | st.builds(FusedLayer, st.just(MEMORY), st.just(0), st.integers(1, 10**8), st.just(0))
PRECISION = st.sampled_from(["f32", "f16", "int8"])
GAIN = st.floats(1, 100)


def total(layers: list[FusedLayer], found: Device, precision: str, batch: int) -> float:
    return predict(terms(layers, found, precision, batch), USUAL).seconds


@given(st.lists(LAYER, min_size=1, max_size=8), PRECISION, st.integers(1, 64), GAIN, GAIN)
def test_more_bandwidth_or_a_higher_peak_is_never_slower(
    layers: list[FusedLayer], precision: str, batch: int, wider: float, faster: float
) -> None:
    better = replace(
        TOY,
        bandwidth=TOY.bandwidth * wider,
        peaks={p: rate * faster for p, rate in TOY.peaks.items()},
    )
    assert total(layers, better, precision, batch) <= total(layers, TOY, precision, batch) * (
        1 + 1e-12
    )


@given(st.lists(LAYER, min_size=1, max_size=8), PRECISION, st.integers(1, 64))
def test_a_larger_batch_takes_longer_but_no_longer_an_image(
    layers: list[FusedLayer], precision: str, batch: int
) -> None:
    one, two = (total(layers, TOY, precision, b) for b in (batch, 2 * batch))
    assert one <= two <= 2 * one * (1 + 1e-12)


@given(st.lists(LAYER, min_size=1, max_size=8), st.integers(1, 64))
def test_a_narrower_precision_is_never_slower_where_matrix_units_compute_it(
    layers: list[FusedLayer], batch: int
) -> None:
    efficiency = replace(USUAL, vector=0.3)
    times = [
        predict(terms(layers, TOY, p, batch), efficiency).seconds for p in ("f32", "f16", "int8")
    ]
    assert times == sorted(times, reverse=True)


def test_within_a_family_the_larger_module_is_predicted_faster() -> None:
    layers = list(networks()["resnet50-224"])
    order = ("orin-nano-4gb", "orin-nano-8gb", "orin-nx-16gb", "agx-orin-32gb", "agx-orin-64gb")
    times = [total(layers, device(name), "int8", 8) for name in order]
    assert times == sorted(times, reverse=True)
    assert all(total(layers, d, "f16", 1) > 0 for d in devices().values())
