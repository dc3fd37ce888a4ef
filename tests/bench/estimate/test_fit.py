"""The fit finds what made the data, and the stored errors are those of the data files."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.bench.estimate.constants import Constants, constants, fit_all
from edgereid.bench.estimate.devices import devices
from edgereid.bench.estimate.fit import (
    NAMES,
    HeldOut,
    calibrated_errors,
    factor,
    fit,
    held_out,
    problem,
)
from edgereid.bench.estimate.model import Efficiency, predict, terms
from edgereid.bench.estimate.published import (
    Measurement,
    in_fit,
    measurements,
    networks,
    old_sources,
)

TRUE = Efficiency(0.35, 0.25, 0.6, 0.15, 0.8, launch_jetson=8e-6, launch_desktop=5e-6)


@pytest.fixture(scope="module")
def refitted() -> Constants:
    return fit_all(measurements(), networks(), devices())


def made(efficiency: Efficiency) -> list[Measurement]:
    """The measurements' settings with times that the model itself gives."""
    return [
        replace(
            row,
            ms=1e3
            * predict(
                terms(networks()[row.network], devices()[row.device], row.precision, row.batch),
                efficiency,
            ).seconds,
        )
        for row in measurements()
    ]


def test_the_fit_recovers_the_efficiencies_that_made_the_figures() -> None:
    found = fit(problem(made(TRUE), networks(), devices()))
    for name in NAMES:
        assert getattr(found, name) == pytest.approx(getattr(TRUE, name), rel=0.02), name


def test_figures_that_the_model_made_are_predicted_without_error_on_unseen_devices() -> None:
    for point in held_out(made(TRUE), networks(), devices()):
        assert abs(point.error) < 0.1, point.measurement.key


def test_the_stored_constants_are_those_of_the_data_files(refitted: Constants) -> None:
    stored = constants()
    for name in NAMES:
        expected = getattr(refitted.efficiency, name)
        assert getattr(stored.efficiency, name) == pytest.approx(expected, rel=1e-3), name


def test_the_stored_errors_are_those_of_the_fits_that_leave_each_device_out(
    refitted: Constants,
) -> None:
    stored = constants()
    assert len(stored.points) == len(refitted.points) == len(measurements())
    for old, new in zip(stored.points, refitted.points, strict=True):
        assert old.predicted_ms == pytest.approx(new.predicted_ms, rel=2e-3), old.measurement.key
    for name in ("held_out", "same_device", "same_network"):
        old_errors, new_errors = getattr(stored, name), getattr(refitted, name)
        assert old_errors.figures == new_errors.figures
        assert old_errors.factor == pytest.approx(new_errors.factor, rel=5e-3)
        assert old_errors.median == pytest.approx(new_errors.median, rel=2e-2, abs=2e-3)


def test_what_a_device_measured_has_no_say_in_its_own_held_out_prediction(
    refitted: Constants,
) -> None:
    name = "agx-orin-64gb"
    rows = [
        replace(r, ms=100 * r.ms) if devices()[r.device].board == name else r
        for r in measurements()
    ]
    kept = [r for r in in_fit(rows) if devices()[r.device].board != name]
    task = problem(kept, networks(), devices())
    point = next(p for p in refitted.points if p.measurement.device == name)
    m = point.measurement
    own = terms(networks()[m.network], devices()[name], m.precision, m.batch)
    assert point.predicted_ms == pytest.approx(1e3 * predict(own, fit(task)).seconds)


def test_the_interval_holds_the_share_of_held_out_figures_it_names() -> None:
    stored = constants()
    points = [p for p in stored.points if p.measurement.source not in old_sources()]
    assert len(points) == stored.held_out.figures
    inside = [abs(p.error) <= math.log(stored.held_out.factor) + 1e-12 for p in points]
    assert sum(inside) / len(inside) >= 0.9


@given(st.lists(st.floats(-3, 3), min_size=10, max_size=40))
def test_the_factor_holds_its_share_and_is_one_of_the_errors(logs: list[float]) -> None:
    limit = math.log(factor(logs))
    assert sum(abs(x) <= limit + 1e-9 for x in logs) >= 0.9 * len(logs)
    assert min(abs(abs(x) - limit) for x in logs) < 1e-9


def test_calibration_takes_away_what_a_device_or_a_network_shares() -> None:
    base = Measurement("a", "d", "f16", 1, 1.0, "", "s", "")
    found = [
        HeldOut(base, 2.0),
        HeldOut(replace(base, network="b"), 3.0),
        HeldOut(replace(base, device="e"), 8.0),
        HeldOut(replace(base, device="e", precision="int8"), 5.0),
    ]
    assert sorted(calibrated_errors(found, "device")) == pytest.approx(
        [-math.log(1.5), math.log(1.5)]
    )
    assert sorted(calibrated_errors(found, "network")) == pytest.approx([-math.log(4), math.log(4)])
