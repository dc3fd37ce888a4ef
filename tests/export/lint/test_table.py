"""The table of rules, its documentation, and the targets they speak of."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from edgereid.errors import UsageError
from edgereid.export.lint.finding import SEVERITIES
from edgereid.export.lint.operators import ONNXRUNTIME, OPENVINO, TENSORRT_8_5, TENSORRT_10_15
from edgereid.export.lint.severity import ALL
from edgereid.export.lint.table import RULES, markdown
from edgereid.export.lint.targets import TARGETS, TENSORRT_RELEASES, choose

onnx = pytest.importorskip("onnx")

DOCS = Path(__file__).parents[3] / "docs" / "lint.md"
START, END = "<!-- rules: generated from export/lint/table.py -->\n", "<!-- end of rules -->"


def test_the_documentation_has_the_table_as_it_is() -> None:
    text = DOCS.read_text(encoding="utf-8")
    assert text[text.index(START) + len(START) : text.index(END)] == markdown()


def test_rules_are_told_apart_and_speak_of_targets_that_exist() -> None:
    assert len({r.id for r in RULES}) == len(RULES)
    assert set(ALL) == set(TARGETS)
    for rule in RULES:
        assert rule.severity, rule.id
        assert set(rule.severity) <= set(TARGETS), rule.id
        assert set(rule.severity.values()) <= set(SEVERITIES), rule.id
        for words in (rule.checks, rule.allowed, rule.do, rule.why, rule.source):
            assert words, rule.id
            assert "|" not in words, "it would break the table"


def test_each_target_has_the_policy_of_its_name() -> None:
    assert all(t.policy.target == name for name, t in TARGETS.items())


@pytest.mark.parametrize(
    ("version", "highest"),
    [("8.5", 17), ("8.6.1", 17), ("10.3", 20), ("10.8", 20), ("10.9.0.34", 22), ("10.16", 24),
     ("11.4", 25), (None, 20)],
)  # fmt: skip
def test_what_is_known_of_a_release_holds_until_the_next(version: str | None, highest: int) -> None:
    target = choose("tensorrt", version)
    assert target.release.opsets[1] == highest
    wanted = "10.3" if version is None else ".".join(version.split(".")[:2])
    assert target.title == f"tensorrt {wanted}"


@pytest.mark.parametrize(
    "version", ["7.2", "8", "10,3", "", "10.3.1.2.3", "\u0661\u0660.\u0663", "8.4.99"]
)
def test_a_version_that_is_none_or_too_old_is_refused(version: str) -> None:
    with pytest.raises(UsageError):
        choose("tensorrt", version)


def test_releases_are_in_order_and_only_grow() -> None:
    versions = [r.version for r in TENSORRT_RELEASES]
    assert versions == sorted(versions, key=lambda v: v or (0, 0))
    for older, newer in pairwise(TENSORRT_RELEASES):
        assert (older.operators.supported or set()) <= (newer.operators.supported or set())


@pytest.mark.parametrize("operators", [TENSORRT_8_5, TENSORRT_10_15], ids=["8.5", "10.15"])
def test_the_lists_name_operators_that_exist(operators: object) -> None:
    """Spelling: but for the six that predate ONNX 1.0 and the newest, the standard knows them."""
    supported = getattr(operators, "supported")  # noqa: B009
    unknown = {name for name in supported if not onnx.defs.has(name)}
    assert unknown <= {"ImageScaler", "ParametricSoftplus", "ScaledTanh", "TensorScatter"}


def test_the_operators_of_every_network_of_this_project_are_on_all_lists() -> None:
    used = "Conv Relu Add Mul MaxPool AveragePool ReduceMean ReduceMax Sigmoid Softmax Gemm Pow"
    more = "Clip GridSample ReduceL2 Div Concat Split Reshape"
    for kind in (*used.split(), *more.split()):
        for operators in (TENSORRT_8_5, TENSORRT_10_15, OPENVINO, ONNXRUNTIME):
            assert operators.takes("", kind), kind
            assert operators.takes("ai.onnx", kind), kind
    assert not TENSORRT_10_15.takes("", "AffineGrid")
    assert not TENSORRT_10_15.takes("com.microsoft", "Gelu")
    assert ONNXRUNTIME.takes("com.microsoft", "Gelu")
    assert not ONNXRUNTIME.takes("", "NoSuchOperator")
