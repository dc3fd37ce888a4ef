"""What each placement of Q/DQ is worth: speed relative to ONNX Runtime FP32, engines alternated.

    python benchmarks/int8_speed.py BUNDLE --images DIR [--seconds 3]

BUNDLE is made by `edgereid export dslnet --int8`; DIR is a dataset or a folder of training crops.
The variants are the policies of the targets and changes of one rule each. Prints, for batch 1 and
16, the ratio of medians in wall-clock time and in processor time (which other programs running
beside it disturb less), and the file's size as a share of the float file.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from tabulate import tabulate

from edgereid.calibration.collect import collect
from edgereid.calibration.images import choose_images
from edgereid.calibration.scheme import UINT8_AFFINE
from edgereid.calibration.table import CalibrationTable, decide
from edgereid.calibration.thresholds import Decision
from edgereid.engines.base import Engine, EngineOptions
from edgereid.engines.open import open_engine
from edgereid.export.graph import Graph
from edgereid.export.int8 import write_quantized
from edgereid.export.placement import all_ranges, schemes_needed, tensors_seen
from edgereid.export.policy import ONNXRUNTIME, OPENVINO, TENSORRT, PlacementPolicy
from edgereid.export.qdq import quantize
from edgereid.files import read_json
from edgereid.images import load_batch
from edgereid.manifest import Manifest

VARIANTS: dict[str, tuple[str, PlacementPolicy]] = {
    "openvino INT8, its policy": ("openvino", OPENVINO),
    "  signed tensors with zero point": ("openvino", replace(OPENVINO, signed=UINT8_AFFINE)),
    "  depthwise in float": ("openvino", replace(OPENVINO, depthwise=False)),
    "  shortcuts in float": ("openvino", replace(OPENVINO, residual_of=())),
    "  pools in float": ("openvino", replace(OPENVINO, pools=())),
    "  large gates in float": ("openvino", replace(OPENVINO, gates=None)),
    "  large heads in 8 bits": ("openvino", replace(OPENVINO, heads=OPENVINO.gates)),
    "  outputs in float": ("openvino", replace(OPENVINO, outputs_of=())),
    "  all outputs in 8 bits": ("openvino", replace(OPENVINO, outputs_before=())),
    "onnxruntime INT8, its policy": ("onnxruntime", ONNXRUNTIME),
    "  as for openvino": ("onnxruntime", OPENVINO),
    "  gates in float": ("onnxruntime", replace(ONNXRUNTIME, gates=None)),
    "  gates and heads in float": (
        "onnxruntime",
        replace(ONNXRUNTIME, gates=None, heads=None),
    ),
    "  signed symmetric, as for tensorrt": ("onnxruntime", replace(TENSORRT, depthwise=True)),
}
BATCHES = (1, 16)


@dataclass
class Row:
    """One engine: its file's size in bytes and seconds by batch size, wall clock and processor."""

    engine: Engine
    size: int
    wall: dict[int, list[float]]
    cpu: dict[int, list[float]]


def row(path: Path, size: int, options: EngineOptions, runtime: str) -> Row:
    engine = open_engine(path, options, runtime=runtime)
    return Row(engine, size, {b: [] for b in BATCHES}, {b: [] for b in BATCHES})


def calibrated(model: Path, crops: NDArray[np.float32]) -> CalibrationTable:
    """A table that serves every variant; speed does not depend on the ranges."""
    graph = Graph(onnx.load(str(model)))
    policies = tuple(p for _, p in VARIANTS.values())
    seen = collect(model, [crops[:8], crops[8:]], tensors_seen(graph, policies), threads=2)
    seen = all_ranges(graph, policies, seen)
    needed = schemes_needed(graph, policies, {n: h.low >= 0 for n, h in seen.items()})
    return decide(seen.values(), needed, Decision("minmax"), {})


def build(bundle: Path, crops: NDArray[np.float32], folder: Path) -> dict[str, Row]:
    """All engines, the float ones first."""
    model = bundle / "model.onnx"
    size = model.stat().st_size
    rows = {
        "onnxruntime FP32": row(model, size, EngineOptions(threads=2), "onnxruntime"),
        "openvino FP32": row(model, size, EngineOptions(threads=2), "openvino"),
        "openvino BF16": row(model, size, EngineOptions(threads=2, precision="bf16"), "openvino"),
    }
    table = calibrated(model, crops)
    for i, (name, (runtime, policy)) in enumerate(VARIANTS.items()):
        target = folder / str(i)
        target.mkdir()
        quantized, _ = quantize(onnx.load(str(model)), table, policy)
        path, files = write_quantized(runtime, target, quantized)
        size = sum(file.bytes for file in files)
        rows[name] = row(path, size, EngineOptions(threads=2), runtime)
    return rows


def timed(engine: Engine, x: NDArray[np.float32]) -> float:
    start = time.perf_counter()
    engine.run(x)
    return time.perf_counter() - start


def measure(rows: dict[str, Row], crops: NDArray[np.float32], seconds: float) -> None:
    """Engines take turns of about 0.15 s until each has run for ``seconds`` at each batch size."""
    for batch in BATCHES:
        x = crops[:batch].copy()
        for r in rows.values():
            for _ in range(3):
                r.engine.run(x)
            r.wall[batch].append(timed(r.engine, x))
        while any(sum(r.wall[batch]) < seconds for r in rows.values()):
            for r in rows.values():
                runs = max(1, int(0.15 / r.wall[batch][-1]))
                busy = time.process_time()
                r.wall[batch] += [timed(r.engine, x) for _ in range(runs)]
                r.cpu[batch].append((time.process_time() - busy) / runs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=3.0)
    args = parser.parse_args()
    manifest = Manifest.from_json(read_json(args.bundle / "manifest.json"))
    crops = load_batch(choose_images(args.images, 16).paths, manifest.preprocessing)
    with tempfile.TemporaryDirectory() as folder:
        rows = build(args.bundle, crops, Path(folder))
        measure(rows, crops, args.seconds)
        base = rows["onnxruntime FP32"]
        table = []
        for name, r in rows.items():
            cells = [name]
            for batch in BATCHES:
                median = statistics.median(r.wall[batch])
                cells.append(f"{median * 1e3:.1f} ms")
                cells.append(f"{statistics.median(base.wall[batch]) / median:.2f}")
                cells.append(
                    f"{statistics.median(base.cpu[batch]) / statistics.median(r.cpu[batch]):.2f}"
                )
            table.append([*cells, f"{r.size / base.size:.1%}"])
            r.engine.close()
    headers = ["engine"] + [f"{h}, batch {b}" for b in BATCHES for h in ("median", "x", "x CPU")]
    print(tabulate(table, [*headers, "file"], tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
