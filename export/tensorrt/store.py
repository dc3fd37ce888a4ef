"""Where a plan goes: into a bundle, whose manifest then vouches for it.

At every moment the bundle is whole: with the plan that was there before, or with the new one.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import edgereid
from edgereid.bundle import Bundle, describe_file, write_manifest
from edgereid.errors import StorageError, UsageError
from edgereid.export.tensorrt.source import Model
from edgereid.files import atomic_directory, write_bytes
from edgereid.images import Preprocessing
from edgereid.manifest import MANIFEST, BundleFile, Manifest
from edgereid.progress import note

PLAN = "engine.plan"
SUFFIXES = (".plan", ".engine")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}")
_TARGET = "tensorrt"


@dataclass(frozen=True, slots=True)
class Plan:
    """A built plan: its bytes, the lowest precision it may use, what the manifest says of it."""

    data: bytes
    precision: str
    provenance: dict[str, Any]
    #: (height, width) and numbers of an embedding, as the network states them
    size: tuple[int, int]
    features: int
    input: str  # as in Preprocessing


@dataclass(frozen=True, slots=True)
class Destination:
    """``directory``: of the bundle; ``model`` is copied into it when it is a new one."""

    directory: Path
    name: str
    model: Model
    overwrite: bool

    @property
    def path(self) -> Path:
        return self.directory / self.name


def destination(model: Model, out: Path | None, overwrite: bool) -> Destination:
    """Where the plan of ``model`` goes, checked before minutes of work. Raises UsageError on a
    name that cannot be, StorageError when something is there already."""
    if model.bundle is None:
        directory = out or model.path.with_name(f"{model.path.stem}-tensorrt")
        found = Destination(directory, PLAN, model, overwrite)
        if strange := [n for n in (model.path.name, *model.companions) if not _NAME.fullmatch(n)]:
            raise UsageError(
                f"a bundle cannot hold the file {strange[0]!r:.60}: rename it to letters, digits, "
                "'.', '_' and '-'."
            )
        if os.path.lexists(directory) and not overwrite:
            raise StorageError(f"{directory} exists already: --force replaces it, or give --out.")
        return found
    home = model.bundle.directory
    path = home / PLAN if out is None else out
    if path.parent not in (Path(), home) or not _NAME.fullmatch(path.name):
        raise UsageError(f"--out {out}: a plan lies in its bundle; give a plain name.")
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"--out {out}: a plan's name ends with {' or '.join(SUFFIXES)}.")
    found = Destination(home, path.name, model, overwrite)
    if os.path.lexists(found.path) and not overwrite:
        raise StorageError(f"{found.path} exists already: --force replaces it, or give --out NAME.")
    if not os.access(home, os.W_OK):
        raise StorageError(f"cannot write {found.path}: no permission in {home}.")
    return found


def store(to: Destination, plan: Plan) -> Bundle:
    """Write the plan and the manifest. Raises StorageError, and IntegrityError where the bundle was
    changed meanwhile; it is then as it was."""
    if to.model.bundle is None:
        return _new_bundle(to, plan)
    now = Bundle.open(to.directory)  # others may have added to the manifest during the build
    if os.path.lexists(to.path) and not to.overwrite:
        raise StorageError(f"{to.path} was written by somebody else meanwhile: it is left alone.")
    with _as_it_was(to.path, to.directory / MANIFEST):
        write_bytes(to.path, plan.data)
        return write_manifest(to.directory, _extended(now.manifest, to, plan))


def _extended(manifest: Manifest, to: Destination, plan: Plan) -> Manifest:
    """The manifest with the plan in it; what was said of a former plan of that name is dropped."""
    entry = describe_file(to.path, "engine", _TARGET, plan.precision)
    plans = {**manifest.provenance.get("plans", {}), to.name: plan.provenance}
    engines = dict(manifest.accuracy.get("engines", {}))
    stale = [key for key in engines if key.partition("/")[0] == to.name]
    for key in stale:
        del engines[key]
    if stale:
        note(f"{to.name}: the recorded accuracy was the former plan's and is dropped")
    return replace(
        manifest,
        files=(*(f for f in manifest.files if f.name != to.name), entry),
        targets=(*(t for t in manifest.targets if t != _TARGET), _TARGET),
        provenance={**manifest.provenance, "plans": plans},
        accuracy={**manifest.accuracy, "engines": engines} if stale else manifest.accuracy,
    )


@contextlib.contextmanager
def _as_it_was(*paths: Path) -> Iterator[None]:
    """Put back what was at these paths when the block fails, or remove what it wrote there."""
    former: dict[Path, Path | None] = {}
    try:
        for path in paths:
            kept = path.with_name(f".{path.stem[:100]}.{secrets.token_hex(4)}.old")
            former[path] = kept if path.exists() else None
            if path.exists():
                _second_name(path, kept)
        yield
    except BaseException:
        for path, old in former.items():
            if old is None:
                path.unlink(missing_ok=True)
            elif old.exists():
                old.replace(path)
        raise
    finally:
        for old in former.values():
            if old is not None:
                old.unlink(missing_ok=True)


def _second_name(path: Path, kept: Path) -> None:
    try:
        os.link(path, kept)
    except OSError:  # a file system without hard links
        try:
            shutil.copyfile(path, kept)
        except OSError as error:
            raise StorageError(
                f"cannot keep the former {path} while it is replaced: {error.strerror or error}."
            ) from error


def _new_bundle(to: Destination, plan: Plan) -> Bundle:
    """A bundle of a bare ONNX file, with the preprocessing that most networks have."""
    model = to.model
    preprocessing = Preprocessing(*plan.size, input=plan.input)
    note(
        f"{to.directory}: a bare ONNX file does not say how images are prepared; the manifest says "
        f"{preprocessing.height}x{preprocessing.width}, {preprocessing.color}, ImageNet's mean and "
        "std. Where that is wrong, `edgereid export` the file instead."
    )
    with atomic_directory(to.directory, overwrite=to.overwrite, marker=MANIFEST) as directory:
        for name in (model.path.name, *model.companions):
            shutil.copyfile(model.path.with_name(name), directory / name)
        write_bytes(directory / PLAN, plan.data)
        files = [
            _network_file(directory / model.path.name, model),
            *(describe_file(directory / name, "data") for name in model.companions),
            describe_file(directory / PLAN, "engine", _TARGET, plan.precision),
        ]
        manifest = Manifest(
            network=_network_name(model.path),
            feature_size=plan.features,
            preprocessing=preprocessing,
            files=tuple(files),
            targets=(_TARGET,),
            provenance={"edgereid": edgereid.__version__, "plans": {PLAN: plan.provenance}},
        )
        write_manifest(directory, manifest)
    return Bundle.open(to.directory)


def _network_file(path: Path, model: Model) -> BundleFile:
    if model.int8:
        return describe_file(path, "data", precision="int8")
    return describe_file(path, "float", "onnxruntime", "f16" if model.half else "f32")


def _network_name(path: Path) -> str:
    """The file's name as the manifest's network."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).lstrip("._-")[:128]
    return name or "network"
