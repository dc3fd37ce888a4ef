"""The front that a bundle carries: read it, and put another of its points in the engine's place."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgereid.bench.opening import noise
from edgereid.bundle import Bundle, Manifest, write_manifest
from edgereid.calibration.table import CalibrationTable
from edgereid.cpus import usable_cpus
from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
from edgereid.errors import InputError, UsageError
from edgereid.export.int8 import CALIBRATION_FILE, Int8Engine
from edgereid.export.options import RUNTIME_OF
from edgereid.files import atomic_directory
from edgereid.images import Preprocessing
from edgereid.manifest import MANIFEST
from edgereid.progress import note
from edgereid.search.build import Job, build_point, record_name
from edgereid.search.options import TARGETS
from edgereid.search.outcome import Record


@dataclass(frozen=True, slots=True)
class PickOptions:
    """Another point of a bundle's front. ``out`` None: the bundle itself, with ``overwrite``."""

    bundle: Path
    point: int
    target: str = "auto"
    out: Path | None = None
    overwrite: bool = False
    threads: int | None = None


def records(bundle: Bundle) -> dict[str, Record]:
    """The fronts in a bundle by target. Raises InputError when there is none."""
    listed = {file.name for file in bundle.manifest.files}
    found = {
        target: Record.load(bundle.directory / record_name(target))
        for target in TARGETS
        if record_name(target) in listed
    }
    if not found:
        raise InputError(
            f"{bundle.directory} holds no front: `edgereid export` with --max-drop searches one."
        )
    return found


def record_of(bundle: Bundle, target: str) -> Record:
    """The front of one target, "auto": the only one. Raises UsageError when that is not one."""
    found = records(bundle)
    if target == "auto" and len(found) == 1:
        return next(iter(found.values()))
    if target not in found:
        raise UsageError(f"this bundle has fronts for {', '.join(found)}: name one with --target.")
    return found[target]


def pick(options: PickOptions) -> Bundle:
    """Write the bundle with another point of its front as the engine.

    Raises UsageError on a point that is not there or without a place to write to, InputError and
    StorageError.
    """
    bundle = Bundle.open(options.bundle)
    record = record_of(bundle, options.target)
    count = len(record.outcome.points)
    if not 0 <= options.point < count:
        raise UsageError(f"point {options.point} is not on the front: 0 to {count - 1} are.")
    if options.out is None and not options.overwrite:
        raise UsageError("--pick needs --out DIR, or --force to change this very bundle.")
    out = options.out or bundle.directory
    with atomic_directory(out, overwrite=options.overwrite, marker=MANIFEST) as directory:
        old = _engine_files(bundle, record.target)
        for file in bundle.manifest.files:
            if file.name not in old:
                shutil.copyfile(bundle.path(file), directory / file.name)
        threads = options.threads or usable_cpus()
        table = CalibrationTable.load(directory / CALIBRATION_FILE)
        engine = build_point(record, Job(directory, table, threads), options.point)
        _check(directory / engine.name, bundle.manifest.preprocessing, threads)
        note(f"{record.target}: {record.outcome.points[options.point].choice.label}")
        write_manifest(directory, _manifest(bundle, engine, old, record_name(record.target)))
    return Bundle.open(out)


def _engine_files(bundle: Bundle, target: str) -> set[str]:
    """The names of a target's engine and of what belongs to it."""
    names = {file.name for file in bundle.find("engine", RUNTIME_OF[target])}
    return names | {str(Path(name).with_suffix(".bin")) for name in names if name.endswith(".xml")}


def _check(path: Path, preprocessing: Preprocessing, threads: int) -> None:
    """Run once: the search compared this very engine with the float network on crops, of which a
    bundle holds none. Raises InputError when it does not run or gives NaN."""
    with open_engine(path, EngineOptions(threads=threads)) as engine:
        engine.run(noise(1, preprocessing))


def _manifest(bundle: Bundle, engine: Int8Engine, old: set[str], record: str) -> Manifest:
    """The manifest with the new engine; what was measured of the old one is left out."""
    before = bundle.manifest
    gone = old | _of_search(before.provenance, record)
    int8 = {k: v for k, v in before.provenance.get("int8", {}).items() if k not in gone}
    engines = before.accuracy.get("engines", {})
    rest = {k: v for k, v in engines.items() if k.partition(":")[0] not in old}
    return replace(
        before,
        files=tuple(f for f in before.files if f.name not in old) + engine.files,
        precision={
            **{k: v for k, v in before.precision.items() if k not in gone},
            engine.name: dict(engine.precision),
        },
        provenance={**before.provenance, "int8": {**int8, engine.name: dict(engine.report)}},
        accuracy={**before.accuracy, "engines": rest} if engines else before.accuracy,
    )


def _of_search(provenance: Mapping[str, Any], record: str) -> set[str]:
    """The engines that came from a search: also a float one that has no file of its own."""
    reports = provenance.get("int8", {})
    return {k for k, v in reports.items() if v.get("search", {}).get("record") == record}
