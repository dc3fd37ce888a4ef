"""``edgereid inspect``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = """Show which precision each layer of a TensorRT engine really got, and its time.

FILE is a plan (run here, in TensorRT), or what trtexec wrote elsewhere: JSON of --exportLayerInfo,
JSON of --exportProfile, or the text it printed. A profile or a text belongs to the build named
before it; several builds are compared with the first. A bundle stands for its plans.
docs/inspect.md says how layers are joined with the nodes of the ONNX file."""
_EXAMPLES = """\
examples:
  edgereid inspect dslnet-int8/engine.plan                        on the device that built it
  edgereid inspect layers.json profile.json --graph dslnet-int8   anywhere, from trtexec's files
  edgereid inspect a.plan b.plan --trust                          two builds beside each other
  edgereid inspect dslnet-int8 --strict                           exit code 1 on a warning
"""
#: A warning under --strict.
EXIT_WARNED = 1


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="plans, bundles, files of trtexec")
    add("--graph", type=Path, metavar="FILE", help="the ONNX file that was built, or its bundle")
    add("--profile-index", type=int, default=0, metavar="N", help="optimisation profile (0)")
    add = parser.add_argument_group("of a plan, which is run here").add_argument
    add("--batch", type=int, default=1, metavar="N", help="images a run (default %(default)s)")
    add("--runs", type=int, default=50, metavar="N", help="runs to time (default %(default)s)")
    add("--trust", action="store_true", help="run plans that no manifest vouches for")
    add = parser.add_argument_group("output").add_argument
    add("--all", action="store_true", help="every layer and every node, not the slowest layers")
    add("--strict", action="store_true", help="exit with 1 when there is a warning")
    add("--json", action="store_true", help="print one JSON object instead of the tables")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace) -> int:
    from edgereid.bench.inspect.run import InspectOptions, inspect
    from edgereid.bench.inspect.text import text
    from edgereid.files import dump_json

    found = inspect(
        InspectOptions(
            paths=tuple(args.files),
            graph=args.graph,
            batch=args.batch,
            runs=args.runs,
            profile=args.profile_index,
            trust=args.trust,
        )
    )
    sys.stdout.write(dump_json(found.to_json()) if args.json else text(found, args.all))
    return EXIT_WARNED if args.strict and found.warnings else 0
