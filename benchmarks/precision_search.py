"""What the search of precisions finds, against float and against INT8 everywhere, in one run.

    python benchmarks/precision_search.py dslnet --target openvino --calib DIR --max-drop 0.3

Exports the network with the search, prints the Pareto front, and then times the engine taken, the
float engines (f32, and bf16 where the processor has it) and INT8 everywhere, taking turns. Printed
are ratios of times with their 95 % interval: above 1, the engine taken is faster. --json FILE keeps
everything. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from tabulate import tabulate

from edgereid.bundle import Bundle
from edgereid.calibration.table import CalibrationTable
from edgereid.cpus import usable_cpus
from edgereid.export.incoming.options import IncomingOptions
from edgereid.export.options import ExportOptions
from edgereid.files import dump_json, write_text
from edgereid.search.bundle import record_of
from edgereid.search.choice import all_float, all_int8
from edgereid.search.engine_rig import EngineRig, Setup
from edgereid.search.evidence import Source, gather
from edgereid.search.export import export_searched
from edgereid.search.measured import Cost
from edgereid.search.options import SearchOptions
from edgereid.search.outcome import Record
from edgereid.search.rig import Effort
from edgereid.search.text import front_text


def race(bundle: Bundle, record: Record, args: argparse.Namespace) -> dict[str, Cost]:
    """Times relative to the engine taken."""
    setup = Setup(
        args.target,
        bundle.directory,
        CalibrationTable.load(bundle.directory / "calibration.json"),
        bundle.manifest.preprocessing,
        args.threads or usable_cpus(),
        args.batch,
        args.seed,
    )
    source = Source(args.calib, None, args.calib_images, args.seed)
    with gather(source) as evidence, EngineRig(setup, evidence) as rig:
        taken = record.outcome.point.choice
        peers = [all_float(a, rig.units) for a in rig.arithmetics]
        peers += [all_int8(a, rig.units) for a in rig.arithmetics]
        choices = list(dict.fromkeys([taken, *peers]))
        costs = rig.race(choices, Effort(args.seconds, 30))
    return {c.label: cost for c, cost in zip(choices, costs, strict=True)}


def size(text: str) -> tuple[int, int]:
    """Height and width, of text such as 256x128."""
    height, width = text.split("x")
    return int(height), int(width)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("network", help="a network's name or an .onnx file")
    add("--weights", type=Path, help=".safetensors (default: the shipped ones)")
    add("--input-size", type=size, metavar="HxW", help="of the images (default: as trained)")
    add("--target", default="openvino", choices=("openvino", "onnxruntime"))
    add("--calib", type=Path, help="training images (default: drawn ones)")
    add("--calib-images", type=int, default=256)
    add("--max-drop", type=float, default=0.3, help="points of mAP")
    add("--search-minutes", type=float)
    add("--batch", type=int, default=1)
    add("--threads", type=int)
    add("--seed", type=int, default=0)
    add("--seconds", type=float, default=5.0, help="of each engine in the comparison")
    add("--json", type=Path, help="write front and ratios")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        options = ExportOptions(
            network=args.network,
            out=Path(folder) / "bundle",
            int8=True,
            target=args.target,
            weights=args.weights,
            calibration=args.calib,
            incoming=IncomingOptions(input_size=args.input_size),
            images=args.calib_images,
            threads=args.threads,
            seed=args.seed,
        )
        search = SearchOptions(args.max_drop, args.search_minutes, args.batch, args.seed)
        bundle = export_searched(options, search)
        record = record_of(bundle, args.target)
        costs = race(bundle, record, args)
    report(record, costs, args.json)


def report(record: Record, costs: dict[str, Cost], path: Path | None) -> None:
    """Print the front and the ratios; write both to ``path``."""
    print(front_text(record))
    # A peer's time over that of the engine taken: how many times as fast the latter is.
    rows = [
        (label, f"{cost.ms:.2f} ms", f"{cost.value:.2f}x ({cost.low:.2f} to {cost.high:.2f})")
        for label, cost in costs.items()
    ]
    print(tabulate(rows, ("engine", "median", "the one taken is faster by"), disable_numparse=True))
    if path is not None:
        found: dict[str, Any] = {label: cost.to_json() for label, cost in costs.items()}
        write_text(path, dump_json({"front": record.to_json(), "times_of_taken": found}))


if __name__ == "__main__":
    main()
