"""The simulation of the gate's error rates: it runs, and what is committed says what is claimed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
BENCHMARK = ROOT / "benchmarks" / "gate_errors.py"
RESULTS = ROOT / "benchmarks" / "results"


@pytest.fixture(scope="module")
def committed() -> dict[str, Any]:
    value: dict[str, Any] = json.loads((RESULTS / "gate_errors.json").read_text())
    return value


def test_the_simulation_runs_and_writes_rates(tmp_path: Path) -> None:
    out = tmp_path / "rates.json"
    command = [sys.executable, BENCHMARK, "--runs", "3", "--size", "small", "--json", out]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    rates = json.loads(out.read_text())["rates"]["small"]
    for by_truth in rates.values():
        for said in by_truth.values():
            assert sum(said.values()) == pytest.approx(1)
    assert "| small | mAP, naive over queries |" in done.stdout


@pytest.mark.parametrize("size", ["small", "medium", "market"])
@pytest.mark.parametrize("test", ["mAP", "Rank-1", "gate"])
@pytest.mark.parametrize("wrong", ["pass", "fail"])
def test_no_verdict_is_wrong_more_often_than_it_says(
    size: str, test: str, wrong: str, committed: dict[str, Any]
) -> None:
    options = committed["options"]
    level, runs = options["level"], options["runs"]
    rate = committed["rates"][size][test]["budget"][wrong]
    assert rate <= level + 2 * (level * (1 - level) / runs) ** 0.5


@pytest.mark.parametrize("size", ["small", "medium", "market"])
@pytest.mark.parametrize("test", ["mAP", "Rank-1"])
def test_a_naive_bootstrap_is(size: str, test: str, committed: dict[str, Any]) -> None:
    rates = committed["rates"][size][f"{test} naive"]["budget"]
    assert max(rates["pass"], rates["fail"]) > 1.5 * committed["options"]["level"]


def test_twice_the_budget_is_caught_at_the_size_of_market_1501(committed: dict[str, Any]) -> None:
    rates = committed["rates"]["market"]
    assert rates["mAP"]["twice"]["fail"] >= 0.9
    assert rates["gate"]["twice"]["fail"] >= 0.9
    assert rates["Rank-1"]["twice"]["pass"] <= 0.01


def test_the_page_shows_the_table_that_was_measured() -> None:
    table = (RESULTS / "gate_errors.md").read_text()
    assert table in (ROOT / "docs" / "gate.md").read_text()
