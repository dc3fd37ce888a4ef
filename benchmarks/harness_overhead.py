"""What the harness itself costs, and whether others measure the same.

Sections: `overhead` (a synthetic engine of 5 ms: time spent outside of it), `openvino` (against
OpenVINO's benchmark_app, synchronous, in turns), `onnxruntime` (against the durations of runs that
ONNX Runtime's own profiler records, in turns, and of the very same runs), `server` (the rate that
the server scenario finds is run again for a minute) and `sleeping` (the same for an engine that
only sleeps, whose true rate is known).

    edgereid export dslnet --int8 --out /tmp/dslnet-int8
    python benchmarks/harness_overhead.py /tmp/dslnet-int8 --json benchmarks/results/harness.json
"""

from __future__ import annotations

import argparse
import math
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from timing_peers import Images, bare_request, benchmark_app, profiled_rounds, session

from edgereid.bench.intervals import percentile_interval
from edgereid.bench.latency import LatencyOptions, Runner, Samples, measure
from edgereid.bench.machine import machine, state, state_warnings
from edgereid.bench.opening import noise
from edgereid.bench.scenarios.options import ServerOptions
from edgereid.bench.scenarios.run import submitter
from edgereid.bench.scenarios.server import run_server
from edgereid.bench.scenarios.trial import Bench, Bound, verify
from edgereid.bench.stats import speed_ratio, summarise
from edgereid.engines.base import Engine, EngineInfo, EngineOptions, TensorSpec
from edgereid.engines.open import open_engine
from edgereid.files import dump_json, write_text
from edgereid.images import Preprocessing

SYNTHETIC_NS = 5_000_000


class SyntheticEngine(Engine):
    """Takes 5 ms by the clock and gives zeros."""

    inputs = (TensorSpec("images", (None, 3, 256, 128)),)
    outputs = (TensorSpec("features", (None, 512)),)
    info = EngineInfo("synthetic", "f32", 1, "1")

    def __init__(self) -> None:
        super().__init__()
        self.spans: list[tuple[int, int]] = []  # start and end of every run, ns

    def _run(self, batch: Images) -> Images:
        start = time.perf_counter_ns()
        out = np.zeros((len(batch), 512), dtype=np.float32)
        while (end := time.perf_counter_ns()) - start < SYNTHETIC_NS:
            pass
        self.spans.append((start, end))
        return out


def shape(engine: Engine) -> Preprocessing:
    return Preprocessing(*engine.input_size)


def buffers(engine: Engine) -> list[Images]:
    return [noise(1, shape(engine), seed) for seed in range(4)]


def overhead(args: argparse.Namespace) -> dict[str, Any]:
    """Time from the end of one run within the engine to the start of the next (checks of input and
    output, the clock, keeping the sample), and how much of it a sample holds, over 5 ms: medians,
    which a program that interrupts some runs does not move; and the share of the wall-clock time of
    the whole measurement that was not spent in the engine, which it does."""
    engine = SyntheticEngine()
    images = buffers(engine)
    options = LatencyOptions(
        warmup_s=0.0, warmup_runs=1, min_time_s=args.seconds, min_count=200, max_time_s=60
    )
    start = time.perf_counter_ns()
    (samples,) = measure([Runner("synthetic", engine.run, images)], options)
    wall = time.perf_counter_ns() - start
    between = [b[0] - a[1] for a, b in pairwise(engine.spans)]
    inside = [end - start for start, end in engine.spans]
    order = [*samples.warmup_ns, *_in_order(samples)]
    outside = [sample - span for sample, span in zip(order, inside, strict=True)]
    bare = Runner("empty", lambda _: None, [0])
    (empty,) = measure([bare], LatencyOptions(min_time_s=0.0, min_count=2000, max_time_s=2.0))
    return {
        "between_runs": statistics.median(between) / SYNTHETIC_NS,
        "within_a_sample": statistics.median(outside) / SYNTHETIC_NS,
        "of_the_measurement": wall / sum(inside) - 1,
        "sample_of_an_empty_run_ns": statistics.median(empty.all_ns),
        "runs": len(samples.all_ns),
    }


def _in_order(samples: Samples) -> list[int]:
    """The samples after the warm-up in the order they were taken, lead-ins with them."""
    lead_in = iter(samples.lead_in_ns)
    return [x for block in samples.rounds_ns for x in (*islice(lead_in, 1), *block)]


def _ratio(values: list[float]) -> dict[str, Any]:
    """Median over rounds and its 95 % interval."""
    interval = percentile_interval(np.array(values), 50)
    return {
        "ratio": statistics.median(values),
        "low": interval.low,
        "high": interval.high,
        "rounds": len(values),
    }


def openvino(args: argparse.Namespace) -> dict[str, Any]:
    """Over benchmark_app: the bare request in our harness (do both measure the same?) and our
    engine (with its checks of input and output, and its copy of the embeddings)."""
    path, times = args.bundle / "engine.xml", args.seconds
    options = LatencyOptions(min_time_s=times, min_count=20, max_time_s=2 * times)
    turns: dict[str, list[list[float]]] = {"request": [], "engine": [], "benchmark_app": []}
    with open_engine(path, EngineOptions(threads=args.threads), runtime="openvino") as engine:
        size, images = engine.input_size, buffers(engine)
        bare = bare_request(path, size, args.threads)
        # One input for ever, as benchmark_app has it; the engine rotates its buffers as always.
        runners = [Runner("request", bare, images[:1]), Runner("engine", engine.run, images)]

        def measure_ours() -> None:
            for runner, samples in zip(runners, measure(runners, options), strict=True):
                found = samples.all_ns
                turns[runner.label].append([statistics.median(found) / 1e6, min(found) / 1e6])

        def measure_theirs() -> None:
            turns["benchmark_app"].append(benchmark_app(path, size, args.threads, round(times)))

        pair: list[Callable[[], None]] = [measure_ours, measure_theirs]
        for turn in range(args.rounds):
            for one in pair if turn % 2 == 0 else reversed(pair):
                one()
    result: dict[str, Any] = {"median_and_least_ms": turns}
    for name in ("request", "engine"):
        pairs = list(zip(turns[name], turns["benchmark_app"], strict=True))
        result[name] = {
            "medians": _ratio([a[0] / b[0] for a, b in pairs]),
            "fastest_runs": _ratio([a[1] / b[1] for a, b in pairs]),
        }
    return result


def onnxruntime(args: argparse.Namespace) -> dict[str, Any]:
    """Our samples over the profiler's durations: of the very same runs (do both measure the same?)
    and in turns with an engine that is not profiled (the profiler itself slows its session)."""
    path = args.bundle / "model.onnx"
    seconds = args.rounds * args.seconds
    options = LatencyOptions(min_time_s=seconds / 2, min_count=100, max_time_s=2 * seconds)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_engine(path, EngineOptions(threads=args.threads), runtime="onnxruntime") as engine,
    ):
        profiled = session(path, args.threads, f"{folder}/profile")
        name = profiled.get_inputs()[0].name
        ours, theirs = measure(
            [
                Runner("ours", engine.run, buffers(engine)),
                Runner("profiled", lambda x: profiled.run(None, {name: x}), buffers(engine)),
            ],
            options,
        )
        rounds = profiled_rounds(profiled.end_profiling(), theirs)
    turns = speed_ratio(ours.rounds_ns, rounds)
    same = [
        sample / run
        for block, runs in zip(theirs.rounds_ns, rounds, strict=True)
        for sample, run in zip(block, runs, strict=True)
    ]
    return {
        "in_turns": asdict(turns),
        "same_runs": _ratio(same),
        "ours_ms": summarise(ours.all_ns, 1).p50_ms,
        "theirs_ms": statistics.median(x for block in rounds for x in block) / 1e6,
    }


def server(args: argparse.Namespace) -> dict[str, Any]:
    """The engine with a bound of four times its median latency."""
    path = args.bundle / "engine.xml"
    with open_engine(path, EngineOptions(threads=args.threads), runtime="openvino") as engine:
        crops = np.concatenate([noise(1, shape(engine), seed) for seed in range(64)])
        (samples,) = measure([Runner("a", engine.run, buffers(engine))], LatencyOptions())
        median = statistics.median(samples.all_ns) / 1e6
        return {"median_ms": median} | found_and_again(
            Bench(submitter(engine.run, crops)), 4 * median, args
        )


def sleeping(args: argparse.Namespace) -> dict[str, Any]:
    """An engine that sleeps, for an exponential time of mean 10 ms, so that other programs hardly
    disturb it: an M/M/1 queue in real time, whose true rate is known but for what sleeping and
    waking cost."""
    law = random.Random(1)
    bench = Bench(lambda count: time.sleep(law.expovariate(100.0)))
    bound_ms = 60.0
    truth = 100.0 + math.log(1 - args.percentile / 100) / (bound_ms / 1e3)
    return {"closed_form_per_s": truth} | found_and_again(bench, bound_ms, args)


def found_and_again(bench: Bench, bound_ms: float, args: argparse.Namespace) -> dict[str, Any]:
    """The rate that the scenario finds, and a longer run of it with other arrivals."""
    options = ServerOptions(
        bound_ms,
        args.percentile,
        trial_s=args.trial,
        verify_s=args.again,
        tolerance=0.08,
        max_trials=8,
    )
    found = run_server(bench, options)
    result: dict[str, Any] = {
        "bound_ms": bound_ms,
        "percentile": args.percentile,
        "rate_per_s": found.rate_per_s,
        "holds_at": found.holds_at,
        "breaks_at": found.breaks_at,
        "trials": len(found.trials),
        "verifications": len(found.verification),
    }
    if found.rate_per_s is None:
        return result
    bound = Bound(args.percentile, bound_ms)
    again = verify(bench, bound, found.rate_per_s, args.again, 0.025, seed=4242)
    result["again"] = {
        "seconds": args.again,
        "count": again.count,
        "late": again.late,
        "quantile_ms": again.quantile_ms,
        "limits_ms": [again.low_ms, again.high_ms],
        "within_bound": again.quantile_ms is not None and again.quantile_ms <= bound.ms,
    }
    return result


SECTIONS = {
    "overhead": overhead,
    "openvino": openvino,
    "onnxruntime": onnxruntime,
    "sleeping": sleeping,
    "server": server,
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path, help="of edgereid export --int8")
    parser.add_argument("--sections", default=",".join(SECTIONS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="a turn")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--percentile", type=int, default=90)
    parser.add_argument("--trial", type=float, default=8.0, help="s a trial of one rate")
    parser.add_argument("--again", type=float, default=60.0, help="s of the server run again")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    before, host = state(), machine()
    results = {name: SECTIONS[name](args) for name in args.sections.split(",")}
    after = state()
    results["machine"] = {
        "cpu": host.cpu.value,
        "usable_cpus": host.usable_cpus,
        "packages": host.packages,
        "load": [before.load.value, after.load.value],
        "warnings": state_warnings(before, after, host.usable_cpus),
    }
    print(dump_json(results), end="")
    if args.json is not None:
        write_text(args.json, dump_json(results))


if __name__ == "__main__":
    main()
