"""``edgereid baseline``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = """Keep bench results per commit, machine and engine; tell a change from noise.

`save` keeps what `edgereid bench` wrote. `compare` sets a result against what is kept of its
engines on this kind of machine: accuracy query by query, latency by the ratio to the reference
that took turns in the same run, judged by the spread of at least three earlier runs.
Exit code of compare 1: something is worse beyond noise."""

_EXAMPLES = """\
examples:
  edgereid baseline save dslnet-int8.bench.json             after each merge
  edgereid baseline compare dslnet-int8.bench.json          before one
  edgereid baseline compare dslnet-int8.bench.json --json   all of it, as one JSON object
  edgereid baseline save new.bench.json --restart           the change is wanted
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    save = actions.add_parser("save", help="keep results of edgereid bench")
    save.add_argument("results", nargs="+", type=Path, metavar="RESULT.json")
    save.add_argument("--commit", metavar="NAME", help="(default: what git has checked out)")
    save.add_argument(
        "--restart", action="store_true", help="a wanted change: earlier runs count no longer"
    )
    compare = actions.add_parser("compare", help="set a result against what is kept")
    compare.add_argument("result", type=Path, metavar="RESULT.json")
    compare.add_argument("--against", metavar="COMMIT", help="only runs of this commit count")
    compare.add_argument(
        "--last", type=int, default=20, metavar="N", help="runs that count (default %(default)s)"
    )
    compare.add_argument(
        "--level",
        type=float,
        default=0.95,
        metavar="P",
        help="confidence of the whole comparison (default %(default)s)",
    )
    for action in (save, compare):
        action.add_argument(
            "--folder",
            type=Path,
            default=Path(".edgereid/baselines"),
            metavar="DIR",
            help="where baselines are kept (default %(default)s)",
        )
        action.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    return _save(args) if args.action == "save" else _compare(args)


def _save(args: argparse.Namespace) -> int:
    from edgereid.bench.baseline.commit import current, named
    from edgereid.bench.baseline.record import records_of
    from edgereid.bench.baseline.store import Store
    from edgereid.bench.result import read_result
    from edgereid.files import dump_json

    commit = current(Path()) if args.commit is None else named(args.commit)
    records = [
        record
        for path in args.results
        for record in records_of(read_result(path), commit, args.restart)
    ]
    paths = Store(args.folder).save(records)
    if args.json:
        report = {"commit": commit.name, "dirty": commit.dirty, "saved": [str(p) for p in paths]}
        sys.stdout.write(dump_json(report))
        return 0
    changed = " (with changes that are not committed)" if commit.dirty else ""
    print(f"{len(paths)} records of commit {commit.name[:12]}{changed} in {args.folder}")
    return 0


def _compare(args: argparse.Namespace) -> int:
    from edgereid.bench.baseline.commit import Commit
    from edgereid.bench.baseline.compare import CompareOptions, compare
    from edgereid.bench.baseline.record import records_of
    from edgereid.bench.baseline.report import text
    from edgereid.bench.baseline.store import Store
    from edgereid.bench.result import read_result
    from edgereid.files import dump_json

    options = CompareOptions(args.against, args.last, args.level)
    records = records_of(read_result(args.result), Commit("now", None))
    found = compare(records, Store(args.folder), options)
    sys.stdout.write(dump_json(found.to_json()) if args.json else text(found))
    return found.exit_code
