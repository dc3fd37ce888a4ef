"""Which rows to measure: from the paths a user gives to engines that may be opened.

A bundle's directory stands for every engine in it and for its float network in every runtime; a
file stands for itself and, if it lies in a bundle, brings that bundle's float network along as the
reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edgereid.bundle import Bundle, BundleFile
from edgereid.errors import InputError, UsageError
from edgereid.evaluation.targets import FLOAT_ROWS, RUNTIME_NAMES
from edgereid.images import Preprocessing

#: What may be the reference, in this order: (runtime, precision).
REFERENCES = (("onnxruntime", "f32"), ("eager", "f32"), ("openvino", "f32"), ("tensorrt", "f32"))
#: Files that hold the weights of a file with this suffix.
_COMPANIONS = {".xml": (".bin",), ".onnx": (".onnx.data", ".onnx_data")}


@dataclass(frozen=True, slots=True)
class Candidate:
    """An engine that may be opened. ``runtime`` None: by the file's suffix; ``precision`` None: as
    the file says. ``named``: the user gave this very file, so that it must open.
    ``preprocessing`` None: no manifest, so the default for the engine's input size."""

    path: Path
    group: str
    runtime: str | None
    precision: str | None
    stated_precision: str | None
    named: bool
    under_test: bool
    preprocessing: Preprocessing | None
    distance: str = "cosine"
    flip: bool = False  # the manifest's: accuracy is that of the mean with the mirror image

    @property
    def file(self) -> str:
        return f"{self.group}/{self.path.name}" if self.group else self.path.name

    @property
    def key(self) -> str:
        return ":".join(filter(None, (self.file, self.runtime, self.precision)))


def file_bytes(path: Path) -> int:
    """The size of an engine with the weights files that belong to it."""
    companions = (path.with_suffix(suffix) for suffix in _COMPANIONS.get(path.suffix, ()))
    return path.stat().st_size + sum(p.stat().st_size for p in companions if p.is_file())


def _float_rows(bundle: Bundle) -> list[Candidate]:
    return [
        _of_bundle(bundle, file, runtime, precision, under_test=False)
        for role, runtime, precision in FLOAT_ROWS
        for file in bundle.find(role)
    ]


def _of_bundle(
    bundle: Bundle, file: BundleFile, runtime: str | None, precision: str, under_test: bool
) -> Candidate:
    return Candidate(
        path=bundle.path(file),
        group=bundle.directory.resolve().name,
        runtime=runtime,
        precision=None if precision == (file.precision or "f32") else precision,
        stated_precision=precision,
        named=False,
        under_test=under_test,
        preprocessing=bundle.manifest.preprocessing,
        distance=bundle.manifest.distance,
        flip=bundle.manifest.flip,
    )


def _from_directory(bundle: Bundle) -> list[Candidate]:
    engines = [
        _of_bundle(bundle, f, f.runtime, f.precision or "int8", under_test=True)
        for f in bundle.find("engine")
    ]
    return _float_rows(bundle) + engines


def _from_bundle_file(bundle: Bundle, path: Path, runtimes: Sequence[str]) -> list[Candidate]:
    file = bundle.file(path.name)
    if file.role not in ("weights", "float", "engine"):
        raise InputError(f"{path} has the role {file.role!r} in its bundle: it is no engine.")
    runtime = file.runtime or ("eager" if file.role == "weights" else None)
    precision = file.precision or "f32"
    found = [
        replace(
            _of_bundle(bundle, file, chosen, precision, under_test=file.role == "engine"),
            named=True,
        )
        for chosen in (runtimes or (runtime,))
    ]
    references = [c for c in _float_rows(bundle) if c.stated_precision == "f32"]
    known = {(c.path, c.runtime) for c in found}
    return [c for c in references if (c.path, c.runtime) not in known] + found


def _from_bare_file(path: Path, runtimes: Sequence[str]) -> list[Candidate]:
    return [
        Candidate(path, "", runtime, None, None, named=True, under_test=True, preprocessing=None)
        for runtime in (runtimes or (None,))
    ]


def candidates_of(path: Path, runtimes: Sequence[str] = ()) -> list[Candidate]:
    """The rows that ``path`` stands for; ``runtimes`` limits a bundle's rows and says which
    runtimes open a file.

    Raises InputError when nothing is there, IntegrityError on a changed bundle.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist: give a bundle's directory or an engine file.")
    if path.is_dir():
        return [
            c for c in _from_directory(Bundle.open(path)) if not runtimes or c.runtime in runtimes
        ]
    if Bundle.is_bundle(path):
        return _from_bundle_file(Bundle.open(path), path, runtimes)
    return _from_bare_file(path, runtimes)


def resolve(paths: Iterable[Path], runtimes: Sequence[str] = ()) -> list[Candidate]:
    """The rows of all paths, float rows first, each once.

    Raises UsageError when nothing is left or a runtime is unknown; see ``candidates_of``.
    """
    unknown = [r for r in runtimes if r not in RUNTIME_NAMES]
    if unknown:
        raise UsageError(f"unknown runtime {unknown[0]!r}. Known: {', '.join(RUNTIME_NAMES)}.")
    found: dict[tuple[Path, str | None, str | None], Candidate] = {}
    for path in paths:
        for candidate in candidates_of(path, runtimes):
            identity = (candidate.path.resolve(), candidate.runtime, candidate.stated_precision)
            named = candidate.named or (identity in found and found[identity].named)
            found[identity] = replace(candidate, named=named)
    if not found:
        wanted = f" for {', '.join(runtimes)}" if runtimes else ""
        raise UsageError(f"the paths given hold no engine{wanted}.")
    return _grouped(found.values())


def _grouped(candidates: Iterable[Candidate]) -> list[Candidate]:
    """One bundle after the other, float rows first; bundles of one name get numbers."""
    names: dict[Path, str] = {}
    for c in candidates:
        directory = c.path.resolve().parent if c.group else Path()
        taken = sum(name.split(" #")[0] == c.group for name in names.values())
        names.setdefault(directory, f"{c.group} #{taken + 1}" if taken else c.group)
    order = list(names)
    home = {id(c): c.path.resolve().parent if c.group else Path() for c in candidates}
    ordered = sorted(candidates, key=lambda c: (order.index(home[id(c)]), c.under_test))
    return [replace(c, group=names[home[id(c)]]) for c in ordered]
