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
turns. Printed for each row: mAP and its difference from FP32, Rank-1, centred cosine to FP32,
median latency, speed relative to NNCF's default. Then whether a peer is better in both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tabulate import tabulate

from edgereid.bench.latency import LatencyOptions, Runner, measure
from edgereid.bench.machine import machine, state
from edgereid.bench.stats import speed_ratio
from edgereid.bundle import Bundle
from edgereid.calibration.images import choose_images
from edgereid.data.layouts import open_dataset
from edgereid.data.types import ReidDataset
from edgereid.engines.base import Engine, EngineOptions
from edgereid.engines.open import open_engine
from edgereid.files import dump_json, sha256, write_text
from edgereid.images import Preprocessing, iter_batches, load_batch
from edgereid.retrieval import evaluate

Images = NDArray[np.float32]
NNCF_DEFAULT = "NNCF default (OpenVINO)"
EXTRACTION_BATCH = 16
ORT_CALIBRATORS = ("MinMax", "Entropy", "Percentile")
ORT_GRIDS = {"u8": ("QUInt8", False), "s8 symmetric": ("QInt8", True)}
HISTOGRAM_IMAGES = 64  # of quantize_static's Entropy and Percentile
MODELOPT = """
import sys, numpy as np
from modelopt.onnx.quantization import quantize
quantize(sys.argv[1], calibration_data={sys.argv[4]: np.load(sys.argv[2])},
         calibration_method=sys.argv[5], calibration_eps=["cpu"], output_path=sys.argv[3],
         high_precision_dtype="fp32")
"""


@dataclass
class Row:
    """One engine of the table; ``peer``: made by another tool's quantization."""

    label: str
    engine: Engine
    peer: bool
    seconds_to_make: float = 0.0
    mean_ap: float = 0.0
    rank1: float = 0.0
    centred_cosine: float = 0.0
    latency_ms: dict[int, float] = field(default_factory=dict)
    samples_ns: dict[int, list[list[int]]] = field(default_factory=dict)
    speed: dict[int, tuple[float, float | None, float | None]] = field(default_factory=dict)


@dataclass(frozen=True)
class Setting:
    """What all rows share."""

    model: Path
    preprocessing: Preprocessing
    dataset: ReidDataset
    calibration: Images
    threads: int
    folder: Path
    max_drop: float

    @property
    def options(self) -> EngineOptions:
        return EngineOptions(threads=self.threads)

    def bf16(self) -> EngineOptions:
        return EngineOptions(threads=self.threads, precision="bf16")


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


def nncf_rows(setting: Setting) -> Iterator[Row]:
    """NNCF with its defaults, and with accuracy control."""
    import nncf
    import openvino as ov

    def dataset() -> Any:
        return nncf.Dataset([image[None] for image in setting.calibration])

    model = ov.Core().read_model(setting.model)
    model.reshape({model.input(0): [-1, *model.input(0).partial_shape[1:]]})
    start = time.perf_counter()
    quantized = nncf.quantize(model, dataset(), subset_size=len(setting.calibration))
    yield _ir_row(NNCF_DEFAULT, quantized, setting, time.perf_counter() - start)
    start = time.perf_counter()
    images, pids, camids = _held_out(setting)
    quantized = nncf.quantize_with_accuracy_control(
        ov.Core().read_model(setting.model),
        dataset(),
        nncf.Dataset([images]),
        _validation(pids, camids),
        max_drop=setting.max_drop / 100.0,
        subset_size=len(setting.calibration),
    )
    yield _ir_row(
        "NNCF accuracy control (OpenVINO)", quantized, setting, time.perf_counter() - start
    )


def _ir_row(label: str, model: Any, setting: Setting, seconds: float) -> Row:
    import openvino as ov

    path = setting.folder / f"{label.replace(' ', '-').replace('(', '').replace(')', '')}.xml"
    ov.save_model(model, path, compress_to_fp16=False)
    return Row(label, open_engine(path, setting.options, "openvino"), True, seconds)


def _held_out(setting: Setting) -> tuple[Images, NDArray[np.int64], NDArray[np.int64]]:
    """400 images of the last identities of the training split, by identity."""
    records = sorted(setting.dataset.train, key=lambda r: (r.pid, r.camid, r.path.name))[-400:]
    images = load_batch([r.path for r in records], setting.preprocessing)
    return images, np.array([r.pid for r in records]), np.array([r.camid for r in records])


def _validation(pids: NDArray[np.int64], camids: NDArray[np.int64]) -> Callable[..., Any]:
    """mAP, 0 to 1, of every image as a query against all others."""

    def run(compiled: Any, data: Any) -> tuple[float, None]:
        images = next(iter(data))
        features = np.concatenate(
            [compiled(images[i : i + 16])[0] for i in range(0, len(images), 16)]
        )
        found = evaluate(features, pids, camids, features, pids, camids)
        return float(found.mean_ap), None

    return run


class _Reader:
    """The calibration images for ONNX Runtime, one at a time."""

    def __init__(self, name: str, images: Images) -> None:
        self._feeds = iter([{name: image[None]} for image in images])

    def get_next(self) -> dict[str, Images] | None:
        return next(self._feeds, None)


def onnxruntime_rows(setting: Setting) -> Iterator[Row]:
    """``quantize_static`` after its own preparation of the model."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = setting.folder / "prepared.onnx"
    quant_pre_process(str(setting.model), str(prepared), skip_symbolic_shape=True)
    name = _input_name(setting.model)
    for calibrator in ORT_CALIBRATORS:
        for grid, (kind, symmetric) in ORT_GRIDS.items():
            path = setting.folder / f"ort-{calibrator}-{kind}.onnx"
            # its histogram calibrators hold every activation of every image in memory at once
            images = setting.calibration[: None if calibrator == "MinMax" else HISTOGRAM_IMAGES]
            start = time.perf_counter()
            quantize_static(
                str(prepared),
                str(path),
                _Reader(name, images),
                quant_format=QuantFormat.QDQ,
                per_channel=True,
                activation_type=getattr(QuantType, kind),
                weight_type=QuantType.QInt8,
                calibrate_method=getattr(CalibrationMethod, calibrator),
                extra_options={"ActivationSymmetric": symmetric},
            )
            seconds = time.perf_counter() - start
            yield from _onnx_rows(f"quantize_static {calibrator} {grid}", path, setting, seconds)


def _onnx_rows(label: str, path: Path, setting: Setting, seconds: float) -> Iterator[Row]:
    """A peer's ONNX file in both runtimes; one that a runtime refuses is said and left out."""
    for runtime, name in (("onnxruntime", "ONNX Runtime"), ("openvino", "OpenVINO")):
        try:
            engine = open_engine(path, setting.options, runtime)
            engine.run(setting.calibration[:1].copy())
        except Exception as error:
            print(f"{label} in {name}: does not run: {error}", file=sys.stderr)
            continue
        yield Row(f"{label} ({name})", engine, True, seconds)


def modelopt_rows(setting: Setting, python: str) -> Iterator[Row]:
    data = setting.folder / "calibration.npy"
    np.save(data, setting.calibration)
    for method in ("entropy", "max"):
        path = setting.folder / f"modelopt-{method}.onnx"
        command = [python, "-c", MODELOPT, str(setting.model), str(data), str(path)]
        start = time.perf_counter()
        done = subprocess.run(
            [*command, _input_name(setting.model), method], capture_output=True, text=True
        )
        if done.returncode:
            print(f"modelopt {method}: {done.stderr.strip()[-400:]}", file=sys.stderr)
            continue
        yield from _onnx_rows(f"modelopt {method}", path, setting, time.perf_counter() - start)


def _input_name(model: Path) -> str:
    import onnx

    return str(onnx.load(str(model)).graph.input[0].name)


def _features(engine: Engine, setting: Setting) -> tuple[Images, Images]:
    """Embeddings of all queries and of the whole gallery."""
    found = []
    for records in (setting.dataset.query, setting.dataset.gallery):
        paths = [r.path for r in records]
        batches = iter_batches(paths, setting.preprocessing, EXTRACTION_BATCH, setting.threads)
        found.append(np.concatenate([engine.run(batch) for batch in batches]))
    return found[0], found[1]


def measure_accuracy(rows: Sequence[Row], setting: Setting) -> None:
    dataset = setting.dataset
    q, g = dataset.query, dataset.gallery
    ids = [([r.pid for r in records], [r.camid for r in records]) for records in (q, g)]
    reference: Images | None = None
    for row in rows:
        query, gallery = _features(row.engine, setting)
        result = evaluate(query, *ids[0], gallery, *ids[1])
        row.mean_ap, row.rank1 = 100 * float(result.mean_ap), 100 * float(result.rank(1))
        reference = gallery if reference is None else reference
        mean = reference.mean(axis=0)
        a, b = gallery - mean, reference - mean
        cosine = (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))
        row.centred_cosine = float(cosine.mean())
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
    """Peers that are better in both: higher mAP and lower latency."""
    return [
        row.label
        for row in rows
        if row.peer
        and row.mean_ap > ours.mean_ap
        and row.latency_ms[batch] < ours.latency_ms[batch]
    ]


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
    parser.add_argument("--without", nargs="*", default=[], choices=["nncf", "ort"])
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    args = arguments()
    first = Bundle.open(args.bundles[0])
    model = args.bundles[0] / "model.onnx"
    digests = {sha256(directory / "model.onnx") for directory in args.bundles}
    if len(digests) != 1:
        sys.exit("the bundles hold different model.onnx: name bundles of one network.")
    preprocessing = first.manifest.preprocessing
    paths = choose_images(args.data, args.images).paths
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        # a copy, as tools have been seen to write over their input
        setting = Setting(
            Path(shutil.copy(model, folder)),
            preprocessing,
            open_dataset(args.data),
            load_batch(paths, preprocessing),
            args.threads,
            folder,
            args.max_drop,
        )
        rows = [*float_rows(setting), *our_rows(args.bundles, setting)]
        rows += [] if "nncf" in args.without else nncf_rows(setting)
        rows += [] if "ort" in args.without else onnxruntime_rows(setting)
        rows += modelopt_rows(setting, args.modelopt) if args.modelopt else []
        measure_accuracy(rows, setting)
        measure_latency(rows, setting, args.batch, args.seconds)
    print(report(rows, args.batch))
    ours = [row for row in rows if row.label.startswith("edgereid")]
    for row in ours:
        better = beaten_by(row, rows, args.batch[0])
        verdict = "beaten in mAP and latency by " + ", ".join(better) if better else "by none"
        print(f"{row.label}: {verdict if better else 'beaten in both by no peer'}")
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
        del fields["engine"]
        found.append(fields | {"runtime": row.engine.info.runtime})
    return {
        "benchmark": "int8_peers",
        "command": ["python", *sys.argv],
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
