"""From a network's name to a bundle: float ONNX, parity, calibration, Q/DQ, engines, manifest.

Everything is written into a directory beside the target, which takes the target's name at the end:
what fails leaves nothing behind.
"""

from __future__ import annotations

import contextlib
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
from edgereid.calibration.images import CalibrationImages, digest
from edgereid.calibration.thresholds import Decision
from edgereid.cpus import usable_cpus
from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
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
class _Job:
    """What is exported, from what and into which directory."""

    options: ExportOptions
    targets: tuple[str, ...]
    why: str
    weights: Path
    images: CalibrationImages
    directory: Path
    threads: int

    @property
    def model(self) -> Path:
        return self.directory / "model.onnx"


@dataclass(frozen=True, slots=True)
class _Float:
    """The float network as exported, and its own features of the crops it was compared on.
    ``crop``: how it crops its regions, None: it has none."""

    preprocessing: Preprocessing
    crop: str | None
    files: tuple[BundleFile, ...]
    parity: dict[str, Parity]
    crops: NDArray[np.float32]
    reference: NDArray[np.float32]


def export_bundle(options: ExportOptions) -> Bundle:
    """Export a network and return the bundle, opened.

    Raises UsageError, InputError (parity, collapse, unusable images or weights),
    MissingRuntimeError and StorageError; ``options.out`` is then as it was.
    """
    from edgereid.export import torch_onnx
    from edgereid.models import registry

    registry.entry(options.network)
    if options.crop is not None:
        torch_onnx.require_cropping(options.network)
    targets, why = choose_targets(options.target, options.int8)
    decision = Decision(options.method, options.percentile)
    weights = weights_file(options)
    threads = options.threads or usable_cpus()
    count = max(options.images, CROPS) if options.int8 else CROPS
    with atomic_directory(options.out, overwrite=options.overwrite, marker=MANIFEST) as directory:
        note(why)
        with training_images(options, count) as images:
            job = _Job(options, targets, why, weights, images, directory, threads)
            base = _export_float(job)
            engines = _export_int8(job, base, decision) if options.int8 else ()
        write_manifest(directory, _manifest(job, base, engines))
    return Bundle.open(options.out)


def _export_float(job: _Job) -> _Float:
    """Write weights, ``model.onnx`` and, where OpenVINO was named, a float IR; compare all."""
    from edgereid.export import torch_onnx

    options = job.options
    network, preprocessing = torch_onnx.load_network(options.network, job.weights, options.crop)
    weights = job.directory / "weights.safetensors"
    shutil.copyfile(job.weights, weights)
    crops = load_batch(job.images.paths[:CROPS], preprocessing)
    reference = torch_onnx.reference_features(network, crops)
    require_varied(reference, f"{options.network} with {job.weights.name}")
    note(f"{options.network}: writing ONNX")
    torch_onnx.export_onnx(network, (preprocessing.height, preprocessing.width), job.model)
    files = [
        describe_file(weights, "weights"),
        describe_file(job.model, "float", "onnxruntime", "f32"),
    ]
    engines = [job.model]
    if not options.int8 and options.target == "openvino":
        engines.append(job.directory / "engine.xml")
        write_ir(job.model, engines[-1])
        files.append(describe_file(engines[-1], "engine", "openvino", "f32"))
        files.append(describe_file(engines[-1].with_suffix(".bin"), "data"))
    parity = {p.name: _compare(p, crops, reference, job.threads) for p in engines}
    crop = network.crop if isinstance(network, torch_onnx.Cropping) else None
    return _Float(preprocessing, crop, tuple(files), parity, crops, reference)


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


def _export_int8(job: _Job, base: _Float, decision: Decision) -> tuple[Int8Engine, ...]:
    """Calibrate, and build and check an engine for each target."""
    images = job.images
    paths = images.paths[: job.options.images]
    note(f"calibrating on {len(paths)} images ({images.source}), thresholds by {decision.method}")
    batches = progress(
        iter_batches(paths, base.preprocessing, BATCH, job.threads),
        label="calibrating",
        total=-(-len(paths) // BATCH),
    )
    provenance = {
        "images": digest(paths),
        "number": len(paths),
        "source": images.source,
        "preprocessing": base.preprocessing.to_json(),
        "model": sha256(job.model),
    }
    table = calibrate(job.model, batches, job.targets, decision, provenance, job.threads)
    table.save(job.directory / CALIBRATION_FILE)
    engines = []
    for target in job.targets:
        engine = build_engine(target, job.directory, table, base.crops, base.reference, job.threads)
        engines.append(engine)
        note(
            f"{engine.name}: {engine.report['int8_share_of_macs']:.1%} of the arithmetic in INT8, "
            f"centred cosine to float {engine.report['centred_cosine']:.4f}"
        )
    return tuple(engines)


def _manifest(job: _Job, base: _Float, engines: tuple[Int8Engine, ...]) -> Manifest:
    options = job.options
    provenance: dict[str, Any] = {
        "edgereid": edgereid.__version__,
        "command": list(options.command),
        "versions": {"python": platform.python_version(), **_versions()},
        "weights": {
            "file": job.weights.name,
            "sha256": sha256(job.weights),
            "shipped": options.weights is None,
        },
        "parity": {name: parity.to_json() for name, parity in base.parity.items()},
        "parity_images": {"source": job.images.source, "number": len(base.crops)},
        "targets": job.why,
    }
    if base.crop is not None:
        provenance["crop"] = base.crop
    files = [*base.files, *(file for engine in engines for file in engine.files)]
    if options.int8:
        files.append(describe_file(job.directory / CALIBRATION_FILE, "calibration"))
        provenance["calibration"] = {
            "source": job.images.source,
            "images": min(options.images, len(job.images.paths)),
            "table": files[-1].sha256,
            "method": options.method,
            "percentile": options.percentile if options.method == "percentile" else None,
            "seed": options.seed,
        }
        provenance["int8"] = {engine.name: dict(engine.report) for engine in engines}
    return Manifest(
        network=options.network,
        feature_size=base.reference.shape[1],
        preprocessing=base.preprocessing,
        files=tuple(files),
        targets=job.targets,
        precision={engine.name: dict(engine.precision) for engine in engines},
        provenance=provenance,
        flip=options.flip,
    )


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[package] = importlib.metadata.version(package)
    return found
