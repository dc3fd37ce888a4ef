"""``edgereid sensitivity``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgereid.search.analysis import SensitivityOptions

HELP = """Measure what INT8 costs and gains in every layer of a network, on the engine that runs it.

PATH is a bundle made with --int8, or a network's name or .onnx file, which is then exported first.
Layers that a runtime fuses are one unit. Cost: embedding error, best matches kept and, where the
images are labelled, loss of mAP. Gain: latency, engines taking turns, with its interval."""
_EXAMPLES = """\
examples:
  edgereid sensitivity dslnet-int8 --calib market1501 --target openvino
  edgereid sensitivity dslnet --target onnxruntime --svg units.svg    with drawn images
"""


def configure(parser: argparse.ArgumentParser) -> None:
    from edgereid.search.options import measurable

    add = parser.add_argument
    add("path", metavar="PATH", help="a bundle, a network's name or an .onnx file")
    add(
        "--target",
        required=True,
        metavar="NAME",
        help=f"the runtime to measure on: {', '.join(measurable())}",
    )
    add(
        "--calib",
        "--data",
        dest="calib",
        type=Path,
        metavar="DIR",
        help="dataset (its training split) or folder of training crops (default: drawn images)",
    )
    add("--layout", metavar="NAME", help="of that dataset (default: recognised)")
    add("--no-map", action="store_true", help="leave out mAP, which takes most of the time")
    add("--batch", type=int, default=1, metavar="N", help="batch size of the latency (1)")
    add("--threads", type=int, metavar="N", help="threads an engine may use (default: all)")
    add("--seed", type=int, default=0, metavar="N", help="choice of images, order of turns (0)")
    add = parser.add_argument_group("output").add_argument
    add("--svg", type=Path, metavar="FILE", help="draw the units by cost and gain")
    add("--json", action="store_true", help="print one JSON object instead of the table")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace) -> int:
    from edgereid.cli.outputs import check_output
    from edgereid.files import dump_json
    from edgereid.progress import note
    from edgereid.search.analysis import analyse
    from edgereid.search.text import sensitivity_text

    if args.svg is not None:
        from edgereid.search.plot import check_drawing

        check_output(args.svg)
        check_drawing()
    found = analyse(options_of(args))
    sys.stdout.write(dump_json(found.to_json()) if args.json else sensitivity_text(found))
    sys.stdout.flush()  # what was measured is seen even if the plot cannot be written
    if args.svg is not None:
        from edgereid.search.plot import draw_units
        from edgereid.search.sensitivity import parts_of

        names = [row.unit.name for row in found.rows]
        draw_units(args.svg, found.title, names, parts_of(found))
        note(f"plot: {args.svg}")
    return 0


def options_of(args: argparse.Namespace) -> SensitivityOptions:
    """The flags as options. Raises UsageError."""
    from edgereid.search.analysis import SensitivityOptions

    return SensitivityOptions(
        path=args.path,
        target=args.target,
        calibration=args.calib,
        layout=args.layout,
        with_map=not args.no_map,
        batch=args.batch,
        threads=args.threads,
        seed=args.seed,
    )
