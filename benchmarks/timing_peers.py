"""The peers of harness_overhead.py: how OpenVINO and ONNX Runtime time their engines themselves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import openvino as ov
from numpy.typing import NDArray

from edgereid.bench.latency import Samples

Images = NDArray[np.float32]


def benchmark_app(path: Path, size: tuple[int, int], threads: int, seconds: int) -> list[float]:
    """Median and least latency in ms by OpenVINO's own tool. Flags set what our engine sets."""
    tool = Path(sys.executable).with_name("benchmark_app")  # comes with the openvino package
    words = [str(tool), "-m", str(path), "-d", "CPU", "-api", "sync", "-hint", "none"]
    words += ["-nstreams", "1", "-nthreads", str(threads), "-infer_precision", "f32"]
    words += ["-shape", f"[1,3,{size[0]},{size[1]}]", "-t", str(seconds)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, timeout=300)
    found = [re.search(rf"{name}:\s+([0-9.]+) ms", done.stdout) for name in ("Median", "Min")]
    if None in found:
        raise SystemExit(f"benchmark_app printed no latency:\n{done.stdout}{done.stderr}")
    return [float(match.group(1)) for match in found if match is not None]


def bare_request(path: Path, size: tuple[int, int], threads: int) -> Callable[[Images], object]:
    """OpenVINO's synchronous run without our engine's checks and copies around it."""
    core = ov.Core()
    model = core.read_model(path)
    model.reshape([1, 3, *size])
    config = {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": 1,
    }
    request = core.compile_model(model, "CPU", config).create_infer_request()

    def run(images: Images) -> None:
        request.set_input_tensor(ov.Tensor(images, shared_memory=True))
        request.infer()

    return run


def session(path: Path, threads: int, prefix: str) -> Any:
    """A session as our engine opens it, with the profiler on."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.enable_profiling = True
    options.profile_file_prefix = prefix
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def profiled_rounds(file: str, samples: Samples) -> list[list[int]]:
    """The profiler's durations (ns) of the runs that are samples, by round."""
    events = json.loads(Path(file).read_text())
    runs = [1000 * int(e["dur"]) for e in events if e["name"] == "model_run"]
    position = len(samples.warmup_ns)
    found = []
    for block in samples.rounds_ns:
        position += bool(samples.lead_in_ns)
        found.append(runs[position : position + len(block)])
        position += len(block)
    if position != len(runs):
        raise SystemExit(f"the profiler recorded {len(runs)} runs, {position} were made.")
    return found
