"""The published figures: each with its source, on networks whose work the literature knows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from edgereid.bench.estimate.constants import constants
from edgereid.bench.estimate.devices import devices
from edgereid.bench.estimate.published import (
    Measurement,
    layers_from_json,
    layers_to_json,
    measurements,
    networks,
    publications,
)
from edgereid.bench.estimate.table import BEGIN, END, markdown

PAGE = Path(__file__).parents[3] / "docs" / "estimate.md"


@pytest.mark.parametrize("row", measurements(), ids=lambda m: m.key)
def test_a_figure_has_a_known_source_and_stands_in_its_quote(row: Measurement) -> None:
    assert publications()[row.source].url.startswith("https://")
    assert row.network in networks()
    assert row.precision in devices()[row.device].peaks
    numbers = [float(x) for x in re.findall(r"\d+\.?\d*", row.quote)]
    forms = (row.ms, row.ms / 1e3, row.ms * 1e6, 1e3 / row.ms)  # ms, s, ns, images a second
    assert any(x == pytest.approx(form, rel=5e-4) for x in numbers for form in forms)


def test_no_figure_is_given_twice() -> None:
    assert len({row.key for row in measurements()}) == len(measurements())


def test_five_jetsons_have_a_figure_of_a_residual_or_a_light_network() -> None:
    rows = [r for r in measurements() if devices()[r.device].family == "jetson"]
    residual = {r.device for r in rows if r.network.startswith(("resnet50", "resnet18"))}
    assert len(residual) >= 5
    assert any(r.network.startswith("mobilenet") for r in rows)


@pytest.mark.parametrize(
    ("network", "macs"),  # published: torchvision's weights pages; Howard et al. 2017, table 9
    [
        ("resnet18-224", 1.814e9),
        ("resnet34-224", 3.664e9),
        ("resnet50-224", 4.089e9),
        ("resnet101-224", 7.801e9),
        ("resnet152-224", 11.514e9),
        ("squeezenet1_0-224", 0.819e9),
        ("squeezenet1_1-224", 0.349e9),
        ("mobilenet_v2-224", 0.301e9),
        ("mobilenet_v1_1p0-224", 0.569e9),
    ],
)
def test_the_layers_of_a_network_hold_its_published_multiply_adds(
    network: str, macs: float
) -> None:
    assert sum(x.macs for x in networks()[network]) == pytest.approx(macs, rel=0.01)


def test_a_resnet_of_fifty_layers_is_its_convolutions_two_pools_and_a_product() -> None:
    found = networks()["resnet50-224"]
    assert len(found) == 53 + 2 + 1


def test_layers_survive_the_file() -> None:
    for found in networks().values():
        assert layers_from_json(layers_to_json(found)) == found


def test_the_page_shows_the_table_of_the_stored_constants() -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = page.partition(BEGIN)[2].partition(END)[0].strip()
    assert shown == markdown(constants(), devices()).strip()


def test_the_page_names_every_source_of_the_figures() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for name, publication in publications().items():
        assert publication.url in page, name
