"""The page and the table: complete, self-contained, safe."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from edgereid.bench.notes import notes
from edgereid.bench.report import page, write_report
from edgereid.bench.result import BenchResult
from edgereid.bench.table import text
from edgereid.bench.verdict import judge
from edgereid.errors import StorageError

HOSTILE = '<script>alert("x")</script>"\'$\\frac&--><img src=http://evil/>'
VOID = {"meta", "link", "img", "br", "hr", "input"}


class Balanced(HTMLParser):
    """Collects tags and attributes, and fails on tags that do not nest."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def parse(html: str) -> Balanced:
    parser = Balanced()
    parser.feed(html)
    parser.close()
    assert parser.open == []
    return parser


@pytest.fixture
def usual_page(usual: BenchResult) -> str:
    return page(usual, judge(usual))


def test_the_page_is_well_formed_and_shows_every_engine(
    usual: BenchResult, usual_page: str
) -> None:
    parser = parse(usual_page)
    shown = " ".join(parser.text)
    for row in usual.rows:
        assert row.label in shown
    for sentence in judge(usual).sentences:
        assert sentence in shown
    assert "A Processor" in shown
    assert "absent: not there" in shown
    assert "svg" in parser.tags


def test_the_page_needs_nothing_from_outside(usual_page: str) -> None:
    parser = parse(usual_page)
    assert "://" not in usual_page
    assert not {"script", "link", "iframe", "object", "img"} & parser.tags
    references = [v for n, v in parser.attributes if n in ("href", "xlink:href", "src")]
    assert references
    assert all(value.startswith("#") for value in references)
    assert not re.search(r"@import|url\((?!#)", usual_page)
    assert "default-src 'none'" in usual_page


def hostile(result: BenchResult) -> BenchResult:
    """Every text that could come from a file says something nasty."""
    names = {
        "label": HOSTILE, "group": HOSTILE, "file": HOSTILE, "version": HOSTILE,
        "runtime": HOSTILE, "precision": "int8" + HOSTILE, "runs_as": HOSTILE,
    }  # fmt: skip
    row = result.rows[-1]
    changed = replace(row, **names)
    return replace(
        result,
        rows=(*result.rows[:-1], changed),
        left_out=(replace(result.left_out[0], label=HOSTILE, reason=HOSTILE),),
        warnings=(HOSTILE,),
        machine=replace(result.machine, os=HOSTILE, packages={HOSTILE: HOSTILE}),
    )


@pytest.mark.parametrize("with_accuracy", [True, False])
def test_a_hostile_name_stays_a_name(usual: BenchResult, with_accuracy: bool) -> None:
    result = hostile(usual)
    if not with_accuracy:
        result = replace(result, dataset=None)
    html = page(result, judge(result))
    parser = parse(html)
    assert not {"script", "img"} & parser.tags
    assert "<script" not in html
    assert HOSTILE in " ".join(parser.text)
    assert not any(name.startswith("on") for name, _ in parser.attributes)


def test_the_drawing_names_every_point_and_no_two_names_stand_in_one_place(
    usual: BenchResult, usual_page: str
) -> None:
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    svg = usual_page[usual_page.index("<svg") : usual_page.index("</svg>")]
    for row in usual.rows:
        assert svg.count(f">{row.label}") == 2, row.label  # one a batch size
    boxes = []
    texts = re.findall(r"<text ([^>]*)>([^<]*)</text>", svg)
    for attributes, content in texts:
        if not any(content.startswith(row.label) for row in usual.rows):
            continue
        x, y = map(float, re.findall(r'x="([-\d.]+)" y="([-\d.]+)"', attributes)[0])
        font = FontProperties(weight="bold" if "bold" in attributes else "normal", size=9)
        width = TextPath((0, 0), content, prop=font).get_extents().width
        anchor = re.findall(r"text-anchor: (\w+)", attributes)
        left = x - {"middle": width / 2, "end": width}.get(anchor[0] if anchor else "", 0.0)
        boxes.append((left, y - 7, left + width, y + 2, content))
    assert len(boxes) == 2 * len(usual.rows)
    for i, a in enumerate(boxes):
        for b in boxes[:i]:
            apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
            assert apart, (a, b)


def test_the_page_is_the_same_for_the_same_result(usual: BenchResult, usual_page: str) -> None:
    assert page(usual, judge(usual)) == usual_page


def test_a_result_without_accuracy_gets_a_drawing_of_latency(
    make_result: Callable[..., BenchResult], row_spec: Any
) -> None:
    specs = [
        row_spec(name, "openvino", precision, {1: ms}, mean_ap=None)
        for name, precision, ms in (("FP32", "f32", 9.0), ("INT8", "int8", 3.0))
    ]
    result = make_result(specs)
    html = page(result, judge(result))
    parse(html)
    assert "<h2>Latency</h2>" in html
    assert "Accuracy against latency" not in html


def test_a_single_engine_is_enough(make_result: Callable[..., BenchResult], row_spec: Any) -> None:
    result = make_result([row_spec("only", "openvino", "f32", {1: 9.0})])
    parse(page(result, judge(result)))


def test_the_page_is_written_whole_or_not_at_all(usual: BenchResult, tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StorageError):
        write_report(blocked / "page.html", usual, judge(usual))
    write_report(tmp_path / "page.html", usual, judge(usual))
    assert (tmp_path / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "page.html"]


def test_the_text_table_has_one_line_an_engine_with_the_reference_first(usual: BenchResult) -> None:
    shown = text(usual, judge(usual), notes(usual)).splitlines()
    labels = [row.label for row in usual.rows]
    table = shown[: shown.index("")]
    assert [next(x for x in labels if line.startswith(x)) for line in table[3:]] == labels
    assert table[3].rstrip().endswith("reference")
    assert table[-1].rstrip().endswith("SHIP")
    assert "82.0 / 82.6" in table[-1]
    assert "2.93x" in table[-1]
    assert "-0.20 (-0.40 to 0.00)" in table[-1]
    assert max(len(line) for line in table) <= 150
    assert shown[-2].startswith("SHIP") or shown[-1].startswith("Do not ship")
