"""From a network, or an ONNX file, to a bundle: parity, calibration, Q/DQ, engines, manifest.

Everything is written into a directory beside the target, which takes the target's name at the end:
what fails leaves nothing behind.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import edgereid
from edgereid.bundle import (
    Bundle,
    BundleFile,
    Manifest,
    describe_file,
    total_bytes,
    write_manifest,
)
from edgereid.calibration.images import CalibrationImages
from edgereid.calibration.table import CalibrationTable
from edgereid.calibration.thresholds import Decision
from edgereid.cpus import usable_cpus
from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
from edgereid.errors import InputError
from edgereid.export.checks import LARGE, CollapseError
from edgereid.export.collapse import collapse_begins
from edgereid.export.int8 import (
    CALIBRATION_FILE,
    EngineBuilder,
    Int8Engine,
    build_engine,
)
from edgereid.export.openvino_ir import write_ir
from edgereid.export.options import ExportOptions
from edgereid.export.origin import MODEL_FILE, Origin, Written
from edgereid.export.parity import Parity, in_batches, measure_parity
from edgereid.export.policy import POLICIES
from edgereid.export.ranges import ranges_of
from edgereid.export.repair.files import equalizing, mending
from edgereid.export.repair.mended import quantize_stored
from edgereid.export.sources import training_images
from edgereid.export.targets import choose_targets
from edgereid.export.uint8_input import taking_bytes
from edgereid.export.versions import versions
from edgereid.files import atomic_directory
from edgereid.images import Preprocessing, load_batch
from edgereid.manifest import MANIFEST
from edgereid.progress import note

CROPS = 32  # compared between the network and its engines
CHECKED = 128  # on which a quantised engine is judged


@dataclass(frozen=True, slots=True)
class _Job:
    """What is exported, from what and into which directory."""

    options: ExportOptions
    targets: tuple[str, ...]
    why: str
    origin: Origin
    images: CalibrationImages
    directory: Path
    threads: int
    build: EngineBuilder

    @property
    def model(self) -> Path:
        return self.directory / MODEL_FILE

    @property
    def checked(self) -> tuple[Path, ...]:
        """Crops that the network was not calibrated on, where there are enough."""
        spare = self.images.paths[self.options.images :]
        return (spare if len(spare) >= CROPS else self.images.paths)[:CHECKED]


@dataclass(frozen=True, slots=True)
class _Float:
    """The float network as exported, and the crops it was compared on."""

    preprocessing: Preprocessing
    written: Written
    files: tuple[BundleFile, ...]
    parity: dict[str, Parity]
    crops: NDArray[np.float32]

    @property
    def reference(self) -> NDArray[np.float32]:
        return self.written.reference


def export_bundle(options: ExportOptions, build: EngineBuilder = build_engine) -> Bundle:
    """Export a network and return the bundle, opened; ``build`` makes the INT8 engines.

    Raises UsageError, InputError (parity, collapse, unusable images, weights or ONNX file),
    MissingRuntimeError and StorageError; ``options.out`` is then as it was.
    """
    Decision(options.method, options.percentile)  # refused before any work
    origin = _origin(options)
    targets, why = choose_targets(options.target, options.int8)
    threads = options.threads or usable_cpus()
    origin = taking_bytes(equalizing(origin, options, targets, threads), options)
    count = max(options.images, CROPS) if options.int8 else CROPS
    spare = CHECKED if options.int8 else 0
    with atomic_directory(options.out, overwrite=options.overwrite, marker=MANIFEST) as directory:
        note(why)
        with training_images(options, count, spare) as images:
            mend = mending(build, options.repairs, images.paths[: options.images])
            job = _Job(options, targets, why, origin, images, directory, threads, mend)
            base = _export_float(job)
            engines = _export_int8(job, base) if options.int8 else ()
        write_manifest(directory, _manifest(job, base, engines))
    return Bundle.open(options.out)


def _origin(options: ExportOptions) -> Origin:
    if options.onnx_file is not None:
        from edgereid.export.incoming.network import Incoming

        return Incoming(options.onnx_file, options.incoming, options.threads or usable_cpus())
    from edgereid.export.registered import Registered

    return Registered(options)


def _export_float(job: _Job) -> _Float:
    """Write ``model.onnx`` and, where OpenVINO was named, a float IR; compare all."""
    options, preprocessing = job.options, job.origin.preprocessing
    crops = load_batch(job.images.paths[:CROPS], preprocessing)
    written = job.origin.write(job.directory, crops)
    files = [*written.files, describe_file(job.model, "float", "onnxruntime", "f32")]
    engines = [job.model]
    if not options.int8 and options.target == "openvino":
        engines.append(job.directory / "engine.xml")
        write_ir(job.model, engines[-1])
        files.append(describe_file(engines[-1], "engine", "openvino", "f32"))
        files.append(describe_file(engines[-1].with_suffix(".bin"), "data"))
    parity = {p.name: _compare(job, p, crops, written.reference) for p in engines}
    return _Float(preprocessing, written, tuple(files), parity, crops)


def _compare(
    job: _Job, path: Path, crops: NDArray[np.float32], reference: NDArray[np.float32]
) -> Parity:
    with open_engine(path, EngineOptions(threads=job.threads)) as engine:
        parity = measure_parity(engine.run, crops, reference)
    parity.require(path.name)
    note(
        f"parity of {path.name} with {job.origin.peer}: cosine {parity.cosine:.6f}, largest "
        f"difference {parity.difference:.1e} over batches {', '.join(map(str, parity.batches))}"
    )
    return parity


def _export_int8(job: _Job, base: _Float) -> tuple[Int8Engine, ...]:
    """Calibrate, and build and check an engine for each target."""
    options, preprocessing = job.options, base.preprocessing
    table = ranges_of(options, job.model, job.images, preprocessing, job.targets, job.threads)
    table.save(job.directory / CALIBRATION_FILE)
    crops = load_batch(job.checked, preprocessing)
    with open_engine(job.model, EngineOptions(threads=job.threads)) as engine:
        reference = in_batches(engine.run, crops, LARGE)
    engines = []
    for target in job.targets:
        made = _build(job, target, table, crops, reference)
        engines.append(made)
        note(
            f"{made.name}: {made.report['int8_share_of_macs']:.1%} of the arithmetic in INT8, "
            f"centred cosine to float {made.report['centred_cosine']:.4f}, "
            f"{made.report['certified']:.0%} of {made.report['crops']} crops certainly keep their "
            "best match"
        )
    return tuple(engines)


def _build(
    job: _Job,
    target: str,
    table: CalibrationTable,
    crops: NDArray[np.float32],
    reference: NDArray[np.float32],
) -> Int8Engine:
    """An engine, checked; where it has collapsed the InputError names the layer."""
    try:
        made = job.build(target, job.directory, table, crops, reference, job.threads)
    except CollapseError as error:
        import onnx

        model = onnx.load(str(job.model))
        quantised, _ = quantize_stored(job.directory, target, model, table, POLICIES[target])
        where = collapse_begins(model, quantised, crops, job.threads)
        raise InputError(f"{str(error).rstrip('.')}; {where}.") from error
    run = [file for file in made.files if file.role != "repairs"]
    size = total_bytes(run) or job.model.stat().st_size  # none: model.onnx itself
    share = round(size / job.model.stat().st_size, 6)
    return replace(made, report={**made.report, "bytes": size, "share_of_float_bytes": share})


def _calibration(job: _Job) -> dict[str, Any]:
    """How the ranges were found; of a table that was given, what it says itself."""
    options = job.options
    if options.table is not None:
        made = CalibrationTable.load(job.directory / CALIBRATION_FILE).provenance
        told = {"source": made.get("source"), "images": made.get("number")}
        unknown = {"percentile": None, "seed": None, "checked_on": "unknown"}
        return {**told, "method": "given", **unknown}
    return {
        "source": job.images.source,
        "images": min(options.images, len(job.images.paths)),
        "method": options.method,
        "percentile": options.percentile if options.method == "percentile" else None,
        "seed": options.seed,
        "checked_on": "others" if job.checked[0] != job.images.paths[0] else "the same images",
    }


def _manifest(job: _Job, base: _Float, engines: tuple[Int8Engine, ...]) -> Manifest:
    options = job.options
    provenance: dict[str, Any] = {
        "edgereid": edgereid.__version__,
        "command": list(options.command),
        "versions": versions(),
        **base.written.provenance,
        "parity": {name: parity.to_json() for name, parity in base.parity.items()},
        "parity_images": {"source": job.images.source, "number": len(base.crops)},
        "targets": job.why,
    }
    files = [*base.files, *(file for engine in engines for file in engine.files)]
    if options.int8:
        files.append(describe_file(job.directory / CALIBRATION_FILE, "calibration"))
        provenance["calibration"] = {"table": files[-1].sha256, **_calibration(job)}
        provenance["int8"] = {engine.name: dict(engine.report) for engine in engines}
    return Manifest(
        network=job.origin.name,
        feature_size=base.reference.shape[1],
        preprocessing=base.preprocessing,
        files=tuple(files),
        targets=job.targets,
        precision={engine.name: dict(engine.precision) for engine in engines},
        provenance=provenance,
        flip=options.flip,
    )
