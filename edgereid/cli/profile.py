"""``edgereid profile``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgereid.errors import UsageError
from edgereid.progress import note

if TYPE_CHECKING:
    from edgereid.profile.accuracy import MeasuredAccuracy
    from edgereid.profile.survey import SurveyRow

HELP = (
    "Count a network's parameters, multiply-adds, activations and peak activation memory, stage by "
    "stage beside the paper's figures; or those of every registered network."
)
PICTURES = (".svg", ".png")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", nargs="?", help="a registered network, for example dslnet")
    parser.add_argument("--all", action="store_true", help="every registered network, one row each")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of a table"
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE",
        help="with --all: draw accuracy against parameters, published and measured (.svg or .png)",
    )


def run(args: argparse.Namespace) -> int:
    _check(args)
    if args.all:
        return _run_all(args)
    from edgereid.files import dump_json
    from edgereid.profile.network import profile
    from edgereid.profile.text import one

    result = profile(args.network)
    sys.stdout.write(dump_json(result.to_json()) if args.json else one(result))
    return 0


def _check(args: argparse.Namespace) -> None:
    """Contradicting flags, before anything is counted. Raises UsageError."""
    if args.all == (args.network is not None):
        got = f"{args.network!r} and --all" if args.all else "neither"
        raise UsageError(f"give a network's name or --all, one of the two; got {got}.")
    if args.plot is None:
        return
    if not args.all:
        raise UsageError("--plot draws all networks: give --all instead of a name.")
    if args.plot.suffix.lower() not in PICTURES:
        raise UsageError(f"--plot {args.plot}: the name must end in {' or '.join(PICTURES)}.")
    if args.plot.is_dir():
        raise UsageError(f"{args.plot} is a folder: name a file to write.")
    import matplotlib  # noqa: F401  # missing: say so before the counting


def _run_all(args: argparse.Namespace) -> int:
    from edgereid.files import dump_json
    from edgereid.profile.accuracy import measured, shipped_weights
    from edgereid.profile.survey import survey, to_json
    from edgereid.profile.text import every

    own = measured(shipped_weights())
    rows = survey()
    sys.stdout.write(dump_json(to_json(rows, own)) if args.json else every(rows))
    if args.plot is not None:
        _write_plot(args.plot, rows, own)
    return 0


def _write_plot(path: Path, rows: tuple[SurveyRow, ...], own: tuple[MeasuredAccuracy, ...]) -> None:
    from edgereid.files import write_bytes
    from edgereid.profile.plot import draw

    write_bytes(path, draw(rows, own, path.suffix.lower().removeprefix(".")))
    note(f"plot: {path}")
