"""The peers of int8_peers.py: what other tools make of a float ONNX network, as engines.

Every function takes the network and the calibration images that all rows share (``Setting``) and
gives a ``Row`` for each engine that came of it.
"""

from __future__ import annotations

import argparse
import contextlib
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.bundle import Bundle
from edgereid.calibration.images import choose_images
from edgereid.data.layouts import open_dataset
from edgereid.data.types import ReidDataset
from edgereid.engines.base import Engine, EngineOptions
from edgereid.engines.open import open_engine
from edgereid.files import sha256
from edgereid.images import Preprocessing, load_batch
from edgereid.retrieval import evaluate

Images = NDArray[np.float32]
NNCF_DEFAULT = "NNCF default (OpenVINO)"
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
    average_precision: list[float] = field(default_factory=list)  # by query
    people: list[int] = field(default_factory=list)  # of those queries
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

    @staticmethod
    @contextlib.contextmanager
    def of(args: argparse.Namespace) -> Iterator[Setting]:
        """What a command's ``bundles``, ``data``, ``images`` (of the training split) and
        ``threads`` say; its folder is gone afterwards. Exits where the bundles are of several
        networks."""
        if len({sha256(directory / "model.onnx") for directory in args.bundles}) != 1:
            sys.exit("the bundles hold different model.onnx: name bundles of one network.")
        preprocessing = Bundle.open(args.bundles[0]).manifest.preprocessing
        paths = choose_images(args.data, args.images).paths
        with tempfile.TemporaryDirectory() as folder:
            # a copy, as tools have been seen to write over their input
            yield Setting(
                Path(shutil.copy(args.bundles[0] / "model.onnx", folder)),
                preprocessing,
                open_dataset(args.data),
                load_batch(paths, preprocessing),
                args.threads,
                Path(folder),
                getattr(args, "max_drop", 0.0),
            )

    def bf16(self) -> EngineOptions:
        return EngineOptions(threads=self.threads, precision="bf16")


def _nncf_images(setting: Setting) -> Any:
    import nncf

    return nncf.Dataset([image[None] for image in setting.calibration])


def nncf_default(setting: Setting) -> Row:
    import nncf
    import openvino as ov

    model = ov.Core().read_model(setting.model)
    model.reshape({model.input(0): [-1, *model.input(0).partial_shape[1:]]})
    start = time.perf_counter()
    quantized = nncf.quantize(model, _nncf_images(setting), subset_size=len(setting.calibration))
    return _ir_row(NNCF_DEFAULT, quantized, setting, time.perf_counter() - start)


def nncf_controlled(setting: Setting) -> Row:
    """NNCF with accuracy control: layers go back to float until mAP falls by no more."""
    import nncf
    import openvino as ov

    start = time.perf_counter()
    images, pids, camids = _held_out(setting)
    quantized = nncf.quantize_with_accuracy_control(
        ov.Core().read_model(setting.model),
        _nncf_images(setting),
        nncf.Dataset([images]),
        _validation(pids, camids),
        max_drop=setting.max_drop / 100.0,
        subset_size=len(setting.calibration),
    )
    label = "NNCF accuracy control (OpenVINO)"
    return _ir_row(label, quantized, setting, time.perf_counter() - start)


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


def onnxruntime_rows(
    setting: Setting, grids: Sequence[str], calibrators: Sequence[str] = ORT_CALIBRATORS
) -> Iterator[Row]:
    """``quantize_static`` after its own preparation of the model."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = setting.folder / "prepared.onnx"
    quant_pre_process(str(setting.model), str(prepared), skip_symbolic_shape=True)
    name = _input_name(setting.model)
    for calibrator in calibrators:
        for grid in grids:
            kind, symmetric = ORT_GRIDS[grid]
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
