"""``edgereid data``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgereid.data.types import LAYOUT_NAMES

if TYPE_CHECKING:
    from edgereid.data.findings import Report
    from edgereid.data.types import ReidDataset

HELP = "Look at a data set: its counts beside the official ones, and what is wrong with it."
_EXAMPLES = """\
examples:
  edgereid data info Market-1501-v15.09.15             count images, persons, cameras
  edgereid data check Market-1501-v15.09.15            and decode every image
  edgereid data check CUHK03 --layout cuhk03-detected  where a folder holds two data sets
  edgereid data check Market-1501-v15.09.15 --json     every finding, as one JSON object

exit codes of check: 0 usable (there may be warnings), 3 broken: images that cannot be decoded,
persons in both train and test, contradictory labels, or nothing to evaluate
"""
_SHOWN = 5


def configure(parser: argparse.ArgumentParser) -> None:
    parser.epilog = _EXAMPLES
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for name, help_text in (
        ("info", "count images, persons and cameras; no image is opened"),
        ("check", "count, decode every image, look for errors; exit 3 when the data set is broken"),
    ):
        sub = actions.add_parser(name, help=help_text, description=f"{help_text.capitalize()}.")
        sub.add_argument(
            "dir", type=Path, metavar="DIR", help="a data set's folder, or a .csv file"
        )
        sub.add_argument(
            "--layout",
            choices=LAYOUT_NAMES,
            metavar="NAME",
            help=f"the folder's layout: {', '.join(LAYOUT_NAMES)} (default: recognised)",
        )
        sub.add_argument(
            "--cache",
            type=Path,
            metavar="FOLDER",
            help="where CUHK03's images are unpacked (default: in DIR); FOLDER is a data set then",
        )
        sub.add_argument("--json", action="store_true", help="print one JSON object")
        if name == "check":
            sub.add_argument(
                "--workers",
                type=int,
                default=2,
                metavar="N",
                help="threads that decode (default: %(default)s)",
            )


def run(args: argparse.Namespace) -> int:
    from edgereid.data.counts import counts_json
    from edgereid.data.findings import check_dataset
    from edgereid.data.layouts import open_dataset
    from edgereid.errors import InputError
    from edgereid.files import dump_json

    dataset = open_dataset(args.dir, args.layout, cache=args.cache)
    if args.action == "info":
        sys.stdout.write(dump_json(counts_json(dataset)) if args.json else render_counts(dataset))
        return 0
    report = check_dataset(dataset, args.workers)
    if args.json:
        sys.stdout.write(dump_json(counts_json(dataset) | findings_json(report)))
    else:
        sys.stdout.write(render_counts(dataset) + render_findings(report))
    return InputError.exit_code if report.broken else 0


def render_counts(dataset: ReidDataset) -> str:
    """The table of counts beside the official ones, and the line that says where they differ."""
    from tabulate import tabulate

    from edgereid.data.counts import count_subsets, differences, official

    expected = official(dataset)
    rows = []
    for name, counts in count_subsets(dataset).items():
        printed = ("-", "-")
        if expected is not None and name in expected.subsets:
            images, persons = expected.subsets[name]
            printed = (f"{images:,}", f"{persons:,}")
        rest = (counts.cameras, counts.distractors, counts.junk)
        row = [name, f"{counts.images:,}", printed[0], f"{counts.persons:,}", printed[1]]
        rows.append([*row, *(f"{value:,}" for value in rest)])
    headers = ["subset", "images", "official", "persons", "official", "cameras"]
    table = tabulate(
        rows,
        headers=[*headers, "distractors", "junk"],
        colalign=("left", *["right"] * 7),
        disable_numparse=True,
    )
    lines = [f"{dataset.root}: {dataset.name} (layout {dataset.layout})", table]
    if expected is None:
        return "\n".join([*lines, "no official counts to compare with."]) + "\n"
    found = differences(dataset)
    verdict = (
        f"differs from {expected.title} as published: {'; '.join(found)}."
        if found
        else f"the counts are those of {expected.title} as published ({expected.source})."
    )
    return "\n".join([*lines, verdict]) + "\n"


def render_findings(report: Report) -> str:
    """The findings by kind, a few of each, and the verdict."""
    from edgereid.data.findings import KINDS

    lines = [f"{report.files:,} files were opened."]
    for kind, findings in report.by_kind().items():
        severity = "BROKEN" if KINDS[kind].broken else "warning"
        lines.append(f"{severity}: {KINDS[kind].title}: {len(findings):,}")
        lines += [f"  {' '.join(finding.text.split())}" for finding in findings[:_SHOWN]]
        if len(findings) > _SHOWN:
            lines.append(f"  and {len(findings) - _SHOWN:,} more (--json lists all)")
    kinds = report.by_kind()
    warnings = sum(len(found) for kind, found in kinds.items() if not KINDS[kind].broken)
    verdict = "broken" if report.broken else "usable"
    lines.append(f"verdict: {verdict}, {warnings:,} warnings.")
    return "\n".join(lines) + "\n"


def findings_json(report: Report) -> dict[str, object]:
    """The findings by kind, all of them."""
    from edgereid.data.findings import KINDS

    return {
        "files": report.files,
        "broken": report.broken,
        "findings": {
            kind: {
                "title": KINDS[kind].title,
                "broken": KINDS[kind].broken,
                "count": len(found),
                "items": [{"subject": f.subject, "detail": f.detail} for f in found],
            }
            for kind, found in report.by_kind().items()
        },
    }
