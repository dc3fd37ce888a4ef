"""``edgereid doctor``."""

from __future__ import annotations

import argparse
import sys

HELP = """Say what this device has, what it lacks and which packages to install.

Looks at the processor, memory, disk, GPU, Jetson board, meters of power and at every package that
edgereid can use; each package is imported in a process of its own. Nothing is changed. The exit
code is 0, or 1 when --for names a purpose and something that it needs is lacking."""

#: As in ``edgereid.bench.doctor.needs``, which is not imported for the help alone.
PURPOSES = ("export", "bench", "train", "tensorrt")
EXIT_LACKING = 1


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--for", dest="purpose", choices=PURPOSES, help="what the device is wanted for")
    add("--json", action="store_true", help="print one JSON object instead of the lists")


def run(args: argparse.Namespace) -> int:
    from edgereid.bench.doctor.report import text
    from edgereid.bench.doctor.run import examine
    from edgereid.files import dump_json

    report = examine(args.purpose)
    sys.stdout.write(dump_json(report.to_json()) if args.json else text(report))
    return EXIT_LACKING if report.lacking else 0
