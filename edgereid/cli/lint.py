"""``edgereid lint``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = """Check an ONNX file against the rules of the runtime that is to run it, node by node.

PATH is an ONNX file, float or Q/DQ, whoever exported it, or a bundle's directory: then the file
that was made for the target is read, else the float network. Nothing is run, and no runtime is
needed. docs/lint.md lists the rules with their reasons."""
_EPILOG = """\
exit codes: 0 no error (warnings and notes allowed)   1 the target cannot take the file as it is

examples:
  edgereid lint model.onnx --target tensorrt --trt-version 8.6
  edgereid lint dslnet-int8 --target onnxruntime --json
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("path", type=Path, metavar="PATH", help="an ONNX file or a bundle's directory")
    add(
        "--target",
        required=True,
        metavar="NAME",
        help="tensorrt, openvino, onnxruntime (on x86), onnxruntime-arm",
    )
    add("--trt-version", metavar="X.Y", help="TensorRT's release (default: 10.3, of JetPack 6)")
    add("--all", action="store_true", help="list every place of a rule, not the first eight")
    add("--json", action="store_true", help="print one JSON object")
    parser.epilog = _EPILOG


def run(args: argparse.Namespace) -> int:
    from edgereid.export.lint.load import find_model, load_model
    from edgereid.export.lint.report import lint, text
    from edgereid.export.lint.targets import choose
    from edgereid.files import dump_json

    target = choose(args.target, args.trt_version)
    path = find_model(args.path, target)
    report = lint(load_model(path), target, str(path))
    printed = dump_json(report.to_json()) if args.json else text(report, everything=args.all)
    sys.stdout.write(printed)
    return report.exit_code
