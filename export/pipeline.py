"""From a network's name to a bundle: float ONNX, parity, calibration, Q/DQ, engines, manifest.

Everything is written into a directory beside the target, which takes the target's name at the end:
what fails leaves nothing behind.
"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgereid
from edgereid.bundle import Bundle, BundleFile, Manifest, describe_file, write_manifest
from edgereid.calibration.collect import BATCH
from edgereid.calibration.images import CalibrationImages
from edgereid.calibration.thresholds import Decision
from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
from edgereid.engines.vendor import usable_cpus
from edgereid.export.checks import require_varied
from edgereid.export.int8 import CALIBRATION_FILE, Int8Engine, build_engine, calibrate
from edgereid.export.openvino_ir import write_ir
from edgereid.export.options import ExportOptions
from edgereid.export.parity import Parity, measure_parity
from edgereid.export.sources import training_images, weights_file
from edgereid.export.targets import choose_targets
from edgereid.files import atomic_directory, sha256
from edgereid.images import Preprocessing, iter_batches, load_batch
from edgereid.manifest import MANIFEST
from edgereid.progress import note, progress

CROPS = 32  # compared between the network and its engines
_PACKAGES = ("torch", "onnx", "onnxscript", "onnxruntime", "openvino", "numpy", "pillow")


@dataclass(frozen=True, slots=True)
class _Float:
    """The float network as exported, and its own features of the crops it was compared on."""

    preprocessing: Preprocessing
    files: tuple[BundleFile, ...]
    parity: dict[str, Parity]
    crops: NDArray[np.float32]
    reference: NDArray[np.float32]


def export_bundle(options: ExportOptions) -> Bundle:
    """Export a network and return the bundle, opened.

    Raises UsageError, InputError (parity, collapse, unusable images or weights),
    MissingRuntimeError and StorageError; ``options.out`` is then as it was.
    """
    targets, why = choose_targets(options.target)
    weights = weights_file(options)
    decision = Decision(options.method, options.percentile)
    threads = options.threads or usable_cpus()
    count = max(options.images, CROPS) if options.int8 else CROPS
    with atomic_directory(options.out, overwrite=options.overwrite, marker=MANIFEST) as directory:
        note(why)
        with training_images(options, count) as images:
            base = _export_float(options, directory, weights, images, targets, threads)
            engines: list[Int8Engine] = []
            if options.int8:
                engines = _export_int8(
                    options, directory, base, images, targets, decision, threads
                )
        manifest = _manifest(options, directory, weights, base, engines, images, targets, why)
        write_manifest(directory, manifest)
    return Bundle.open(options.out)


def _export_float(
    options: ExportOptions,
    directory: Path,
    weights: Path,
    images: CalibrationImages,
    targets: tuple[str, ...],
    threads: int,
) -> _Float:
    """Write weights, ``model.onnx`` and, where OpenVINO was named, a float IR; compare all."""
    from edgereid.export import torch_onnx

    network, preprocessing = torch_onnx.load_network(options.network, weights)
    shutil.copyfile(weights, directory / "weights.safetensors")
    crops = load_batch(images.paths[:CROPS], preprocessing)
    reference = torch_onnx.reference_features(network, crops)
    require_varied(reference, f"{options.network} with {weights.name}")
    note(f"{options.network}: writing ONNX")
    size = (preprocessing.height, preprocessing.width)
    model = directory / "model.onnx"
    torch_onnx.export_onnx(network, size, model)
    files = [
        describe_file(directory / "weights.safetensors", "weights"),
        describe_file(model, "float", "onnxruntime", "f32"),
    ]
    engines = [model]
    if not options.int8 and options.target == "openvino":
        engines.append(directory / "engine.xml")
        write_ir(model, engines[-1])
        files.append(describe_file(engines[-1], "engine", "openvino", "f32"))
        files.append(describe_file(directory / "engine.bin", "data"))
    parity = {p.name: _compare(p, crops, reference, threads) for p in engines}
    return _Float(preprocessing, tuple(files), parity, crops, reference)


def _compare(
    path: Path, crops: NDArray[np.float32], reference: NDArray[np.float32], threads: int
) -> Parity:
    with open_engine(path, EngineOptions(threads=threads)) as engine:
        parity = measure_parity(engine.run, crops, reference)
    parity.require(path.name)
    note(
        f"parity of {path.name} with PyTorch: cosine {parity.cosine:.6f}, largest difference "
        f"{parity.difference:.1e} over batches {', '.join(map(str, parity.batches))}"
    )
    return parity


def _export_int8(
    options: ExportOptions,
    directory: Path,
    base: _Float,
    images: CalibrationImages,
    targets: tuple[str, ...],
    decision: Decision,
    threads: int,
) -> list[Int8Engine]:
    """Calibrate, and build and check an engine for each target."""
    paths = images.paths[: options.images]
    note(f"calibrating on {len(paths)} images ({images.source}), thresholds by {decision.method}")
    batches = progress(
        iter_batches(paths, base.preprocessing, BATCH, threads),
        label="calibrating",
        total=-(-len(paths) // BATCH),
    )
    model = directory / "model.onnx"
    provenance = {
        "images": images.digest,
        "number": len(paths),
        "source": images.source,
        "preprocessing": base.preprocessing.to_json(),
        "model": sha256(model),
    }
    table = calibrate(model, batches, targets, decision, provenance, threads)
    table.save(directory / CALIBRATION_FILE)
    engines = []
    for target in targets:
        engine = build_engine(target, directory, table, base.crops, base.reference, threads)
        engines.append(engine)
        note(
            f"{engine.name}: {engine.report['int8_share_of_macs']:.1%} of the arithmetic in INT8, "
            f"centred cosine to float {engine.report['centred_cosine']:.4f}"
        )
    return engines


def _manifest(
    options: ExportOptions,
    directory: Path,
    weights: Path,
    base: _Float,
    engines: list[Int8Engine],
    images: CalibrationImages,
    targets: tuple[str, ...],
    why: str,
) -> Manifest:
    provenance: dict[str, Any] = {
        "edgereid": edgereid.__version__,
        "command": list(options.command),
        "versions": {"python": platform.python_version(), **_versions()},
        "weights": {
            "file": weights.name,
            "sha256": sha256(weights),
            "shipped": options.weights is None,
        },
        "parity": {name: parity.to_json() for name, parity in base.parity.items()},
        "parity_images": {"source": images.source, "number": len(base.crops)},
        "targets": why,
    }
    files = list(base.files)
    if options.int8:
        files.append(describe_file(directory / CALIBRATION_FILE, "calibration"))
        provenance["calibration"] = {
            "source": images.source,
            "images": min(options.images, len(images.paths)),
            "digest": images.digest,
            "table": sha256(directory / CALIBRATION_FILE),
            "method": options.method,
            "percentile": options.percentile if options.method == "percentile" else None,
            "seed": options.seed,
        }
        provenance["int8"] = {engine.name: dict(engine.report) for engine in engines}
    for engine in engines:
        files += engine.files
    return Manifest(
        network=options.network,
        feature_size=base.reference.shape[1],
        preprocessing=base.preprocessing,
        files=tuple(files),
        targets=targets,
        precision={engine.name: dict(engine.precision) for engine in engines},
        provenance=provenance,
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
