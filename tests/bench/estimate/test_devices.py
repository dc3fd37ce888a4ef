"""The table of devices: every figure has a source, and they fit each other."""

from __future__ import annotations

import re
from datetime import date

import pytest

from edgereid.bench.estimate.devices import FIGURES, RATES, Device, device, devices
from edgereid.errors import UsageError

ALL = list(devices().values())


def figure(found: Device, name: str) -> float | None:
    """A figure as the file prints it."""
    rates = {field: p for p, field in RATES.items()}
    if name in rates:
        peak = found.peaks.get(rates[name])
        return None if peak is None else 2 * peak / 1e12
    return found.bandwidth / 1e9 if name == "bandwidth_gb_s" else found.watts


@pytest.mark.parametrize("found", ALL, ids=lambda d: d.name)
def test_every_figure_has_a_source_with_words_and_an_address(found: Device) -> None:
    known = {name for name in FIGURES if figure(found, name) is not None}
    assert known == {name for source in found.sources for name in source.fields}
    for source in found.sources:
        assert source.url.startswith("https://")
        assert source.quote.strip()
        assert date.fromisoformat(source.read) >= date(2026, 11, 1)
    assert set(found.derived) <= known


@pytest.mark.parametrize("found", ALL, ids=lambda d: d.name)
def test_rates_stand_in_the_ratios_of_the_hardware(found: Device) -> None:
    peaks = found.peaks
    if "int8" in peaks:
        assert peaks["int8"] == pytest.approx(2 * peaks["f16"], rel=0.01)
    vector = 2 if "f16" not in found.tensor_cores else 4
    assert peaks["f16"] >= 0.99 * vector * peaks["f32"] * (1 if found.family == "jetson" else 0.9)
    assert set(found.tensor_cores) <= set(peaks)
    assert 5e9 < found.bandwidth < 5e12
    assert 1 < peaks["f16"] / found.bandwidth < 300, "MACs a byte"


@pytest.mark.parametrize("found", ALL, ids=lambda d: d.name)
def test_a_rate_worked_out_of_cores_and_clock_is_their_product(found: Device) -> None:
    pattern = r"(\d+) (?:CUDA|tensor) cores x (?:(\d+) multiply-adds x )?2 operations x (\d+) MHz"
    for name, how in found.derived.items():
        match = re.match(pattern, how)
        if match is not None:
            units, macs, mhz = (int(group or 1) for group in match.groups())
            value = figure(found, name)
            assert value == pytest.approx(units * macs * 2 * mhz * 1e6 / 1e12, rel=0.01)


def test_the_dense_rate_is_taken_where_the_data_sheet_also_prints_the_sparse_one() -> None:
    assert 2 * device("orin-nano-8gb").peaks["int8"] == 20e12
    assert 2 * device("agx-orin-64gb").peaks["int8"] == 170e12 / 2
    assert 2 * device("orin-nx-16gb").peaks["int8"] == (100e12 - 40e12) / 2


def test_five_jetsons_at_least_and_some_desktop_devices_are_known() -> None:
    families = [d.family for d in ALL]
    assert families.count("jetson") >= 5
    assert families.count("desktop") >= 3


def test_an_unknown_device_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"Did you mean 'orin-nano-8gb'.*agx-xavier"):
        device("orin-nano-8g")


def test_a_precision_without_arithmetic_is_refused() -> None:
    with pytest.raises(UsageError, match="no rate of int8 is known for jetson-nano: choose f32 or"):
        device("jetson-nano").require("int8")
