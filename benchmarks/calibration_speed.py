"""Calibration against plain inference, and against ONNX Runtime's own entropy calibrator.

    python benchmarks/calibration_speed.py BUNDLE --data DIR [--images 512] [--repeats 3]

Ours: one pass over the images in ONNX Runtime that counts every tensor the target quantises, then
the thresholds of all methods but "auto" from it. Plain inference: the same float model, images and
number of threads in ONNX Runtime, one image at a time. The peer: `onnxruntime.quantization`'s
entropy calibrator over the same images; it keeps all activations, so it gets --peer-images of them
(64 take about 10 GB with DSLNet) and its time is scaled to the number of images.

Every run is a process of its own, the kinds take turns. Images are decoded beforehand. Printed: the
median time, its ratio to plain inference in the same turn, the peak of resident memory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from tabulate import tabulate

from edgereid.calibration.collect import collect
from edgereid.calibration.images import choose_images
from edgereid.calibration.table import decide
from edgereid.calibration.thresholds import METHODS, Decision
from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
from edgereid.export.graph import Graph
from edgereid.export.placement import all_ranges, schemes_needed, tensors_seen
from edgereid.export.policy import POLICIES
from edgereid.files import read_json
from edgereid.images import load_batch
from edgereid.manifest import Manifest

Images = NDArray[np.float32]


def plain(model: Path, images: Images, target: str, threads: int) -> float:
    with open_engine(model, EngineOptions(threads=threads), runtime="onnxruntime") as engine:
        engine.run(np.array(images[:1]))
        start = time.perf_counter()
        for image in images:
            engine.run(np.array(image[None]))
        return time.perf_counter() - start


def ours(model: Path, images: Images, target: str, threads: int) -> float:
    start = time.perf_counter()
    graph, policy = Graph(onnx.load(str(model))), POLICIES[target]
    tensors = tensors_seen(graph, (policy,))
    seen = collect(model, (np.array(i[None]) for i in images), tensors, threads=threads)
    seen = all_ranges(graph, (policy,), seen)
    needed = schemes_needed(graph, (policy,), {n: h.low >= 0 for n, h in seen.items()})
    for method in METHODS:
        decide(seen.values(), needed, Decision(method), {})
    return time.perf_counter() - start


def peer(model: Path, images: Images, target: str, threads: int) -> float:
    import onnxruntime as ort
    from onnxruntime.quantization import CalibrationMethod
    from onnxruntime.quantization.calibrate import create_calibrator

    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        calibrator = create_calibrator(
            str(model),
            augmented_model_path=str(Path(folder) / "augmented.onnx"),
            calibrate_method=CalibrationMethod.Entropy,
        )
        settings = ort.SessionOptions()
        settings.intra_op_num_threads = threads
        calibrator.infer_session = ort.InferenceSession(
            calibrator.augmented_model_path, settings, providers=["CPUExecutionProvider"]
        )
        source = Graph(onnx.load(str(model))).input
        calibrator.collect_data(_Reader(source, images))
        calibrator.compute_data()
        return time.perf_counter() - start


class _Reader:
    """The images for ONNX Runtime's calibrator, one at a time."""

    def __init__(self, source: str, images: Images) -> None:
        self._feeds = ({source: np.array(image[None])} for image in images)

    def get_next(self) -> dict[str, Images] | None:
        return next(self._feeds, None)


KINDS: dict[str, Callable[[Path, Images, str, int], float]] = {
    "plain inference": plain,
    "edgereid, all methods": ours,
    "onnxruntime entropy": peer,
}


def measure(kind: str, args: argparse.Namespace, images: Path, count: int) -> dict[str, float]:
    """Seconds and peak memory in GiB of one kind in a process of its own."""
    command = [sys.executable, __file__, str(args.bundle), "--data", str(args.data)]
    command += ["--target", args.target, "--threads", str(args.threads)]
    command += ["--child", kind, str(images), str(count)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{kind} failed with {process.returncode}")
    return {"seconds": json.loads(out.splitlines()[-1])["seconds"], "peak": usage.ru_maxrss / 2**20}


def run_child(args: argparse.Namespace) -> None:
    kind, images, count = args.child
    loaded: Any = np.load(images, mmap_mode="r")[: int(count)]
    seconds = KINDS[kind](args.bundle / "model.onnx", loaded, args.target, args.threads)
    print(json.dumps({"seconds": seconds}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="dataset or folder of crops")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--peer-images", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--target", default="onnxruntime", choices=sorted(POLICIES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        run_child(args)
        return
    manifest = Manifest.from_json(read_json(args.bundle / "manifest.json"))
    paths = choose_images(args.data, args.images).paths
    counts = dict.fromkeys(KINDS, len(paths)) | {
        "onnxruntime entropy": min(args.peer_images, len(paths))
    }
    found: dict[str, list[dict[str, float]]] = {kind: [] for kind in KINDS}
    with tempfile.TemporaryDirectory() as folder:
        images = Path(folder) / "images.npy"
        np.save(images, load_batch(paths, manifest.preprocessing))
        for _ in range(args.repeats):
            for kind in KINDS:
                found[kind].append(measure(kind, args, images, counts[kind]))
    rows = []
    base = [m["seconds"] for m in found["plain inference"]]
    for kind, runs in found.items():
        scaled = [m["seconds"] * len(paths) / counts[kind] for m in runs]
        ratio = statistics.median(s / b for s, b in zip(scaled, base, strict=True))
        peak = max(m["peak"] for m in runs)
        rows.append(
            (
                kind,
                counts[kind],
                f"{statistics.median(m['seconds'] for m in runs):.1f} s",
                f"{ratio:.2f}",
                f"{peak:.2f} GiB",
            )
        )
    headers = ("", "images", "time", "x plain, per image", "peak memory")
    print(tabulate(rows, headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
