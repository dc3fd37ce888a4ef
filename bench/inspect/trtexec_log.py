"""What ``trtexec`` prints: the performance summary, from 8.2 on, and how the run was set up.

source: ``samples/common/sampleReporting.cpp`` of github.com/NVIDIA/TensorRT, and logs that others
published (tests/bench/inspect/data). A log may hold several runs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from edgereid.errors import InputError

#: Label in the summary -> our name.
CLOCKS = {
    "Latency": "latency",
    "Enqueue Time": "enqueue",
    "H2D Latency": "h2d",
    "GPU Compute Time": "compute",
    "D2H Latency": "d2h",
}
_SETUP = {
    "TensorRT version": "release",
    "Selected Device": "device",
    "Precision": "precision",
    "CUDA Graph": "cuda_graph",
    "Data transfers": "transfers",
    "Spin-wait": "spin_wait",
}
_SWITCHES = ("cuda_graph", "transfers", "spin_wait")
_SUMMARY = "=== Performance summary ==="
_START = re.compile(r"^&&&& RUNNING TensorRT\.trtexec \[TensorRT v(\d{4,6})\]")
_STAMP = re.compile(r"^(?:\[\d\d/\d\d/\d{4}-\d\d:\d\d:\d\d\] )?(?:\[[IWEV]\] )?")
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?|[-+]?(?:nan|inf)"
_STATISTIC = re.compile(rf"(min|max|mean|median|percentile\((\d+(?:\.\d+)?)%\)) = ({_NUMBER}) ms")
_THROUGHPUT = re.compile(rf"^Throughput: ({_NUMBER}) qps$")
_LINES_MAX = 5_000_000
_SLACK = 1e-4  # six digits are printed


@dataclass(frozen=True, slots=True)
class Clock:
    """Milliseconds; ``percentiles``: of a hundred -> milliseconds."""

    min: float
    max: float
    mean: float
    median: float
    percentiles: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class TrtexecRun:
    """One run. ``setup``: release, device, precision as asked, and the switches of the clock;
    ``clocks``: latency, enqueue, h2d, compute, d2h, empty where no summary was printed; ``remarks``
    are trtexec's own warnings about them."""

    setup: Mapping[str, str] = field(default_factory=dict)
    throughput_qps: float | None = None
    clocks: Mapping[str, Clock] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


def is_log(text: str) -> bool:
    """Whether a text is of trtexec's kind."""
    return "&&&& RUNNING TensorRT.trtexec" in text or _SUMMARY in text


def trtexec_runs(text: str, source: str) -> tuple[TrtexecRun, ...]:
    """The runs in a log, in order. Raises InputError, naming ``source``, when it is none or a
    summary contradicts itself."""
    lines = text.splitlines()
    if len(lines) > _LINES_MAX:
        raise InputError(f"{source} has {len(lines):,} lines: no log of a single trtexec.")
    runs = [_run(part, source) for part in _parts(lines)]
    kept = tuple(run for run in runs if run.clocks or run.setup)
    if not is_log(text) or not kept:
        raise InputError(
            f"{source} is no log of trtexec 8.2 or later: it has no performance summary."
        )
    return kept


def _parts(lines: list[str]) -> Iterator[list[str]]:
    """A run ends where the next one starts, or, in a log without its head, at the next summary."""
    part: list[str] = []
    summed = False
    for line in lines:
        summary = _SUMMARY in line
        if _START.match(line) or (summary and summed):
            yield part
            part, summed = [], False
        summed |= summary
        part.append(line)
    yield part


def _run(lines: list[str], source: str) -> TrtexecRun:
    setup: dict[str, str] = {}
    clocks: dict[str, Clock] = {}
    throughput: float | None = None
    remarks: list[str] = []
    summary = False
    for line in lines:
        start = _START.match(line)
        if start:
            setup["release"] = release(start.group(1))
        body = _STAMP.sub("", line).strip()
        if body.startswith("=== "):
            summary = body == _SUMMARY
            continue
        label, _, rest = body.partition(": ")
        if not summary:
            if label in _SETUP and rest:
                setup.setdefault(_SETUP[label], rest.strip()[:100])
            continue
        if found := _THROUGHPUT.match(body):
            throughput = _finite(found.group(1), f"{source}, throughput")
        elif label in CLOCKS:
            clocks[CLOCKS[label]] = _clock(rest, f"{source}, {label!r}")
        elif "[W]" in line and body:
            remarks.append(body.removeprefix("* "))
    setup = {k: v for k, v in setup.items() if k not in _SWITCHES or v in ("Enabled", "Disabled")}
    return TrtexecRun(setup, throughput, clocks, tuple(remarks))


def release(digits: str) -> str:
    """ "8502" -> "8.5.2", "101600" -> "10.16.0"."""
    number = int(digits)
    step = 100 if len(digits) < 5 else 10_000
    major, rest = divmod(number, 1000 if step == 100 else step)
    return f"{major}.{rest // 100}.{rest % 100}"


def _clock(text: str, where: str) -> Clock:
    found = _STATISTIC.findall(text)
    values = {name: _finite(ms, where) for name, _, ms in found}
    share = {percent: name for name, percent, _ in found if percent}
    if len(values) != len(found):
        raise InputError(f"{where} states a value twice: {text!r:.120}.")
    missing = [name for name in ("min", "max", "mean", "median") if name not in values]
    if missing:
        raise InputError(f"{where}: {missing[0]} is missing: {text!r:.60}.")
    percentiles = {p: values[share[p]] for p in sorted(share, key=float)}
    clock = Clock(values["min"], values["max"], values["mean"], values["median"], percentiles)
    between = [clock.min, *percentiles.values(), clock.max]
    slack = _SLACK * max(clock.max, 1e-3)
    ordered = all(a <= b + slack for a, b in pairwise(between))
    inside = all(clock.min - slack <= v <= clock.max + slack for v in (clock.mean, clock.median))
    if not (ordered and inside):
        raise InputError(f"{where} contradicts itself: {text!r:.120}.")
    return clock


def _finite(text: str, where: str) -> float:
    value = float(text)
    if not math.isfinite(value) or value < 0:
        raise InputError(f"{where}: {text!r:.40} is no time or rate.")
    return value
