"""``edgereid estimate``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edgereid.errors import InputError, UsageError

if TYPE_CHECKING:
    from edgereid.bench.estimate.run import Calibration, EstimateOptions, Graph

HELP = """Predict what a network would take on a device that is not here.

NETWORK is a registered network's name, a bundle's directory or a float ONNX file. The prediction is
a roofline over its fused layers, fitted on published latencies of TensorRT engines; its error on
them is printed beside it. A prediction is never a measurement: measure with `edgereid bench`."""
_EXAMPLES = """\
examples:
  edgereid estimate --devices                                      the devices, with sources
  edgereid estimate dslnet --device orin-nano-8gb
  edgereid estimate dslnet-int8 --device agx-orin-64gb --precision int8 --batch 1,8,16
  edgereid estimate dslnet --device orin-nano-8gb --measured r.json --measured-on orin-nx-16gb
"""


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("network", nargs="?", metavar="NETWORK", help="a network's name, a bundle or an ONNX file")
    add("--devices", action="store_true", help="list the devices with the source of each figure")
    add("--device", metavar="NAME", help="the device to predict for")
    add("--precision", metavar="NAME", help="f32, f16 or int8 (default: all the device has)")
    add("--batch", default="1,8", metavar="N,N", help="batch sizes (default %(default)s)")
    add("--json", action="store_true", help="print one JSON object instead of the table")
    add = parser.add_argument_group("calibration by a measured engine").add_argument
    add("--measured", type=Path, metavar="RESULT", help="a result of `edgereid bench --out`")
    add("--measured-on", metavar="NAME", help="the device it was measured on (default: --device)")
    add("--measured-network", metavar="NETWORK", help="what was measured (default: NETWORK)")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace) -> int:
    from edgereid.bench.estimate.constants import constants
    from edgereid.bench.estimate.run import estimate
    from edgereid.bench.estimate.text import text
    from edgereid.files import dump_json

    if args.devices:
        return _list(args)
    options = options_of(args)
    graph = _graph(args.network)
    found = estimate(graph, options, _calibration(args, options))
    sys.stdout.write(dump_json(found.to_json()) if args.json else text(found, constants()))
    return 0


def _list(args: argparse.Namespace) -> int:
    from edgereid.bench.estimate.devices import devices
    from edgereid.bench.estimate.text import devices_json, devices_text
    from edgereid.files import dump_json

    found = devices().values()
    sys.stdout.write(dump_json(devices_json(found)) if args.json else devices_text(found))
    return 0


def options_of(args: argparse.Namespace) -> EstimateOptions:
    """The flags as options. Raises UsageError."""
    from edgereid.bench.estimate.devices import device
    from edgereid.bench.estimate.run import EstimateOptions

    if args.network is None or args.device is None:
        raise UsageError("give NETWORK and --device NAME; --devices lists what is known.")
    if args.measured is None and (args.measured_on or args.measured_network):
        raise UsageError("--measured-on and --measured-network describe --measured: give it, too.")
    try:
        batches = tuple(dict.fromkeys(int(word) for word in args.batch.split(",")))
    except ValueError:
        raise UsageError(f"--batch {args.batch}: give numbers with commas, such as 1,8.") from None
    precisions = () if args.precision is None else (args.precision,)
    return EstimateOptions(device(args.device), precisions, batches)


def _graph(network: str) -> Graph:
    """Of a path, else of a registered network's name, which is exported to be counted."""
    from edgereid.bench.estimate.run import read_graph

    path = Path(network)
    if path.exists():
        return read_graph(path)
    if path.suffix or len(path.parts) != 1:
        raise InputError(f"there is no {path}: give a bundle, an ONNX file or a network's name.")
    import tempfile

    from edgereid.export.torch_onnx import export_onnx
    from edgereid.models.registry import build, entry

    size = entry(network).input
    with tempfile.TemporaryDirectory(prefix="edgereid-estimate-") as folder:
        file = Path(folder) / "model.onnx"
        export_onnx(build(network), (size.height, size.width), file)
        return read_graph(file, network)


def _calibration(args: argparse.Namespace, options: EstimateOptions) -> Calibration | None:
    from edgereid.bench.estimate.devices import device
    from edgereid.bench.estimate.run import Calibration
    from edgereid.bench.result import read_result

    if args.measured is None:
        return None
    other = None if args.measured_network is None else _graph(args.measured_network)
    on = options.device if args.measured_on is None else device(args.measured_on)
    return Calibration(read_result(args.measured), on, other)
