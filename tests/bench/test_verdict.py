"""The verdict on made-up results: a table of outcomes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from edgereid.bench.notes import notes
from edgereid.bench.result import BenchResult
from edgereid.bench.verdict import judge

Make = Callable[..., BenchResult]


def rows(spec: Any, **changes: dict[str, Any]) -> list[Any]:
    """ONNX Runtime FP32 (reference), OpenVINO FP32, bf16 and both INT8 engines."""
    usual = {
        "ort": spec("ONNX Runtime FP32", "onnxruntime", "f32", {1: 15.0, 16: 240.0}),
        "ov": spec("OpenVINO FP32", "openvino", "f32", {1: 16.0, 16: 200.0}),
        "bf16": spec("OpenVINO bf16", "openvino", "bf16", {1: 9.5, 16: 90.0}, drop=0.05),
        "ort8": spec(
            "ONNX Runtime INT8",
            "onnxruntime",
            "int8",
            {1: 25.0, 16: 280.0},
            drop=0.2,
            file="engine.onnx",
            bytes=2_000_000,
        ),
        "ov8": spec(
            "OpenVINO INT8",
            "openvino",
            "int8",
            {1: 8.0, 16: 80.0},
            drop=0.2,
            file="engine.xml",
            bytes=2_000_000,
        ),
    }
    return [replace(row, **changes.get(name, {})) for name, row in usual.items()]


def test_the_fastest_engine_within_the_budget_is_recommended(
    make_result: Make, row_spec: Any
) -> None:
    verdict = judge(make_result(rows(row_spec)))
    assert verdict.exit_code == 0
    assert verdict.sentences[0] == (
        "SHIP dslnet-int8/engine.xml (OpenVINO INT8): 3.00x ONNX Runtime FP32 at batch 16, 1.88x "
        "at batch 1; mAP 78.0 (-0.20, budget 0.5), Rank-1 90.0; file 25 % of float."
    )
    assert verdict.standings["OpenVINO INT8"].ship_at == (1, 16)


def test_an_int8_engine_slower_than_float_is_marked_and_not_recommended(
    make_result: Make, row_spec: Any
) -> None:
    verdict = judge(make_result(rows(row_spec)))
    standing = verdict.standings["ONNX Runtime INT8"]
    assert standing.slow_at == (1, 16)
    assert standing.text((1, 16)) == "slower than float"
    (refusal,) = [s for s in verdict.sentences if "engine.onnx" in s]
    assert refusal.startswith("Do not ship")
    assert "0.60x ONNX Runtime FP32" in refusal  # the fastest float row at batch 1
    assert "0.71x OpenVINO FP32" in refusal  # and at batch 16


@pytest.mark.parametrize("name", ["ort8", "ov8"])
def test_slower_than_float_in_another_runtime_is_slower_than_float(
    make_result: Make, row_spec: Any, name: str
) -> None:
    """Faster than its own runtime's float row, slower than the other's."""
    fast = {"ms": {1: 4.0, 16: 40.0}}
    middle = {"ms": {1: 6.0, 16: 60.0}}
    other = "ov" if name == "ort8" else "ort"
    result = make_result(rows(row_spec, **{other: fast, name: middle}))
    row = {"ort8": "ONNX Runtime INT8", "ov8": "OpenVINO INT8"}[name]
    assert judge(result).standings[row].slow_at == (1, 16)
    assert judge(result).standings[row].ship_at == ()


def test_bf16_wins_when_it_is_fastest(make_result: Make, row_spec: Any) -> None:
    verdict = judge(make_result(rows(row_spec, bf16={"ms": {1: 5.0, 16: 50.0}})))
    assert verdict.sentences[0].startswith("SHIP dslnet-int8/model.onnx (OpenVINO bf16): 4.80x")
    assert "file" not in verdict.sentences[0]  # the same file
    assert (
        "dslnet-int8/engine.xml (OpenVINO INT8) keeps its budget, but dslnet-int8/model.onnx "
        "(OpenVINO bf16) is faster (1.60x at batch 1 and 1.60x at batch 16)."
    ) in verdict.sentences


def test_the_best_of_each_batch_size_is_told_apart(make_result: Make, row_spec: Any) -> None:
    verdict = judge(make_result(rows(row_spec, bf16={"ms": {1: 5.0, 16: 90.0}})))
    assert verdict.sentences[0].startswith(
        "At batch 1: SHIP dslnet-int8/model.onnx (OpenVINO bf16)"
    )
    assert verdict.sentences[1].startswith("At batch 16: SHIP dslnet-int8/engine.xml")
    assert verdict.standings["OpenVINO INT8"].text((1, 16)) == "SHIP at 16"


def test_an_engine_may_be_slow_at_one_batch_size_and_shipped_for_the_other(
    make_result: Make, row_spec: Any
) -> None:
    changes = {"ov8": {"ms": {1: 30.0, 16: 80.0}}}
    verdict = judge(make_result(rows(row_spec, **changes)))
    standing = verdict.standings["OpenVINO INT8"]
    assert (standing.ship_at, standing.slow_at) == ((16,), (1,))
    assert standing.text((1, 16)) == "SHIP at 16, slower than float at 1"
    assert not any(s.startswith("Do not ship dslnet-int8/engine.xml") for s in verdict.sentences)
    assert any(s.startswith("Not everywhere: dslnet-int8/engine.xml") for s in verdict.sentences)


def test_a_broken_budget_fails_although_the_engine_is_fast(
    make_result: Make, row_spec: Any
) -> None:
    verdict = judge(make_result(rows(row_spec, ov8={"drop": 0.8})))
    assert verdict.exit_code == 1
    assert verdict.standings["OpenVINO INT8"].text((1, 16)) == "over budget"
    assert verdict.sentences[0].startswith("SHIP dslnet-int8/model.onnx (OpenVINO bf16)")
    assert any(
        s.startswith("Do not ship dslnet-int8/engine.xml (OpenVINO INT8): it loses 0.80 points")
        for s in verdict.sentences
    )


@pytest.mark.parametrize(("drop", "code"), [(0.5, 0), (0.5001, 1), (-3.0, 0)])
def test_the_budget_is_broken_above_it_and_not_at_it(
    make_result: Make, row_spec: Any, drop: float, code: int
) -> None:
    assert judge(make_result(rows(row_spec, ov8={"drop": drop}))).exit_code == code


def test_a_wider_budget_lets_the_same_engine_pass(make_result: Make, row_spec: Any) -> None:
    assert judge(make_result(rows(row_spec, ov8={"drop": 0.8}), budget=1.0)).exit_code == 0


def test_bf16_out_of_budget_is_not_recommended_and_fails_nothing(
    make_result: Make, row_spec: Any
) -> None:
    changes = {"bf16": {"drop": 2.0, "ms": {1: 1.0, 16: 10.0}}}
    verdict = judge(make_result(rows(row_spec, **changes)))
    assert verdict.exit_code == 0
    assert verdict.standings["OpenVINO bf16"].ship_at == ()
    assert verdict.sentences[0].startswith("SHIP dslnet-int8/engine.xml")


def test_float_is_recommended_when_nothing_beats_it(make_result: Make, row_spec: Any) -> None:
    slow = {"ms": {1: 50.0, 16: 500.0}}
    result = make_result(rows(row_spec, ov=slow, bf16=slow, ort8=slow, ov8=slow))
    verdict = judge(result)
    assert verdict.sentences[0] == (
        "SHIP dslnet-int8/model.onnx (ONNX Runtime FP32), the float reference: nothing within the "
        "budget is faster; mAP 78.0, Rank-1 90.0."
    )


def test_a_drop_that_is_not_settled_is_called_so(make_result: Make, row_spec: Any) -> None:
    verdict = judge(make_result(rows(row_spec, ov8={"drop": 0.4, "spread": 0.3})))
    assert verdict.exit_code == 0
    assert "Not settled" in verdict.sentences[0]
    assert "-0.70 to -0.10" in verdict.sentences[0]
    assert "400 queries of 100 persons" in verdict.sentences[0]


def test_a_speed_from_few_rounds_is_called_unsettled(make_result: Make, row_spec: Any) -> None:
    settled = make_result(rows(row_spec))
    assert "Not settled" not in judge(settled).sentences[0]
    hasty = make_result(rows(row_spec), rounds=3)
    sentence = judge(hasty).sentences[0]
    assert "Not settled: rounds of turns 3 at batch 1 and 3 at batch 16" in sentence


def test_a_tie_is_called_a_tie(make_result: Make, row_spec: Any) -> None:
    verdict = judge(make_result(rows(row_spec, bf16={"ms": {1: 8.0, 16: 90.0}})))
    assert any("At batch 1" in s and "as fast within the noise" in s for s in verdict.sentences)
    assert not any("At batch 16" in s and "noise" in s for s in verdict.sentences)


def test_without_accuracy_nothing_is_recommended(make_result: Make, row_spec: Any) -> None:
    specs = [replace(row, mean_ap=None, drop=None) for row in rows(row_spec)]
    verdict = judge(make_result(specs))
    assert verdict.exit_code == 0
    assert not any("SHIP" in s for s in verdict.sentences)
    assert verdict.sentences[0].startswith(
        "Fastest: dslnet-int8/engine.xml (OpenVINO INT8) at batch 1 and"
    )
    assert "--data" in verdict.sentences[0]
    assert any(s.startswith("Do not ship dslnet-int8/engine.onnx") for s in verdict.sentences)


def test_an_engine_without_a_reference_is_described_and_not_recommended(
    make_result: Make, row_spec: Any
) -> None:
    alone = rows(row_spec)[-1:]
    verdict = judge(make_result(alone, reference=None))
    assert verdict.exit_code == 0
    assert "no float reference" in verdict.sentences[0]
    assert "mAP 78.0" in verdict.sentences[0]


def test_bundles_are_judged_apart(make_result: Make, row_spec: Any) -> None:
    """A fast engine of one network does not make another network's engine slow."""
    first = rows(row_spec)
    result = make_result(first)
    other = tuple(
        replace(
            row,
            key=f"b:{row.key}",
            label=f"b: {row.label}",
            group="b",
            reference=f"b:{row.reference}",
        )
        for row in make_result(
            rows(row_spec, ort={"ms": {1: 90.0, 16: 900.0}}, ov={"ms": {1: 91.0, 16: 910.0}})
        ).rows
    )
    verdict = judge(replace(result, rows=result.rows + other))
    assert verdict.standings["ONNX Runtime INT8"].slow_at == (1, 16)
    assert verdict.standings["b:ONNX Runtime INT8"].slow_at == ()


def test_notes_name_what_is_missing_and_shaky(make_result: Make, row_spec: Any) -> None:
    result = make_result(rows(row_spec, ov8={"runs_as": "f32"}))
    text = "\n".join(notes(result))
    assert "p99 (1,000 runs; no result has it)" in text
    assert "left out: TensorRT INT8 (engine.plan): TensorRT is not installed" in text
    assert "400 queries of 100 persons (2 dropped)" in text
    assert "OpenVINO INT8 is meant for int8, but openvino runs it in f32" in text
    assert "unstable" not in text
