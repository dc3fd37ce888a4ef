"""How much of a coarse INT8 setting's damage training with fake quantisation undoes.

    python benchmarks/qat_recovery.py --data DIR --backend pytorch-quantization modelopt

The setting is coarse on purpose: every convolution and linear layer but those on 1x1 maps in 8 bits
(depthwise and embedding head too, signed symmetric activations), on min-max ranges of the training
images made --widen times as wide, as a few outliers would. Each backend trains from the same
weights and ranges with the same batches. Printed, for the Q/DQ model that the writer makes and ONNX
Runtime runs: one minus the mean centred cosine to the float network on 64 training images that were
not trained on, mAP on the first --people of the test set, and what part of each loss is recovered.
--json FILE keeps everything.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from edgereid.calibration.collect import BATCH
from edgereid.calibration.images import balanced
from edgereid.calibration.scheme import Range
from edgereid.calibration.session import open_session
from edgereid.calibration.table import CalibrationTable
from edgereid.calibration.thresholds import Decision
from edgereid.data.layouts import open_dataset
from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.export.int8 import calibrate, load_graph
from edgereid.export.policy import TENSORRT
from edgereid.export.qdq import quantize
from edgereid.export.torch_onnx import export_onnx, load_network
from edgereid.files import dump_json, sha256, write_text
from edgereid.images import Preprocessing, iter_batches
from edgereid.retrieval import evaluate
from edgereid.train.qat.inputs import network_of
from edgereid.train.qat.options import BACKENDS, RANGES, QatOptions, Schedule
from edgereid.train.qat.run import TABLE, WEIGHTS, run_qat

COARSE = replace(
    TENSORRT, inputs_of=("Conv", "Gemm"), weight_only=(), depthwise=True, group_multiple=1
)


def coarse_table(
    model: Path, dataset: ReidDataset, preprocessing: Preprocessing, args: argparse.Namespace
) -> CalibrationTable:
    paths = balanced([r for r in dataset.train if r.pid > 0], args.calib_images, args.seed)
    batches = iter_batches(paths, preprocessing, BATCH, 1)
    provenance = {"model": sha256(model), "preprocessing": preprocessing.to_json()}
    table = calibrate(model, batches, (COARSE,), Decision("minmax"), provenance, args.threads)
    wide = {
        name: replace(
            e,
            method=f"minmax, {args.widen:g} times",
            ranges={s: Range(r.low * args.widen, r.high * args.widen) for s, r in e.ranges.items()},
        )
        for name, e in table.entries.items()
    }
    return CalibrationTable(wide, table.provenance)


def first_people(records: tuple[ImageRecord, ...], people: set[int]) -> list[ImageRecord]:
    return [r for r in records if r.pid in people]


def mean_average_precision(
    model: Any, dataset: ReidDataset, preprocessing: Preprocessing, args: argparse.Namespace
) -> float:
    """mAP in percent of an onnx.ModelProto."""
    if not args.people:
        return float("nan")
    people = set(sorted({r.pid for r in dataset.query})[: args.people])
    session = open_session(model, args.threads)
    sides = [first_people(s, people) for s in (dataset.query, dataset.gallery)]
    columns: list[NDArray[Any]] = []
    for side in sides:
        batches = iter_batches([r.path for r in side], preprocessing, 1, 1)
        columns.append(np.concatenate([session.run(None, {"images": b})[0] for b in batches]))
        columns += [np.array([getattr(r, name) for r in side]) for name in ("pid", "camid")]
    return 100 * float(evaluate(*columns).mean_ap)


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    options = QatOptions(args.network, args.data, folder / "qat", weights=args.weights)
    network, preprocessing, _ = network_of(options)
    dataset, model = open_dataset(args.data), folder / "model.onnx"
    export_onnx(network, (preprocessing.height, preprocessing.width), model)
    table = coarse_table(model, dataset, preprocessing, args)
    table.save(folder / TABLE)
    plain = load_graph(model).model
    found: dict[str, Any] = {
        "float": {"map": mean_average_precision(plain, dataset, preprocessing, args)},
        "coarse": {
            "map": mean_average_precision(
                quantize(plain, table, COARSE)[0], dataset, preprocessing, args
            )
        },
    }
    for backend in args.backend:
        out = folder / backend
        schedule = Schedule(args.steps, args.batch, args.lr, args.ranges, args.seed)
        trained = run_qat(
            replace(
                options,
                out=out,
                target="tensorrt",
                backend=backend,
                calibration=folder / TABLE,
                schedule=schedule,
                threads=args.threads,
            ),
            COARSE,
        )
        network, _ = load_network(args.network, out / WEIGHTS)
        export_onnx(network, (preprocessing.height, preprocessing.width), model)
        better, _ = quantize(load_graph(model).model, CalibrationTable.load(out / TABLE), COARSE)
        found["coarse"]["error"] = trained["error_before"]
        found[backend] = {
            "error": trained["error_after"],
            "cosine_to_training": trained["cosine_to_training"],
            "map": mean_average_precision(better, dataset, preprocessing, args),
            "curve": trained["curve"],
        }
        report(args, found)
    return found


def report(args: argparse.Namespace, found: dict[str, Any]) -> None:
    """Print the table; write everything to --json after every backend."""
    coarse, top = found["coarse"], found["float"]["map"]
    for name in args.backend:
        if name in found:
            made = found[name]
            made["recovered_error"] = 1 - made["error"] / coarse["error"]
            lost = top - coarse["map"]
            made["recovered_map"] = (made["map"] - coarse["map"]) / lost if lost else 0.0
    rows = [
        (name, *(f"{v[k]:.4f}" if k in v else "" for k in ("error", "recovered_error", "map")))
        for name, v in found.items()
    ]
    headers = ("model", "1 - centred cosine", "recovered", "mAP")
    print(tabulate(rows, headers, disable_numparse=True), flush=True)
    if args.json is not None:
        setting = {k: str(v) if isinstance(v, Path) else v for k, v in vars(args).items()}
        clean = {k: v for k, v in setting.items() if k not in ("data", "json", "weights")}
        write_text(args.json, dump_json({"setting": clean, "found": _finite(found)}))


def _finite(value: Any) -> Any:
    """What was not measured (--people 0) is null."""
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    return None if isinstance(value, float) and not np.isfinite(value) else value


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--network", default="dslnet")
    add("--weights", type=Path, help="(default: the shipped ones)")
    add("--data", type=Path, required=True, help="a dataset")
    add("--backend", nargs="+", default=["torch"], choices=BACKENDS)
    add("--ranges", default=RANGES[0], choices=RANGES)
    add("--widen", type=float, default=8.0, help="factor of min-max ranges")
    add("--calib-images", type=int, default=32)
    add("--steps", type=int, default=300)
    add("--batch", type=int, default=16)
    add("--lr", type=float, default=2e-5)
    add("--people", type=int, default=20, help="of the test set, for mAP; 0: none")
    add("--threads", type=int, default=1)
    add("--seed", type=int, default=0)
    add("--json", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(args, Path(folder))


if __name__ == "__main__":
    main()
