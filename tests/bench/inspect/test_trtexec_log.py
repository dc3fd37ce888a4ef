"""What trtexec prints, from logs that others published."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.bench.inspect.trtexec_log import Clock, TrtexecRun, is_log, release, trtexec_runs
from edgereid.errors import InputError

LATENCY = "[I] Latency: min = 1 ms, max = 3 ms, mean = 2 ms, median = 2 ms, percentile(99%) = 3 ms"
SUMMARY = f"[I] === Performance summary ===\n[I] Throughput: 500 qps\n{LATENCY}\n"


def runs(data: Path, name: str) -> tuple[TrtexecRun, ...]:
    return trtexec_runs((data / name).read_text(), name)


def test_a_summary_of_10_x(data: Path) -> None:
    (run,) = runs(data, "summary-10.log")
    assert run.throughput_qps == 130.298
    assert list(run.clocks) == ["latency", "enqueue", "h2d", "compute", "d2h"]
    assert run.clocks["compute"] == Clock(
        5.34595, 13.3388, 7.58404, 7.14139, {"90": 10.2881, "95": 10.8175, "99": 12.9485}
    )
    assert run.clocks["h2d"].min == 0.0065918


def test_a_summary_of_8_x_with_trtexecs_own_remark(data: Path) -> None:
    (run,) = runs(data, "summary-8.2.log")
    assert run.clocks["latency"].percentiles == {"99": 1.55853}
    assert run.clocks["d2h"] == Clock(0, 0, 0, 0, {"99": 0})
    assert (
        run.remarks[0] == "GPU compute time is unstable, with coefficient of variance = 2.10486%."
    )


def test_a_profiling_run_has_a_setup_and_no_summary(data: Path) -> None:
    (run,) = runs(data, "orin-8.5.log")
    assert run.setup == {
        "release": "8.5.2",
        "device": "Orin",
        "precision": "FP32+INT8",
        "cuda_graph": "Disabled",
        "transfers": "Enabled",
        "spin_wait": "Disabled",
    }
    assert (run.clocks, run.throughput_qps) == ({}, None)


def test_the_layout_before_8_2_is_refused(data: Path) -> None:
    with pytest.raises(InputError, match=r"trtexec 8\.2 or later"):
        runs(data, "summary-8.0.log")


def test_each_run_of_a_log_is_kept_apart(data: Path) -> None:
    head = "&&&& RUNNING TensorRT.trtexec [TensorRT v{}] # trtexec\n"
    text = head.format("100300") + SUMMARY + head.format("110401") + SUMMARY.replace("500", "7")
    found = trtexec_runs(text, "x.log")
    assert [run.setup["release"] for run in found] == ["10.3.0", "11.4.1"]
    assert [run.throughput_qps for run in found] == [500, 7]


def test_summaries_without_their_heads_are_kept_apart_too() -> None:
    found = trtexec_runs(SUMMARY + SUMMARY.replace("500", "7"), "x.log")
    assert [run.throughput_qps for run in found] == [500, 7]


@pytest.mark.parametrize(
    ("digits", "wanted"),
    [
        ("8502", "8.5.2"),
        ("8510", "8.5.10"),
        ("100300", "10.3.0"),
        ("101600", "10.16.0"),
        ("110201", "11.2.1"),
    ],
)
def test_the_release_is_in_the_first_line(digits: str, wanted: str) -> None:
    assert release(digits) == wanted


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("min = 1 ms", "min = nan ms", "no time"),
        ("min = 1 ms", "min = -1 ms", "no time"),
        ("max = 3 ms", "max = inf ms", "no time"),
        ("500 qps", "nan qps", "no time or rate"),
        ("500 qps", "-5 qps", "no time or rate"),
        ("min = 1 ms", "min = 9 ms", "contradicts itself"),
        ("mean = 2 ms", "mean = 4 ms", "contradicts itself"),
        ("median = 2 ms", "median = 0.5 ms", "contradicts itself"),
        ("percentile(99%) = 3 ms", "percentile(99%) = 0.1 ms", "contradicts itself"),
        ("percentile(99%) = 3 ms", "percentile(90%) = 3 ms, percentile(99%) = 2 ms", "contradicts"),
        ("max = 3 ms, ", "", "max is missing"),
        ("max = 3 ms", "max = 3 s", "max is missing"),
        ("max = 3 ms", "max = 3 ms, max = 4 ms", "twice"),
        (", percentile(99%) = 3 ms", "", None),
    ],
)
def test_a_summary_that_cannot_be_is_refused(old: str, new: str, words: str | None) -> None:
    text = SUMMARY.replace(old, new)
    assert text != SUMMARY
    if words is None:
        assert trtexec_runs(text, "x.log")[0].clocks["latency"].percentiles == {}
        return
    with pytest.raises(InputError, match=words):
        trtexec_runs(text, "x.log")


def test_a_log_cut_off_in_a_line_gives_no_half_number(data: Path) -> None:
    """Each number is followed by its unit: one that was cut is missing, not shorter."""
    whole = (data / "summary-10.log").read_text()
    wanted = trtexec_runs(whole, "x")[0].clocks["latency"]
    start = whole.index("Latency:")
    for end in range(start, whole.index("Enqueue")):
        try:
            found = trtexec_runs(whole[:end], "x")[0].clocks.get("latency")
        except InputError:
            continue
        if found is not None:
            assert (found.min, found.max, found.mean, found.median) == (
                wanted.min, wanted.max, wanted.mean, wanted.median,
            )  # fmt: skip
            assert found.percentiles.items() <= wanted.percentiles.items()


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=2), st.floats(0, 1), st.floats(0, 1))
def test_what_is_printed_is_read_back(ends: list[float], at: float, mean_at: float) -> None:
    low, high = (float(f"{value:.6g}") for value in sorted(ends))
    middle, mean = (float(f"{low + (high - low) * part:.6g}") for part in (at, mean_at))
    text = (
        f"[I] === Performance summary ===\n[I] GPU Compute Time: min = {low:g} ms, "
        f"max = {high:g} ms, mean = {mean:g} ms, median = {middle:g} ms, "
        f"percentile(90%) = {high:g} ms\n"
    )
    clock = trtexec_runs(text, "x")[0].clocks["compute"]
    read = (clock.min, clock.max, clock.mean, clock.median)
    assert read == tuple(float(f"{v:g}") for v in (low, high, mean, middle))


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused(text: str) -> None:
    for log in (text, f"=== Performance summary ===\n{text}", SUMMARY + text):
        try:
            found = trtexec_runs(log, "x.log")
        except InputError:
            continue
        assert is_log(log)
        assert found
