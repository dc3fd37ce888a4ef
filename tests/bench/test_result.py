"""The result file: it comes back as it was, whole or not at all."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.bench.codec import encode
from edgereid.bench.result import BenchResult, read_result, without_samples, write_result
from edgereid.bench.stats import summarise
from edgereid.bench.verdict import judge
from edgereid.errors import InputError


def test_a_result_comes_back_as_it_was(usual: BenchResult, tmp_path: Path) -> None:
    write_result(tmp_path / "r.json", usual)
    back = read_result(tmp_path / "r.json")
    assert back == usual
    assert judge(back) == judge(usual)


def test_every_raw_sample_is_in_the_file_and_gives_the_stated_summary(
    usual: BenchResult, tmp_path: Path
) -> None:
    write_result(tmp_path / "r.json", usual)
    row = json.loads((tmp_path / "r.json").read_text())["rows"][0]
    samples = [s for block in row["latency"]["16"]["samples"]["rounds_ns"] for s in block]
    assert len(samples) == row["latency"]["16"]["summary"]["count"] == 120
    assert encode(summarise(samples, 16)) == row["latency"]["16"]["summary"]


def test_the_printed_json_has_no_raw_samples(usual: BenchResult) -> None:
    printed = without_samples(usual.to_json())
    text = json.dumps(printed)
    assert "rounds_ns" not in text
    assert "average_precision" not in text
    assert printed["rows"][0]["latency"]["1"]["summary"]["count"] == 120


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{}", "no result"),
        ('{"kind": "edgereid-bench", "schema": 99}', "no result"),
        ('{"kind": "edgereid-bench", "schema": 1}', "cannot|can read"),
        ("[]", "no result"),
        ("nonsense", "not valid JSON"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(InputError, match=why):
        read_result(path)


@pytest.mark.parametrize(
    ("field", "value"), [("edgereid", 5), ("rows", None), ("warnings", [1]), ("before", {})]
)
def test_fields_of_another_type_are_refused(
    usual: BenchResult, tmp_path: Path, field: str, value: Any
) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps({**usual.to_json(), field: value}))
    with pytest.raises(InputError, match="can read"):
        read_result(path)


def test_what_a_runtime_says_of_itself_may_be_anything(usual: BenchResult, tmp_path: Path) -> None:
    strange = {
        "array": np.float32(1.5),
        "nan": float("nan"),
        "path": Path("a/b"),
        "list": (1, None),
    }
    result = replace(usual, rows=(replace(usual.rows[0], details=strange),))
    write_result(tmp_path / "r.json", result)
    details = read_result(tmp_path / "r.json").rows[0].details
    assert details == {"array": "1.5", "nan": "nan", "path": "a/b", "list": [1, None]}
