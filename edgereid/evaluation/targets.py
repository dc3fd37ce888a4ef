"""Which engines a path stands for: a bundle's directory for all of them, a file for itself."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from edgereid.bundle import Bundle, BundleFile
from edgereid.engines.base import Engine
from edgereid.errors import InputError, UsageError
from edgereid.files import read_json, sha256
from edgereid.images import Preprocessing

RUNTIME_NAMES = {
    "eager": "PyTorch eager",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
    "tensorrt": "TensorRT",
}
PRECISION_NAMES = {
    "f32": "FP32",
    "f16": "FP16",
    "bf16": "bf16",
    "int8": "INT8",
    "unknown": "of unknown precision",  # a TensorRT plan outside a bundle
}
#: How a bundle's float network is run: (role of the file, runtime, precision), best known first.
FLOAT_ROWS = (
    ("weights", "eager", "f32"),
    ("float", "onnxruntime", "f32"),
    ("float", "openvino", "f32"),
    ("float", "openvino", "bf16"),
)
_NETWORKS = ("weights", "float", "engine")
CHECKPOINT = "weights.safetensors"


@dataclass(frozen=True, slots=True)
class Target:
    """An engine to open. ``runtime`` None: by the suffix; ``precision`` (asked of the runtime)
    None: as the file says; ``preprocessing`` None: nothing states it, so the default for the
    engine's input size; ``source`` says who states it; ``named``: it must open; ``distance`` and
    ``flip``: the manifest's."""

    path: Path
    file: str  # for people: bundle/file
    runtime: str | None
    precision: str | None
    stated_precision: str | None
    named: bool
    preprocessing: Preprocessing | None
    source: str
    distance: str = "cosine"
    flip: bool = False

    def describe(self) -> str:
        """Before it is opened: "OpenVINO INT8 (bundle/engine.xml)" as far as known."""
        known = label(self.runtime, self.stated_precision)
        return f"{known} ({self.file})" if known else self.file

    def preprocessing_of(self, engine: Engine) -> Preprocessing:
        """What its images go through, to the type that this engine takes."""
        stated = self.preprocessing or Preprocessing(*engine.input_size)
        return stated.taken_as(engine.inputs[0].dtype)


def label(runtime: str | None, precision: str | None) -> str:
    """ "OpenVINO INT8" and the like; what is None is left out."""
    words = (
        RUNTIME_NAMES.get(runtime or "", runtime),
        PRECISION_NAMES.get(precision or "", precision),
    )
    return " ".join(filter(None, words))


def targets_of(path: Path, runtimes: Sequence[str], precision: str | None) -> list[Target]:
    """The engines ``path`` stands for; see ``EvalOptions`` for ``runtimes`` and ``precision``.

    Raises InputError when nothing is there or a file is no network, UsageError when nothing is left
    or a runtime is unknown, IntegrityError on a changed bundle.
    """
    unknown = [r for r in runtimes if r not in RUNTIME_NAMES]
    if unknown:
        raise UsageError(f"unknown runtime {unknown[0]!r}. Known: {', '.join(RUNTIME_NAMES)}.")
    if not os.path.exists(path):
        raise InputError(
            f"{path} does not exist or cannot be reached: "
            "give a bundle, an engine file or a checkpoint."
        )
    if path.is_dir() and not Bundle.is_bundle(path) and (path / CHECKPOINT).is_file():
        path = path / CHECKPOINT  # the folder of a training run
    if path.is_dir():
        return _of_directory(Bundle.open(path), path, runtimes, precision)
    if Bundle.is_bundle(path):
        return _of_file(Bundle.open(path), path, runtimes, precision)
    preprocessing, source = _stated(path)
    return [
        Target(path, path.name, r, precision, precision, True, preprocessing, source)
        for r in (runtimes or (None,))
    ]


def _of_directory(
    bundle: Bundle, path: Path, runtimes: Sequence[str], precision: str | None
) -> list[Target]:
    every = [
        _target(bundle, file, runtime, stated, named=False)
        for role, runtime, stated in FLOAT_ROWS
        for file in bundle.find(role)
    ]
    every += [
        _target(bundle, f, f.runtime, f.precision or "int8", named=False)
        for f in bundle.find("engine")
    ]
    chosen = [
        t
        for t in every
        if (not runtimes or t.runtime in runtimes) and precision in (None, t.stated_precision)
    ]
    if not chosen:
        there = ", ".join(t.describe() for t in every) or "no engine"
        raise UsageError(f"{path} has nothing for this choice. It has: {there}.")
    return chosen


def _of_file(
    bundle: Bundle, path: Path, runtimes: Sequence[str], precision: str | None
) -> list[Target]:
    file = bundle.file(path.name)
    if file.role not in _NETWORKS:
        raise InputError(f"{path} has the role {file.role!r} in its bundle: it is no engine.")
    own = file.runtime or ("eager" if file.role == "weights" else None)
    stated = precision or file.precision or "f32"
    return [_target(bundle, file, r, stated, named=True) for r in (runtimes or (own,))]


def _target(
    bundle: Bundle, file: BundleFile, runtime: str | None, precision: str, named: bool
) -> Target:
    return Target(
        path=bundle.path(file),
        file=f"{bundle.directory.resolve().name}/{file.name}",
        runtime=runtime,
        precision=None if precision == (file.precision or "f32") else precision,
        stated_precision=precision,
        named=named,
        preprocessing=bundle.manifest.preprocessing,
        source="manifest",
        distance=bundle.manifest.distance,
        flip=bundle.manifest.flip,
    )


def _stated(path: Path) -> tuple[Preprocessing | None, str]:
    """The preprocessing of a bare file: what its training run wrote beside it, if the digest there
    is this very file's."""
    beside = path.with_suffix(".json")
    if path.suffix == ".safetensors" and beside.is_file():
        facts = read_json(beside)
        weights = facts.get("weights") if isinstance(facts, dict) else None
        if isinstance(weights, dict) and weights.get("sha256") == sha256(path):
            return Preprocessing.from_json(facts.get("preprocessing")), f"{beside.name} beside it"
    return None, "default (nothing states it)"
