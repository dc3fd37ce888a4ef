"""Our INT8 engines against what other tools make of the same network, in one run.

    pip install nncf
    edgereid export dslnet --int8 --out /tmp/all-int8
    edgereid export dslnet --int8 --max-drop 0.3 --calib DATA --target openvino --out /tmp/searched
    python benchmarks/int8_peers.py /tmp/searched /tmp/all-int8 --data DATA --json results.json

All BUNDLEs are of one network with the same `model.onnx`; each of their engines is a row of ours.
The peers get that `model.onnx` and the same training images of DATA (a dataset in an official
layout): NNCF with its defaults; NNCF with accuracy control (mAP over a held-out part of the
training split, at most --max-drop points); ONNX Runtime's `quantize_static` with each of its
calibrators (Entropy and Percentile keep every activation in memory, so they get 64 images),
unsigned and signed symmetric activations, weights per channel; nvidia-modelopt's ONNX
quantization where --modelopt names a Python that has it (`pip install "nvidia-modelopt[onnx]"` in
an environment of its own: it wants other versions of onnx). Every ONNX file that a peer makes runs
in ONNX Runtime and in OpenVINO, an IR in OpenVINO alone.

Accuracy: query and gallery of DATA, every image. Latency: batch 1 (and --batch), all engines in
turns; who is faster is decided round by round. Printed for each row: mAP and its difference from
FP32, Rank-1, centred cosine to FP32, median latency, speed relative to NNCF's default. Then which
peers are better in both, and of them those for which that cannot be chance. --without leaves out
tools, NNCF's accuracy control, or the signed grids of `quantize_static`, which take long with large
networks.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from quantization_peers import (
    NNCF_DEFAULT,
    ORT_GRIDS,
    Images,
    Row,
    Setting,
    modelopt_rows,
    nncf_controlled,
    nncf_default,
    onnxruntime_rows,
)
from tabulate import tabulate

from edgereid.bench.gate.bootstrap_t import bounds
from edgereid.bench.gate.pairs import pair
from edgereid.bench.latency import LatencyOptions, Runner, measure
from edgereid.bench.machine import machine, state
from edgereid.bench.stats import speed_ratio
from edgereid.bundle import Bundle
from edgereid.data.types import ImageRecord
from edgereid.engines.open import open_engine
from edgereid.files import dump_json, write_text
from edgereid.images import iter_batches
from edgereid.retrieval import evaluate
from edgereid.retrieval.centred import centred_cosines

EXTRACTION_BATCH = 16
SURE = 0.05


def float_rows(setting: Setting) -> list[Row]:
    model = setting.model
    return [
        Row("FP32 (OpenVINO)", open_engine(model, setting.options, "openvino"), False),
        Row("BF16 (OpenVINO)", open_engine(model, setting.bf16(), "openvino"), False),
        Row("FP32 (ONNX Runtime)", open_engine(model, setting.options, "onnxruntime"), False),
    ]


def our_rows(bundles: Sequence[Path], setting: Setting) -> list[Row]:
    """The engines of the bundles, as they are opened by default."""
    rows = []
    for directory in bundles:
        for file in Bundle.open(directory).manifest.files:
            if file.role != "engine" or file.runtime not in ("openvino", "onnxruntime"):
                continue
            engine = open_engine(directory / file.name, setting.options, file.runtime)
            rows.append(Row(f"edgereid {directory.name}/{file.name}", engine, False))
    return rows


def _decoded(records: Sequence[ImageRecord], setting: Setting) -> list[Images]:
    """Batches of all the images, read once for all engines."""
    paths = [r.path for r in records]
    return list(iter_batches(paths, setting.preprocessing, EXTRACTION_BATCH, setting.threads))


def measure_accuracy(rows: Sequence[Row], setting: Setting) -> None:
    dataset = setting.dataset
    q, g = dataset.query, dataset.gallery
    ids = [([r.pid for r in records], [r.camid for r in records]) for records in (q, g)]
    images = [_decoded(records, setting) for records in (q, g)]
    reference: Images | None = None
    for row in rows:
        query, gallery = (np.concatenate([row.engine.run(b) for b in part]) for part in images)
        result = evaluate(query, *ids[0], gallery, *ids[1])
        row.mean_ap, row.rank1 = 100 * float(result.mean_ap), 100 * float(result.rank(1))
        row.average_precision = [round(float(v), 6) for v in result.average_precision]
        row.people = [ids[0][0][i] for i in result.query_index]
        reference = gallery if reference is None else reference
        row.centred_cosine = float(centred_cosines(reference, gallery).mean())
        print(f"{row.label}: mAP {row.mean_ap:.2f}", file=sys.stderr, flush=True)


def measure_latency(
    rows: Sequence[Row], setting: Setting, batches: Sequence[int], seconds: float
) -> None:
    """All engines in turns; raw samples are kept."""
    base = next((i for i, row in enumerate(rows) if row.label == NNCF_DEFAULT), 0)
    for batch in batches:
        inputs = [np.ascontiguousarray(setting.calibration[i : i + batch]) for i in range(4)]
        options = LatencyOptions(
            min_time_s=seconds, min_count=50, max_time_s=seconds * len(rows) * 2.5
        )
        runners = [Runner(row.label, row.engine.run, inputs) for row in rows]
        samples = measure(runners, options)
        for row, sample in zip(rows, samples, strict=True):
            row.samples_ns[batch] = [list(r) for r in sample.rounds_ns]
            row.latency_ms[batch] = float(np.median(sample.all_ns)) / 1e6
            ratio = speed_ratio(samples[base].rounds_ns, sample.rounds_ns)
            row.speed[batch] = (ratio.value, ratio.low, ratio.high)


def report(rows: Sequence[Row], batches: Sequence[int]) -> str:
    whole = rows[0].mean_ap
    cells = []
    for row in rows:
        line = [row.label, f"{row.mean_ap:.2f}", f"{row.mean_ap - whole:+.2f}", f"{row.rank1:.2f}"]
        line.append(f"{row.centred_cosine:.4f}")
        for batch in batches:
            value, low, high = row.speed[batch]
            spread = "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
            line += [f"{row.latency_ms[batch]:.2f} ms", f"{value:.2f}{spread}"]
        cells.append(line)
    headers = ["engine", "mAP", "change", "Rank-1", "cosine"]
    for batch in batches:
        headers += [f"median, batch {batch}", "speed against NNCF's default"]
    return str(tabulate(cells, headers, tablefmt="github", disable_numparse=True))


def beaten_by(ours: Row, rows: Sequence[Row], batch: int) -> list[str]:
    """Peers that are better in both: higher mAP, and faster by the median over rounds of turns
    (medians of milliseconds tell what else the machine did while an engine had its turns)."""
    return [
        row.label
        for row in rows
        if row.peer
        and row.mean_ap > ours.mean_ap
        and speed_ratio(ours.samples_ns[batch], row.samples_ns[batch]).value > 1
    ]


def surely_beaten_by(ours: Row, rows: Sequence[Row], batch: int) -> list[str]:
    """Those of them for which neither can be chance: over the people of the queries, and over the
    rounds of the timing, each at 5 %."""
    found = []
    for row in (r for r in rows if r.label in beaten_by(ours, rows, batch)):
        gain = pair(row.average_precision, ours.average_precision, ours.people)
        speed = speed_ratio(ours.samples_ns[batch], row.samples_ns[batch])
        faster = speed.low is not None and speed.low > 1
        if faster and bounds(gain, SURE, SURE)[0] > 0:
            found.append(row.label)
    return found


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE")
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--images", type=int, default=256, help="of the training split")
    parser.add_argument("--batch", type=int, nargs="*", default=[1])
    parser.add_argument("--seconds", type=float, default=5.0, help="an engine and batch")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument(
        "--max-drop", type=float, default=0.3, help="of accuracy control, in points"
    )
    parser.add_argument("--modelopt", metavar="PYTHON", help="that can import modelopt.onnx")
    parser.add_argument(
        "--without", nargs="*", default=[], choices=["nncf", "accuracy-control", "ort", "signed"]
    )
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    first = Bundle.open(args.bundles[0])
    with Setting.of(args) as setting:
        rows = [*float_rows(setting), *our_rows(args.bundles, setting)]
        if "nncf" not in args.without:
            rows.append(nncf_default(setting))
            rows += [] if "accuracy-control" in args.without else [nncf_controlled(setting)]
        grids = [g for g in ORT_GRIDS if g == "u8" or "signed" not in args.without]
        rows += [] if "ort" in args.without else onnxruntime_rows(setting, grids)
        rows += modelopt_rows(setting, args.modelopt) if args.modelopt else []
        measure_accuracy(rows, setting)
        print("latency: engines take turns", file=sys.stderr, flush=True)
        measure_latency(rows, setting, args.batch, args.seconds)
    print(report(rows, args.batch))
    ours = [row for row in rows if row.label.startswith("edgereid")]
    for row in ours:
        better = beaten_by(row, rows, args.batch[0])
        surely = surely_beaten_by(row, rows, args.batch[0])
        print(f"{row.label}: better in mAP and latency: {', '.join(better) or 'no peer'}")
        print(f"{row.label}: of these beyond chance in both: {', '.join(surely) or 'no peer'}")
    if args.json:
        write_text(args.json, dump_json(_result(first, args, rows)))


def _result(bundle: Bundle, args: argparse.Namespace, rows: Sequence[Row]) -> dict[str, Any]:
    import importlib.metadata

    versions = {}
    for package in ("edgereid", "openvino", "nncf", "onnxruntime", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    found = []
    for row in rows:
        fields = asdict(Row(row.label, None, row.peer))  # type: ignore[arg-type]
        fields |= {k: v for k, v in vars(row).items() if k != "engine"}
        for name in ("engine", "average_precision", "people"):  # the last two are long
            del fields[name]
        if not row.peer:
            fields["better_in_both"] = beaten_by(row, rows, args.batch[0])
            fields["better_beyond_chance"] = surely_beaten_by(row, rows, args.batch[0])
        found.append(fields | {"runtime": row.engine.info.runtime})
    return {
        "benchmark": "int8_peers",
        "command": ["python", f"benchmarks/{Path(__file__).name}", *sys.argv[1:]],
        "network": bundle.manifest.network,
        "images": args.images,
        "threads": args.threads,
        "versions": versions,
        "machine": asdict(machine()),
        "state": json.loads(json.dumps(asdict(state()), default=str)),
        "rows": found,
    }


if __name__ == "__main__":
    main()
