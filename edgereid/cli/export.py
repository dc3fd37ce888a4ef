"""``edgereid export``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgereid.cli import repair_flags, search_flags

if TYPE_CHECKING:
    from edgereid.bundle import Bundle
    from edgereid.export.options import ExportOptions

HELP = """Export a network to ONNX and, with --int8, to quantized engines: a bundle.

The float ONNX file (dynamic batch, batch norm folded, no training heads) must agree with PyTorch at
batch 1, odd and large. An ONNX file that somebody else exported (operator set 11 and above, static
or dynamic batch) goes the same way and is compared with itself as it was given. --int8 calibrates
on training images, places Q/DQ as each target wants it, builds the engines and refuses any that has
collapsed."""
_EXAMPLES = """\
examples:
  edgereid export dslnet                             dslnet/ with model.onnx
  edgereid export dslnet --int8                      dslnet-int8/, calibrated on drawn images
  edgereid export dslnet --int8 --calib market1501   on the training split of a dataset
  edgereid export dslnet --int8 --max-drop 0.3 --target openvino     precisions by layer
  edgereid export dslnet --int8 --uint8-input        pixels in, as bytes
  edgereid export dslnet --weights run/weights.safetensors --int8 --calib market1501
  edgereid export osnet.onnx --int8 --calib market1501 --preprocess imagenet
  edgereid export robust_reid_1x --weights run/weights.safetensors --crop matmul
"""


#: Columns of what the checks found, and how they are written.
_FOUND = ("INT8 MACs", "centred cosine", "certified")
_FORMATS = ("{:.1%}", "{:.4f}", "{:.0%}")


def configure(parser: argparse.ArgumentParser) -> None:
    from edgereid.export.options import TARGETS

    add = parser.add_argument
    add("network", metavar="NETWORK", help="a network's name, such as dslnet, or an .onnx file")
    add("--out", type=Path, metavar="DIR", help="the bundle (NETWORK/ or NETWORK-int8/)")
    add("--force", action="store_true", help="replace a bundle that is there already")
    add("--weights", type=Path, metavar="FILE", help=".safetensors (default: the shipped ones)")
    add(
        "--target",
        default="auto",
        metavar="NAME",
        help=f"auto (what is installed), {', '.join(TARGETS)} (default: %(default)s)",
    )
    add("--threads", type=int, metavar="N", help="threads to use (default: all)")
    _configure_network(parser)
    _configure_incoming(parser)
    _configure_quantization(parser)
    repair_flags.configure(parser)
    search_flags.configure(parser)
    parser.add_argument_group("output").add_argument(
        "--json", action="store_true", help="print one JSON object"
    )
    parser.epilog = _EXAMPLES


def _configure_network(parser: argparse.ArgumentParser) -> None:
    from edgereid.export.options import CROPS

    add = parser.add_argument
    add(
        "--crop",
        metavar="NAME",
        help=f"of networks with hard attention: {', '.join(CROPS)}; the embeddings are the same",
    )
    add(
        "--input-size",
        type=_size,
        metavar="HxW",
        help="of the images (default: as trained; of an ONNX file: where it leaves it open)",
    )
    add(
        "--flip",
        action="store_true",
        help="an embedding is the mean with that of the mirror image: recorded for every host",
    )
    add(
        "--uint8-input",
        action="store_true",
        help="the files take RGB bytes, N x H x W x 3, and normalise: a quarter to copy",
    )


def _configure_incoming(parser: argparse.ArgumentParser) -> None:
    from edgereid.export.incoming.options import (
        COLORS,
        DEFAULT_PREPROCESSING,
        INTERPOLATIONS,
        PREPROCESSINGS,
    )

    add = parser.add_argument_group("ONNX files of others").add_argument
    add("--output", metavar="NAME", help="the embedding, where there are several outputs")
    add(
        "--preprocess",
        metavar="NAME",
        help=f"{', '.join(PREPROCESSINGS)} (default: {DEFAULT_PREPROCESSING}); docs/any-onnx.md",
    )
    add("--mean", type=_three, metavar="A,B,C", help="in place of that one's, with --std")
    add("--std", type=_three, metavar="A,B,C", help="what remains is divided by this")
    add("--pixel-max", type=float, metavar="1|255", help="of what --mean is subtracted from (1)")
    add("--color", metavar="NAME", help=f"{', '.join(COLORS)}: order of the channels")
    add("--interpolation", metavar="NAME", help=f"{', '.join(INTERPOLATIONS)} (bilinear)")


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        raise argparse.ArgumentTypeError(f"{text!r} is no size: height x width, such as 256x128.")
    return int(height), int(width)


def _three(text: str) -> tuple[float, float, float]:
    try:
        a, b, c = (float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r}: three numbers are needed, one a channel, such as 0.5,0.5,0.5."
        ) from None
    return a, b, c


def _configure_quantization(parser: argparse.ArgumentParser) -> None:
    from edgereid.export.options import CALIBRATION_IMAGES, DEFAULT_METHOD, METHODS

    add = parser.add_argument_group("quantization").add_argument
    add("--int8", action="store_true", help="quantize, and build engines for the targets")
    add("--calib", type=Path, metavar="DIR", help="dataset or folder of training crops")
    add("--layout", metavar="NAME", help="of that dataset (default: recognised)")
    add(
        "--calib-images",
        type=int,
        default=CALIBRATION_IMAGES,
        metavar="N",
        help="how many of them, spread over persons and cameras (default: %(default)s)",
    )
    add(
        "--allow-test-images",
        action="store_true",
        help="calibrate on a query or gallery folder all the same (the result will flatter)",
    )
    add(
        "--method",
        default=DEFAULT_METHOD,
        metavar="NAME",
        help=f"how thresholds are chosen: {', '.join(METHODS)} (default: %(default)s)",
    )
    add("--table", type=Path, metavar="FILE", help="ranges to use, such as those of edgereid qat")
    add("--percentile", type=float, default=99.99, metavar="P", help="for --method percentile")
    add("--seed", type=int, default=0, metavar="N", help="choice of images (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    from edgereid.cli.build import plan_after_export
    from edgereid.export.pipeline import export_bundle
    from edgereid.files import dump_json
    from edgereid.search.text import front_text

    bundle = search_flags.bundle_of(args, options_of) or export_bundle(options_of(args))
    if "tensorrt" in bundle.manifest.targets and (args.int8 or args.target == "tensorrt"):
        bundle = plan_after_export(bundle)
    fronts = search_flags.fronts(args, bundle)
    if args.json:
        report = {"bundle": str(bundle.directory), "manifest": bundle.manifest.to_json()}
        found = {"fronts": {target: front.to_json() for target, front in fronts.items()}}
        sys.stdout.write(dump_json(report | (found if fronts else {})))
    else:
        sys.stdout.write("\n".join([summary(bundle), *map(front_text, fronts.values())]))
    return 0


def options_of(args: argparse.Namespace) -> ExportOptions:
    """The flags as options. Raises UsageError."""
    from edgereid.export.incoming.options import IncomingOptions
    from edgereid.export.options import ExportOptions, default_out

    return ExportOptions(
        network=args.network,
        out=args.out or default_out(args.network, args.int8),
        int8=args.int8,
        target=args.target,
        weights=args.weights,
        calibration=args.calib,
        layout=args.layout,
        images=args.calib_images,
        allow_test_images=args.allow_test_images,
        method=args.method,
        percentile=args.percentile,
        seed=args.seed,
        threads=args.threads,
        overwrite=args.force,
        crop=args.crop,
        flip=args.flip,
        uint8_input=args.uint8_input,
        incoming=IncomingOptions(
            input_size=args.input_size,
            output=args.output,
            preprocess=args.preprocess,
            mean=args.mean,
            std=args.std,
            peak=args.pixel_max,
            color=args.color,
            interpolation=args.interpolation,
        ),
        repairs=repair_flags.repairs_of(args),
        table=args.table,
        command=("edgereid", *sys.argv[1:]),
    )


def summary(bundle: Bundle) -> str:
    """The table of what was written: file, runtime, precision, size, agreement with float."""
    from tabulate import tabulate

    files = {f.name: f for f in bundle.manifest.files}
    int8 = bundle.manifest.provenance.get("int8", {})
    whole = files["model.onnx"].bytes
    rows = []
    for name, file in files.items():
        if file.precision is None:
            continue
        data = files.get(name.replace(".xml", ".bin")) if name.endswith(".xml") else None
        size = file.bytes + (data.bytes if data else 0)
        report = int8.get(name, {})
        found = [report.get(key) for key in ("int8_share_of_macs", "centred_cosine", "certified")]
        rows.append(
            (
                name,
                file.runtime or "to be built on the device",
                file.precision,
                f"{size / 1e6:.2f} MB",
                f"{size / whole:.1%}",
                *("" if v is None else f.format(v) for f, v in zip(_FORMATS, found, strict=True)),
            )
        )
    headers = ("engine", "runtime", "precision", "size", "of float", *_FOUND)
    align = ("left",) * 3 + ("right",) * 5
    table = tabulate(rows, headers, disable_numparse=True, colalign=align)
    flip = "embeddings: the mean with that of the mirror image\n" if bundle.manifest.flip else ""
    return f"{bundle.directory}\n{table}\n{flip}"
