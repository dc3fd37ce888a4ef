"""Text, Markdown and JUnit XML; the verdict of all parts together."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from edgereid.bench.gate.junit import junit
from edgereid.bench.gate.report import markdown, text
from edgereid.bench.gate.result import Check, GateResult, Measure
from edgereid.files import dump_json

Make = Callable[..., GateResult]
MakeMeasure = Callable[..., Measure]

CASES = [
    (["pass", "pass"], ["pass", "info"], "pass", 0),
    (["pass", "undecided"], ["pass"], "undecided", 2),
    (["pass", "pass"], ["fail"], "fail", 1),
    (["undecided", "fail"], ["info"], "fail", 1),
    (["pass"], [], "pass", 0),
]


@pytest.mark.parametrize(("measures", "checks", "verdict", "code"), CASES)
def test_the_worst_part_decides(
    measures: list[str],
    checks: list[str],
    verdict: str,
    code: int,
    make_gate: Make,
    make_measure: MakeMeasure,
) -> None:
    result = make_gate(
        [make_measure(f"m{i}", v) for i, v in enumerate(measures)],
        [Check(f"c{i}", v, "words") for i, v in enumerate(checks)],
    )
    assert (result.verdict, result.exit_code) == (verdict, code)
    assert text(result).splitlines()[-1].startswith(verdict.upper())


def test_the_number_that_settles_all_is_the_largest(
    make_gate: Make, make_measure: MakeMeasure
) -> None:
    open_ones = [make_measure("a", "undecided", 300), make_measure("b", "undecided", 900)]
    result = make_gate([make_measure("c", "pass"), *open_ones])
    assert result.needed_identities == 900
    assert "900 query identities" in text(result)
    hopeless = make_gate([*open_ones, make_measure("d", "undecided", None)])
    assert hopeless.needed_identities is None
    assert "too near the budget" in text(hopeless)


@pytest.fixture
def full(make_gate: Make, make_measure: MakeMeasure) -> GateResult:
    return make_gate(
        [
            make_measure("mAP", "pass"),
            make_measure("Rank-1", "undecided", 1234),
            make_measure("latency ratio", "fail", unit="x"),
        ],
        [Check("agreement", "pass", "fine", {"mean": 0.99}), Check("batch sizes", "fail", "bad")],
    )


def test_a_table_tells_drop_bounds_budget_and_verdict(full: GateResult) -> None:
    lines = text(full).splitlines()
    row = next(line for line in lines if line.startswith("mAP"))
    assert row.split() == ["mAP", "80.00", "79.00", "0.20", "-0.10", "to", "0.30", "0.5", "PASS"]
    assert any("10.00 ms" in line and "0.20x" in line for line in lines)
    assert any("1,234 query identities" in line for line in lines)


def test_a_bound_that_is_not_known_is_not_a_number(
    make_gate: Make, make_measure: MakeMeasure
) -> None:
    unknown = replace(make_measure("mAP", "undecided"), low=None, high=None)
    assert "? to ?" in text(make_gate([unknown]))
    assert "bounds ? to ?" in junit(make_gate([unknown]))


def test_the_json_is_whole(full: GateResult) -> None:
    value = json.loads(dump_json(full.to_json()))
    assert (value["kind"], value["verdict"], value["exit_code"]) == ("edgereid-gate", "fail", 1)
    assert [m["name"] for m in value["measures"]] == ["mAP", "Rank-1", "latency ratio"]
    assert value["checks"][0]["details"] == {"mean": 0.99}


def test_markdown_is_tables_of_equal_width(full: GateResult) -> None:
    lines = markdown(full).splitlines()
    assert lines[0] == "## Accuracy gate: FAIL"
    rows = [line for line in lines if line.startswith("|")]
    assert {line.count("|") for line in rows} == {8, 4}
    assert "**FAIL:" in lines[-1]


def test_names_of_files_cannot_become_markup(full: GateResult) -> None:
    bad = replace(full.candidate, file="a|b<script>`x`*_[l](u)\n# head")
    lines = markdown(replace(full, candidate=bad)).splitlines()
    line = next(line for line in lines if line.startswith("candidate"))
    assert "<" not in line
    assert "\\|" in line
    assert "\\`x\\`" in line
    assert sum(line.startswith("#") for line in lines) == 1


def test_junit_xml_fits_the_schema_of_its_readers(full: GateResult) -> None:
    xmlschema = pytest.importorskip("xmlschema")
    schema = xmlschema.XMLSchema(str(Path(__file__).with_name("junit.xsd")))
    schema.validate(junit(full))
    broken = junit(full).replace("<testcase", "<testcase unheard='of'", 1)
    assert not schema.is_valid(broken)


def test_junit_xml_has_a_case_a_part_and_counts_failures(full: GateResult) -> None:
    root = ET.fromstring(junit(full).partition("\n")[2])
    cases = root.findall("./testsuite/testcase")
    assert [c.get("name") for c in cases] == [
        "mAP", "Rank-1", "latency ratio", "agreement", "batch sizes"
    ]  # fmt: skip
    types = {c.get("name"): [f.get("type") for f in c.findall("failure")] for c in cases}
    assert types["mAP"] == types["agreement"] == []
    assert types["Rank-1"] == ["undecided"]
    assert types["latency ratio"] == types["batch sizes"] == ["fail"]
    assert (root.get("tests"), root.get("failures")) == ("5", "3")
    assert root.get("time") == "12.346"


def test_what_xml_cannot_hold_is_replaced(full: GateResult) -> None:
    bad = replace(full.candidate, file="a\x00b\x1b<&\ud800.onnx")
    root = ET.fromstring(junit(replace(full, candidate=bad)).partition("\n")[2])
    values = {p.get("name"): p.get("value") or "" for p in root.iter("property")}
    assert "a?b?<&?.onnx" in values["candidate"]
