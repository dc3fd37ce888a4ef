"""``edgereid bench``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgereid.errors import StorageError, UsageError

if TYPE_CHECKING:
    from edgereid.bench.options import BenchOptions
    from edgereid.bench.result import BenchResult
    from edgereid.bench.scenarios.options import ScenarioOptions
    from edgereid.bench.verdict import Verdict

HELP = """Measure latency and accuracy of engines and say which one to ship.

PATH is a bundle's directory (all its engines, and its float network in every runtime that is
installed), a file in a bundle (with its float network as the reference) or a bare engine file.
The engines take turns in one run. Exit code 1: a quantized engine breaks the accuracy budget."""

DEFAULT_MAX_MAP_DROP = 0.5
#: Flag -> (default, with --quick).
TIMING = {"min_time": (3.0, 0.5), "min_count": (100, 20), "max_time": (30.0, 8.0)}
SERVER_TIMES = {"server_time": (30.0, 5.0), "verify_time": (60.0, 10.0)}
#: --cuda-graph -> what engines are told.
CUDA_GRAPHS = {"auto": None, "on": True, "off": False}


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("paths", nargs="+", type=Path, metavar="PATH", help="a bundle or an engine file")
    add("--data", type=Path, metavar="DIR", help="dataset folder: adds accuracy and real crops")
    add("--layout", metavar="NAME", help="of the dataset (default: recognised)")
    add("--batch", "--batches", default="1,16", metavar="N,N", help="batch sizes (default 1,16)")
    add("--threads", type=int, metavar="N", help="threads an engine may use (default: all)")
    add(
        "--max-map-drop",
        type=float,
        metavar="POINTS",
        help=f"accuracy budget in points of mAP (default {DEFAULT_MAX_MAP_DROP})",
    )
    add("--runtime", action="append", default=[], metavar="NAME", help="only this (repeatable)")
    add("--energy", action="store_true", help="joules per embedding: RAPL, NVML or INA3221")
    add("--trust", action="store_true", help="run native engine files that no manifest vouches for")
    add(
        "--cuda-graph",
        choices=tuple(CUDA_GRAPHS),
        default="auto",
        help="of TensorRT's engines: auto where a network can be captured; on: or it is an error",
    )
    add = parser.add_argument_group("how long to measure, per batch size").add_argument
    add("--min-time", type=float, metavar="S", help="at least so many seconds an engine (3)")
    add("--min-count", type=int, metavar="N", help="at least so many runs an engine (100)")
    add("--max-time", type=float, metavar="S", help="limit for all engines together (30)")
    add("--quick", action="store_true", help="0.5 s, 20 runs, limit 8 s: a rough look")
    add("--seed", type=int, default=0, metavar="N", help="order of turns, choice of crops (0)")
    _configure_scenarios(parser.add_argument_group("scenarios"))
    add = parser.add_argument_group("output").add_argument
    add("--out", type=Path, metavar="FILE", help="result file (NAME.bench.json beside PATH)")
    add("--html", type=Path, metavar="FILE", help="write a self-contained page, too")
    add("--record", action="store_true", help="write the accuracy into the bundle's manifest")
    add("--json", action="store_true", help="print one JSON object instead of the table")


def _configure_scenarios(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add(
        "--scenario",
        metavar="NAME,NAME",
        help="single-stream (p90), multi-stream (frames of crops, p99), offline (images/s), server "
        "(the highest rate within a bound), start (load, first run, memory)",
    )
    add("--frame", type=int, default=8, metavar="N", help="crops a frame of multi-stream (8)")
    add("--pool", type=int, default=64, metavar="N", help="images of offline (64)")
    add("--latency-bound", type=float, metavar="MS", help="of the server scenario")
    add("--percentile", type=int, default=99, metavar="P", help="that must be within it (99)")
    add("--max-batch", type=int, default=1, metavar="N", help="queries the server may join (1)")
    add("--server-time", type=float, metavar="S", help="limit of a trial of one rate (30)")
    add("--verify-time", type=float, metavar="S", help="length of the confirming run (60)")
    add("--thread-sweep", metavar="N,N", help="measure with each of these numbers of threads")


def run(args: argparse.Namespace) -> int:
    from edgereid.bench.notes import notes
    from edgereid.bench.record import bundle_to_record, record
    from edgereid.bench.result import write_result
    from edgereid.bench.run import run_bench
    from edgereid.bench.table import text
    from edgereid.bench.verdict import judge
    from edgereid.files import dump_json
    from edgereid.manifest import MANIFEST
    from edgereid.progress import note

    options = options_of(args)
    out = args.out or default_out(args.paths[0])
    _check_outputs(out, args.html)
    bundle = bundle_to_record(args.paths, args.data) if args.record else None
    result = run_bench(options)
    verdict = judge(result)
    if args.json:
        sys.stdout.write(dump_json(summary(result, verdict, out)))
    else:
        sys.stdout.write(text(result, verdict, notes(result)))
    sys.stdout.flush()  # what was measured is seen even if the files cannot be written
    write_result(out, result)
    note(f"all samples: {out}")
    if bundle is not None:
        record(bundle, result)
        note(f"accuracy recorded: {bundle.directory / MANIFEST}")
    if args.html is not None:
        from edgereid.bench.report import write_report

        write_report(args.html, result, verdict)
        note(f"page: {args.html}")
    return verdict.exit_code


def options_of(args: argparse.Namespace) -> BenchOptions:
    """The options a command line asks for; raises UsageError."""
    from edgereid.bench.latency import LatencyOptions
    from edgereid.bench.options import BenchOptions

    given = {name: getattr(args, name) for name in TIMING}
    chosen = {
        name: TIMING[name][bool(args.quick)] if value is None else value
        for name, value in given.items()
    }
    return BenchOptions(
        paths=tuple(args.paths),
        data=args.data,
        layout=args.layout,
        batches=_numbers("--batch", args.batch),
        threads=args.threads,
        max_map_drop=DEFAULT_MAX_MAP_DROP if args.max_map_drop is None else args.max_map_drop,
        budget_required=args.max_map_drop is not None,
        runtimes=tuple(args.runtime),
        trust=args.trust,
        latency=LatencyOptions(
            min_time_s=float(chosen["min_time"]),
            min_count=int(chosen["min_count"]),
            max_time_s=float(chosen["max_time"]),
            seed=args.seed,
        ),
        scenarios=scenarios_of(args),
        energy=bool(args.energy),
        cuda_graph=CUDA_GRAPHS[args.cuda_graph],
    )


def scenarios_of(args: argparse.Namespace) -> ScenarioOptions | None:
    """The scenarios a command line asks for, None for none; raises UsageError."""
    from edgereid.bench.scenarios.options import ScenarioOptions, ServerOptions

    if args.scenario is None and args.thread_sweep is None:
        return None
    times = {
        name: SERVER_TIMES[name][bool(args.quick)]
        if (given := getattr(args, name)) is None
        else given
        for name in SERVER_TIMES
    }
    server = (
        None
        if args.latency_bound is None
        else ServerOptions(
            bound_ms=args.latency_bound,
            percentile=args.percentile,
            max_batch=args.max_batch,
            trial_s=times["server_time"],
            verify_s=times["verify_time"],
            seed=args.seed,
        )
    )
    return ScenarioOptions(
        names=tuple(dict.fromkeys(filter(None, (args.scenario or "").split(",")))),
        frame=args.frame,
        pool=args.pool,
        server=server,
        threads=_numbers("--thread-sweep", args.thread_sweep or ""),
    )


def _numbers(flag: str, text: str) -> tuple[int, ...]:
    try:
        return tuple(sorted({int(part) for part in text.split(",") if text}))
    except ValueError:
        raise UsageError(f"{flag} {text!r}: give whole numbers with commas, as in 1,16.") from None


def default_out(path: Path) -> Path:
    """Beside the bundle (its digests cover what is in it), or beside a bare file."""
    from edgereid.bundle import Bundle

    full = path.resolve()
    home = full.parent if full.is_file() and Bundle.is_bundle(full) else full
    return home.with_name(f"{home.name}.bench.json")


def _check_outputs(out: Path, html: Path | None) -> None:
    """Fail before minutes of measuring, not after: paths that cannot be files, no matplotlib."""
    for path in filter(None, (out, html)):
        if path.is_dir():
            raise UsageError(f"{path} is a folder: name a file to write.")
        home = next(parent for parent in path.resolve().parents if parent.exists())
        if not os.access(home, os.W_OK):
            raise StorageError(
                f"cannot write {path}: no permission in {home}; choose another name."
            )
    if html is not None:
        import matplotlib  # noqa: F401


def summary(result: BenchResult, verdict: Verdict, out: Path) -> dict[str, object]:
    """What ``--json`` prints: the result without raw samples, and the verdict."""
    from edgereid.bench.codec import encode
    from edgereid.bench.result import without_samples

    found: dict[str, object] = without_samples(result.to_json())
    return {**found, "verdict": encode(verdict), "result_file": str(out)}
