"""``edgereid roofline``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgereid.bench.roofline.options import RooflineOptions

HELP = """Measure this machine's peaks and show what each engine reaches, layer by layer.

PATH is a bundle's directory, a file in a bundle or a bare engine file. The peaks of FP32, bf16 and
INT8 arithmetic are measured through the same runtimes, the bandwidth of memory and of the last
cache with numpy, taking turns with the engines. ONNX Runtime and OpenVINO tell their layers."""

#: Flag -> (default, with --quick).
TIMING = {"min_time": (1.0, 0.3), "max_time": (90.0, 30.0)}
MIN_COUNT = (20, 8)


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("paths", nargs="+", type=Path, metavar="PATH", help="a bundle or an engine file")
    add("--data", type=Path, metavar="DIR", help="dataset folder: real crops instead of noise")
    add("--layout", metavar="NAME", help="of the dataset (default: recognised)")
    add("--batch", type=int, default=1, metavar="N", help="batch size (default 1)")
    add("--threads", type=int, metavar="N", help="threads an engine may use (default: all)")
    add("--runtime", action="append", default=[], metavar="NAME", help="only this (repeatable)")
    add("--graph", type=Path, metavar="FILE", help="ONNX file of an engine outside any bundle")
    add("--trust", action="store_true", help="run native engine files that no manifest vouches for")
    add = parser.add_argument_group("how long to measure").add_argument
    add("--min-time", type=float, metavar="S", help="at least so many seconds a probe (1)")
    add("--max-time", type=float, metavar="S", help="limit for all together (90)")
    add("--quick", action="store_true", help="0.3 s, limit 30 s: a rough look")
    add("--seed", type=int, default=0, metavar="N", help="order of turns, choice of crops (0)")
    add = parser.add_argument_group("output").add_argument
    add("--svg", type=Path, metavar="FILE", help="write the roofline plot")
    add("--html", type=Path, metavar="FILE", help="write a self-contained page")
    add("--json", action="store_true", help="print one JSON object instead of the tables")


def run(args: argparse.Namespace) -> int:
    from edgereid.bench.roofline.run import run_roofline
    from edgereid.bench.roofline.text import text
    from edgereid.files import dump_json
    from edgereid.progress import note

    _check_outputs(args.svg, args.html)
    result = run_roofline(options_of(args))
    sys.stdout.write(dump_json(result.to_json()) if args.json else text(result))
    sys.stdout.flush()  # what was measured is seen even if the files cannot be written
    if args.svg is not None:
        from edgereid.bench.roofline.plot import write_svg

        write_svg(args.svg, result)
        note(f"plot: {args.svg}")
    if args.html is not None:
        from edgereid.bench.roofline.page import write_page

        write_page(args.html, result)
        note(f"page: {args.html}")
    return 0


def options_of(args: argparse.Namespace) -> RooflineOptions:
    """The options a command line asks for; raises UsageError."""
    from edgereid.bench.latency import LatencyOptions
    from edgereid.bench.roofline.options import RooflineOptions

    quick = bool(args.quick)
    given = {name: getattr(args, name) for name in TIMING}
    chosen = {name: TIMING[name][quick] if v is None else v for name, v in given.items()}
    return RooflineOptions(
        paths=tuple(args.paths),
        data=args.data,
        layout=args.layout,
        batch=args.batch,
        threads=args.threads,
        runtimes=tuple(args.runtime),
        graph=args.graph,
        trust=args.trust,
        latency=LatencyOptions(
            warmup_runs=3,
            min_time_s=chosen["min_time"],
            min_count=MIN_COUNT[quick],
            max_time_s=chosen["max_time"],
            seed=args.seed,
        ),
    )


def _check_outputs(*paths: Path | None) -> None:
    """Fail before a minute of measuring, not after."""
    from edgereid.errors import UsageError

    named = [path for path in paths if path is not None]
    for path in named:
        if path.is_dir():
            raise UsageError(f"{path} is a folder: name a file to write.")
    if named:
        from edgereid.bench.roofline.plot import check_drawing

        check_drawing()
