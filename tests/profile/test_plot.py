"""The picture: what is in it, and that published and measured figures stay apart."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import defaultdict

import pytest

from edgereid.models.registry import entry, names
from edgereid.profile.accuracy import PUBLISHED, MeasuredAccuracy
from edgereid.profile.memory import Peak
from edgereid.profile.network import Profile
from edgereid.profile.plot import LOOKS, METRICS, draw, measured_marks, published_marks, uncompared
from edgereid.profile.survey import SurveyRow, in_order, row_of

OWN = (MeasuredAccuracy("dslnet", 91.5, 79.8, 439, 2_306, "dslnet.json"),)
MAIN = [name for name in names() if entry(name).published is not None]


def counted(name: str, parameters: int) -> SurveyRow:
    known = entry(name)
    found = Profile(name, (3, 8, 4), (), parameters, 1, 1, Peak(1, "", ""), 1, {}, known.published)
    return row_of(found, known.paper)


@pytest.fixture(scope="module")
def rows() -> tuple[SurveyRow, ...]:
    return in_order(counted(name, 1_000_000 * (i + 1)) for i, name in enumerate(names()))


@pytest.fixture(scope="module")
def svg(rows: tuple[SurveyRow, ...]) -> ElementTree.Element:
    return ElementTree.fromstring(draw(rows, OWN, "svg"))


def ids(svg: ElementTree.Element) -> dict[str, set[tuple[str, str]]]:
    """Kind -> (name, metric) of the drawn marks."""
    found = defaultdict(set)
    for element in svg.iter():
        kind, _, rest = element.get("id", "").partition(":")
        if kind in LOOKS:
            found[kind].add(tuple(rest.rsplit(":", 1)))
    return found


def test_every_main_network_is_named(svg: ElementTree.Element) -> None:
    text = {"".join(e.itertext()).strip().partition(" [")[0] for e in svg.iter() if "text" in e.tag}
    assert set(MAIN) <= text


def test_published_and_measured_figures_are_marks_of_different_kinds(
    svg: ElementTree.Element,
) -> None:
    found = ids(svg)
    both = [p for p in PUBLISHED if p.parameters is not None]
    for metric in METRICS:
        published = {n for kind in ("published", "at-least") for n, m in found[kind] if m == metric}
        assert published == {p.label for p in both}
        ours = {n for kind in ("implemented", "no-accuracy") for n, m in found[kind] if m == metric}
        assert ours == set(MAIN)
    assert found["measured"] == {("dslnet", metric) for metric in METRICS}
    assert not {p.label for p in PUBLISHED} & set(MAIN)


def test_every_kind_looks_different_and_only_ours_are_filled() -> None:
    looks = {(look.marker, look.fill, look.colour) for look in LOOKS.values()}
    assert len(looks) == len(LOOKS)
    assert [kind for kind, look in LOOKS.items() if look.fill == "none"] == [
        kind for kind, look in LOOKS.items() if not look.own
    ]


@pytest.mark.parametrize("metric", METRICS)
def test_a_mark_of_ours_stands_at_our_parameters_and_the_paper_s_accuracy(
    rows: tuple[SurveyRow, ...], metric: str
) -> None:
    counts = {r.profile.network: r.profile.parameters / 1e6 for r in rows}
    marks = [m for m in published_marks(rows, metric) if m.kind == "implemented"]
    assert marks
    for mark in marks:
        best = max((p for p in PUBLISHED if p.network == mark.name), key=lambda p: p.rank1)
        assert (mark.millions, mark.percent) == (counts[mark.name], getattr(best, metric))
    assert {m.name for m in marks} | set(uncompared(rows)) == set(MAIN)


def test_the_built_in_data_never_enters_the_panel_of_market_1501(
    rows: tuple[SurveyRow, ...],
) -> None:
    (mark,) = measured_marks(rows, OWN, "rank1")
    assert (mark.kind, mark.percent) == ("measured", 91.5)
    assert all(m.kind != "measured" for m in published_marks(rows, "rank1"))


def test_the_picture_says_its_data_and_its_sources(svg: ElementTree.Element) -> None:
    text = " ".join("".join(e.itertext()) for e in svg.iter() if "text" in e.tag)
    for words in ("Market-1501", "Built-in data set", "439 queries", "arXiv 1910.07038", "Table 3"):
        assert words in text


def test_equal_input_gives_equal_bytes_and_no_record_no_mark(rows: tuple[SurveyRow, ...]) -> None:
    first = draw(rows, (), "svg")
    assert first == draw(rows, (), "svg")
    assert not ids(ElementTree.fromstring(first))["measured"]


def test_a_png_is_a_png(rows: tuple[SurveyRow, ...]) -> None:
    assert draw(rows[:1], OWN, "png").startswith(b"\x89PNG\r\n")
