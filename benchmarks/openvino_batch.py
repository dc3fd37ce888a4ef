"""What a fixed batch size, and bf16 in the float layers, are worth in OpenVINO.

The engine compiles a network for each of the first batch sizes it sees, and runs the float layers
of an INT8 file in f32 unless asked otherwise. This prints the time of each choice relative to the
engine's default (fixed batch, f32), alternated in one run: the median of the ratios of neighbours
in time, and their quartiles.

    python benchmarks/openvino_batch.py dslnet-int8/model.onnx dslnet-int8/engine.xml
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

BATCHES = (1, 16)
CHOICES = (("fixed", "f32"), ("dynamic", "f32"), ("fixed", "bf16"), ("dynamic", "bf16"))


def request(core: Any, path: Path, batch: int, kind: str, precision: str, threads: int) -> Any:
    model = core.read_model(path)
    _, channels, height, width = model.inputs[0].get_partial_shape()
    model.reshape([batch if kind == "fixed" else -1, channels, height, width])
    config = {
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    return core.compile_model(model, "CPU", config).create_infer_request()


def run_ms(engine: Any, images: Any) -> float:
    start = time.perf_counter_ns()
    engine.set_input_tensor(ov.Tensor(images, shared_memory=True))
    engine.infer()
    return (time.perf_counter_ns() - start) / 1e6


def measure(core: Any, path: Path, batch: int, threads: int, seconds: float) -> None:
    shape = [d.get_length() for d in list(core.read_model(path).inputs[0].get_partial_shape())[1:]]
    images = np.random.default_rng(0).standard_normal((batch, *shape)).astype(np.float32)
    able = core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    choices = [c for c in CHOICES if c[1] == "f32" or "BF16" in able]
    engines = [request(core, path, batch, *c, threads) for c in choices]
    for engine in engines:
        for _ in range(5):
            run_ms(engine, images)
    times = []
    end = time.monotonic() + seconds
    while time.monotonic() < end or len(times) < 20:
        times.append([run_ms(engine, images) for engine in engines])
    table = np.array(times)
    ratios = table / table[:, :1]
    for (kind, precision), column, ms in zip(choices, ratios.T, table.T, strict=True):
        low, middle, high = np.percentile(column, (25, 50, 75))
        print(
            f"{path.name:16} batch {batch:2}  {kind:8} {precision:5} {np.median(ms):8.2f} ms  "
            f"relative {middle:.2f} ({low:.2f} to {high:.2f})  {len(column)} rounds"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", type=Path, nargs="+", help=".onnx or .xml, dynamic batch")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10.0, help="for each file and batch size")
    args = parser.parse_args()
    core = ov.Core()
    for path in args.files:
        for batch in BATCHES:
            measure(core, path, batch, args.threads, args.seconds)


if __name__ == "__main__":
    main()
