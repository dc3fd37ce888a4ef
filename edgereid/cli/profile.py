"""``edgereid profile``."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgereid.models.registry import Published
    from edgereid.profile import Profile

HELP = "Count a network's parameters and multiply-adds per stage, beside the paper's figures."


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("network", help="a registered network, for example dslnet")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object instead of a table"
    )


def run(args: argparse.Namespace) -> int:
    from edgereid.files import dump_json
    from edgereid.profile import profile

    result = profile(args.network)
    sys.stdout.write(dump_json(result.to_json()) if args.json else render(result))
    return 0


def render(result: Profile) -> str:
    """The per-stage table, the totals beside the paper's, and the convention."""
    from tabulate import tabulate

    from edgereid.profile import CONVENTION

    published = result.published
    outputs = {} if published is None else published.outputs
    rows = [
        [
            s.name,
            _size(s.output),
            _size(outputs.get(s.name, ())),
            f"{s.parameters:,}",
            f"{s.macs:,}",
        ]
        for s in result.stages
    ]
    rows.append(["total", "", "", f"{result.parameters:,}", f"{result.macs:,}"])
    if published is not None:
        rows.append(["paper", "", "", _rounded(published.parameters), _rounded(published.macs)])
        ours = (result.parameters, result.macs)
        theirs = (published.parameters, published.macs)
        rows.append(["deviation", "", "", *map(_deviation, ours, theirs)])
    table = tabulate(
        rows,
        headers=["stage", "output", "paper's", "parameters", "MACs"],
        colalign=("left", "left", "left", "right", "right"),
        disable_numparse=True,
    )
    lines = [
        f"{result.network}, input {_size(result.input)}",
        table,
        f"convention: {CONVENTION}.",
        f"fvcore's own total, which adds batch norm: {result.fvcore_total:,}.",
        *_origin(published),
    ]
    if result.unsupported:
        uncounted = ", ".join(f"{op} ({n})" for op, n in result.unsupported.items())
        lines.append(f"operators fvcore does not count: {uncounted}.")
    return "\n".join(lines) + "\n"


def _origin(published: Published | None) -> list[str]:
    """Where the paper prints its figures, and why ours differ."""
    if published is None:
        return []
    lines = [f"paper: {published.source}."]
    return [*lines, f"deviation: {published.deviation}."] if published.deviation else lines


def _size(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _rounded(value: float | None) -> str:
    return "-" if value is None else f"{value / 1e6:,.1f} M"


def _deviation(ours: int, paper: float | None) -> str:
    return "-" if paper is None else f"{100 * (ours - paper) / paper:+.2f} %"
