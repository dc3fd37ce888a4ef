"""``edgereid build``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgereid.bundle import Bundle
    from edgereid.export.tensorrt.build import Built
    from edgereid.export.tensorrt.options import BuildOptions

HELP = """Build a TensorRT plan from a bundle or an ONNX file, on the device that will run it.

PATH is a bundle's directory, an ONNX file in it, or a bare ONNX file, of which a new bundle is
made. The plan goes into the bundle, and its manifest says how it came about. Needs TensorRT, a GPU
and the package onnx, but no torch. docs/tensorrt.md says what each flag does."""
_EXAMPLES = """\
examples:
  edgereid build dslnet-int8                         engine.plan, INT8 and FP16
  edgereid build dslnet-int8 --fp16 --out half.plan  a second one, to compare
  edgereid build dslnet-int8 --batch 1,16,64 --workspace 4096 --force
  edgereid build model.onnx --out model-on-orin      a bundle around it
  edgereid build dslnet-int8 --write-calibration-cache dslnet.cache
"""
#: Flag -> precision, as bundles name it.
_PRECISIONS = {"int8": "int8", "fp16": "f16", "fp32": "f32"}


def configure(parser: argparse.ArgumentParser) -> None:
    from edgereid.export.tensorrt.options import PRECISIONS, TYPINGS

    add = parser.add_argument
    add("path", type=Path, metavar="PATH", help="a bundle, or an .onnx file")
    add("--out", type=Path, metavar="NAME", help="the plan in the bundle, or the new bundle")
    add("--force", action="store_true", help="replace what is there already")
    one = parser.add_mutually_exclusive_group()
    one.add_argument("--precision", metavar="NAME", help=f"{', '.join(PRECISIONS)}: the lowest")
    for flag, name in _PRECISIONS.items():
        text = f"same as --precision {name}"
        one.add_argument(f"--{flag}", action="store_const", const=name, dest="precision", help=text)
    add("--typing", default="auto", metavar="NAME", help=f"{', '.join(TYPINGS)} (auto)")
    add("--batch", metavar="MIN,OPT,MAX", help="batches that the plan takes (1,8,32)")
    add = parser.add_argument_group("builder").add_argument
    add("--workspace", type=int, default=1024, metavar="MIB", help="scratch memory (1024)")
    add("--level", type=int, metavar="N", help="0 (fast build) to 5 (fast plan); TensorRT's own")
    add("--timing-cache", type=Path, metavar="FILE", help="(the user's, of this device)")
    add("--dla", type=int, metavar="N", help="run on this DLA core what it can, the rest on GPU")
    for flag, of in (("version", "newer releases"), ("hardware", "other GPUs since Ampere")):
        add(f"--{flag}-compatible", action="store_true", help=f"a slower plan for {of}, too")
    add = parser.add_argument_group("calibration caches, TensorRT up to 10").add_argument
    add("--calibration-cache", type=Path, metavar="FILE", help="INT8 of a float network by it")
    add("--write-calibration-cache", type=Path, metavar="FILE", help="write the bundle's ranges")
    add("--cache-header", metavar="TEXT", help="first line (TRT-8603-EntropyCalibration2)")
    add = parser.add_argument_group("output").add_argument
    add("--json", action="store_true", help="print one JSON object")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace) -> int:
    from edgereid.files import dump_json

    if args.write_calibration_cache is not None:
        report, text = _write_cache(args)
    else:
        built = _build(options_of(args))
        report, text = to_json(built), summary(built)
    sys.stdout.write(dump_json(report) if args.json else text)
    return 0


def options_of(args: argparse.Namespace) -> BuildOptions:
    """The flags as options. Raises UsageError."""
    from edgereid.errors import UsageError
    from edgereid.export.tensorrt.options import Batches, BuildOptions

    if args.cache_header is not None:
        raise UsageError("--cache-header goes with --write-calibration-cache.")
    return BuildOptions(
        path=args.path,
        out=args.out,
        precision=args.precision,
        typing=args.typing,
        batches=None if args.batch is None else Batches.parse(args.batch),
        workspace=args.workspace,
        level=args.level,
        timing_cache=args.timing_cache,
        dla=args.dla,
        version_compatible=args.version_compatible,
        hardware_compatible=args.hardware_compatible,
        calibration_cache=args.calibration_cache,
        overwrite=args.force,
        command=("edgereid", *sys.argv[1:]),
    )


def _build(options: BuildOptions) -> Built:
    from edgereid.cli.outputs import check_output
    from edgereid.export.tensorrt.build import build

    if options.timing_cache is not None:
        check_output(options.timing_cache)
    return build(options, _host())


def _host() -> dict[str, Any]:
    """What the manifest says of the board, where there is one."""
    from edgereid.bench.jetson.board import board

    found = board()
    if found is None:
        return {}
    facts = {"model": found.model, "l4t": found.l4t, "jetpack": found.jetpack}
    return {"jetson": {name: fact.value for name, fact in facts.items()}}


def to_json(built: Built) -> dict[str, Any]:
    """What ``--json`` prints: the plan, its bundle, what the manifest says of it."""
    file = built.bundle.file(built.name)
    return {
        "bundle": str(built.bundle.directory),
        "plan": {"name": built.name, **file.to_json()},
        "provenance": dict(built.provenance),
    }


def summary(built: Built) -> str:
    """The plan, what it was built for, and whether TensorRT had remarks."""
    said, file = built.provenance, built.bundle.file(built.name)
    device = said["device"]
    where = device["name"] if device else "this GPU"
    smallest, tuned, largest = said["batches"]
    remarks = len(said["warnings"])
    told = f"{remarks} warnings of TensorRT stand in the manifest\n" if remarks else ""
    return (
        f"{built.path}: {file.precision}, {file.bytes / 1e6:.2f} MB\n"
        f"TensorRT {said['tensorrt']} on {where}, {said['typing']} typing, batches {smallest} to "
        f"{largest} (tuned for {tuned}), {said['build_seconds']:.0f} s\n{told}"
    )


def _write_cache(args: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """The ranges of a bundle as a calibration cache; TensorRT is not needed for that."""
    from edgereid.bundle import Bundle
    from edgereid.calibration.table import CalibrationTable
    from edgereid.cli.outputs import check_output
    from edgereid.errors import InputError
    from edgereid.export.tensorrt.calibration_cache import DEFAULT_HEADER, CalibrationCache

    check_output(args.write_calibration_cache)
    bundle = Bundle.open(args.path)
    tables = bundle.find("calibration")
    if not tables:
        raise InputError(f"{bundle.directory} has no calibration table: export it with --int8.")
    header = DEFAULT_HEADER if args.cache_header is None else args.cache_header
    table = CalibrationTable.load(bundle.path(tables[0])).of("tensorrt")
    cache = CalibrationCache.of_table(table, header)
    cache.save(args.write_calibration_cache)
    report = {"cache": str(args.write_calibration_cache), "tensors": len(cache.scales)}
    return report, f"{report['cache']}: {header}, {report['tensors']} tensors\n"


def plan_after_export(bundle: Bundle) -> Bundle:
    """Add a plan to a bundle that was just exported for TensorRT, where this machine can build one;
    elsewhere a note with the command for the device. The bundle is whole either way.

    Raises what a build raises, but for a missing TensorRT or GPU.
    """
    from edgereid.errors import EdgeReidError, MissingRuntimeError
    from edgereid.export.tensorrt.options import BuildOptions
    from edgereid.progress import note

    command = f"edgereid build {bundle.directory}"
    try:
        options = BuildOptions(bundle.directory, command=("edgereid", *sys.argv[1:]))
        return _build(options).bundle
    except MissingRuntimeError as error:
        note(str(error))
        note(f"no plan here: copy {bundle.directory} to the device and run there: {command}")
    except EdgeReidError:
        note(f"{bundle.directory} is written, without a plan; to try again: {command}")
        raise
    return bundle
