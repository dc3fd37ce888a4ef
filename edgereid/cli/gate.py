"""``edgereid gate``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgereid.errors import EX_USAGE, StorageError

if TYPE_CHECKING:
    from edgereid.bench.gate.options import GateOptions

HELP = """Judge whether an engine still recognises people as its reference does: for CI.

CANDIDATE and REF are bundles' directories, engine files or checkpoints; as CANDIDATE a bundle is
its engine for this machine, as REF its float network. Without --reference it is the float network
of the candidate's own bundle. Losses are tested with people as the units (docs/gate.md)."""

_EPILOG = f"""\
exit codes:
  0 pass: even the upper bound of every loss is within its budget
  1 fail: the lower bound of a loss is beyond its budget, or a check failed
  2 undecided: not enough queries to tell; the number that would settle it is printed
  {EX_USAGE} wrong use (2 in other commands)   3 bad input   4 runtime missing
  5 file changed or untrusted      6 cannot write   130 interrupted
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EPILOG
    add = parser.add_argument
    add("candidate", type=Path, metavar="CANDIDATE", help="a bundle, an engine or a checkpoint")
    add("--reference", type=Path, metavar="REF", help="what it is compared with")
    add("--data", type=Path, metavar="DIR", required=True, help="dataset folder")
    add("--layout", metavar="NAME", help="of the dataset (default: recognised)")
    add("--unlabelled", type=Path, metavar="DIR", help="crops for the certificate (the queries)")
    add("--trust", action="store_true", help="run native engine files that no manifest vouches for")
    add = parser.add_argument_group("budget").add_argument
    add("--max-map-drop", type=_budget, default=0.5, metavar="POINTS", help="of mAP (0.5)")
    add("--max-rank1-drop", type=_budget, default=0.5, metavar="POINTS", help="of Rank-1 (0.5)")
    add("--max-latency-ratio", type=float, metavar="X", help="candidate's time over reference's")
    add("--level", type=float, default=0.05, metavar="RATE", help="error rate of a verdict (0.05)")
    add = parser.add_argument_group("running").add_argument
    add("--candidate-runtime", metavar="NAME", help="what runs the candidate")
    add("--reference-runtime", metavar="NAME", help="what runs the reference")
    add("--threads", type=int, metavar="N", help="threads an engine may use (default: all)")
    add("--batch", type=int, default=16, metavar="N", help="images a run (16)")
    add("--max-batch", type=int, default=16, metavar="N", help="largest batch in use (16)")
    add("--latency-batch", type=int, default=1, metavar="N", help="batch that is timed (1)")
    add("--no-mixed", action="store_true", help="the gallery never holds the reference's features")
    add("--cache", type=Path, metavar="DIR", help="where features are kept (the user's cache)")
    add("--no-cache", action="store_true", help="run every image, keep nothing")
    add = parser.add_argument_group("output").add_argument
    add("--json", action="store_true", help="print one JSON object instead of the table")
    add("--junit", type=Path, metavar="FILE", help="write JUnit XML")
    add("--markdown", type=Path, metavar="FILE", help="append a summary for a CI service")


def _budget(text: str) -> float | None:
    """A number of points, or "none": not judged."""
    return None if text == "none" else float(text)


def run(args: argparse.Namespace) -> int:
    from edgereid.bench.gate.junit import junit
    from edgereid.bench.gate.report import markdown, text
    from edgereid.bench.gate.run import run_gate
    from edgereid.cli.outputs import check_output
    from edgereid.files import dump_json, write_text
    from edgereid.progress import note

    options = options_of(args)
    for path in filter(None, (args.junit, args.markdown)):
        check_output(path)
    result = run_gate(options)
    sys.stdout.write(dump_json(result.to_json()) if args.json else text(result))
    sys.stdout.flush()  # the verdict is seen even if the files cannot be written
    if args.junit is not None:
        write_text(args.junit, junit(result))
        note(f"JUnit XML: {args.junit}")
    if args.markdown is not None:
        _append(args.markdown, markdown(result))
        note(f"summary: {args.markdown}")
    return result.exit_code


def _append(path: Path, text: str) -> None:
    """To the end of a file, as CI services collect summaries (and may give a device)."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as f:
            f.write(text)
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}.") from error


def options_of(args: argparse.Namespace) -> GateOptions:
    """The options a command line asks for; raises UsageError."""
    from edgereid.bench.gate.options import Budget, GateOptions

    budget = Budget(args.max_map_drop, args.max_rank1_drop, args.max_latency_ratio, args.level)
    return GateOptions(
        candidate=args.candidate,
        reference=args.reference,
        data=args.data,
        budget=budget,
        layout=args.layout,
        candidate_runtime=args.candidate_runtime,
        reference_runtime=args.reference_runtime,
        threads=args.threads,
        trust=args.trust,
        cache=args.cache,
        no_cache=args.no_cache,
        mixed=not args.no_mixed,
        unlabelled=args.unlabelled,
        batch=args.batch,
        max_batch=args.max_batch,
        latency_batch=args.latency_batch,
    )
