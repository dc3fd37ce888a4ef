"""A model repository for NVIDIA Triton Inference Server.

``NAME/config.pbtxt`` is a ``ModelConfig`` of ``model_config.proto``
(github.com/triton-inference-server/common); ``NAME/1/`` holds the first version of the model. The
manifest's preprocessing travels as a parameter, which backends do not read and clients can ask for.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from edgereid.bundle import BundleFile
from edgereid.errors import InputError, UsageError
from edgereid.export.deploy.options import DeployOptions, TritonOptions
from edgereid.export.deploy.output import Output
from edgereid.export.deploy.pbtxt import Symbol, text
from edgereid.export.deploy.source import (
    PLAN_SUFFIXES,
    Source,
    Tensors,
    check_tensors,
    input_type,
    read_ir,
    read_model,
)

VERSION = "1"
#: Preferred batches are the powers of two from here to the largest batch, and that one.
SMALLEST_PREFERRED = 4
_TYPES = {"float32": "TYPE_FP32", "uint8": "TYPE_UINT8"}


@dataclass(frozen=True, slots=True)
class Backend:
    """Triton's name of a runtime, the file it looks for, and where its instances run."""

    name: str
    filename: str
    kind: str


#: By the runtime a bundle's file is for; the first that the bundle has is taken.
BACKENDS = {
    "tensorrt": Backend("tensorrt", "model.plan", "KIND_GPU"),
    "onnxruntime": Backend("onnxruntime", "model.onnx", "KIND_CPU"),
    "openvino": Backend("openvino", "model.xml", "KIND_CPU"),
}


def triton(source: Source, options: DeployOptions, own: TritonOptions) -> Output:
    """The repository with one model. Raises InputError and UsageError."""
    manifest = source.bundle.manifest
    file, backend = choose(source)
    tensors, extra = _tensors(source, file)
    name = own.name or manifest.network
    path = source.bundle.path(file)
    version = f"{name}/{VERSION}"
    copies = {f"{version}/{backend.filename}": path}
    for companion in extra:
        # OpenVINO finds its weights by the network's name, ONNX by the name in the file
        target = "model.bin" if path.suffix == ".xml" else companion
        copies[f"{version}/{target}"] = path.parent / companion
    taken = Symbol(_TYPES[input_type(source)])
    known = parameters(source, file)
    config = model_config(name, backend, tensors, taken, options.max_batch, own, known)
    notes = [f"{file.name} is served by Triton's backend {backend.name} ({backend.kind})"]
    if backend.name == "tensorrt":
        notes.append(
            f"{file.name} must have been built with a profile up to batch {options.max_batch}, on "
            "the server's GPU with its TensorRT"
        )
    if manifest.flip:
        notes.append(
            "the bundle's embedding is the mean with that of the mirror image: the client sends "
            "both and takes the mean"
        )
    return Output({f"{name}/config.pbtxt": text(config).encode()}, copies, notes=tuple(notes))


def choose(source: Source) -> tuple[BundleFile, Backend]:
    """The file to serve: the named one, else the bundle's engine for the first backend that has
    one, else its float network. Raises UsageError when Triton cannot serve what was named,
    InputError when the bundle holds nothing for it."""
    bundle, named = source.bundle, source.chosen
    if named is not None:
        if named.role not in ("engine", "float") or named.runtime not in BACKENDS:
            raise UsageError(
                f"{source.what} is nothing that Triton serves here: name an engine for "
                f"{', '.join(BACKENDS)}, or the bundle."
            )
        return named, BACKENDS[named.runtime]
    for role in ("engine", "float"):
        for runtime, backend in BACKENDS.items():
            for file in bundle.find(role, runtime):
                return file, backend
    raise InputError(
        f"{source.what} has no engine for {', '.join(BACKENDS)} and no float network: "
        "export it again."
    )


def _tensors(source: Source, file: BundleFile) -> tuple[Tensors, tuple[str, ...]]:
    """Input and output of the file, and the files it reads along. A plan does not tell without
    TensorRT: it has those of the float network it was built from."""
    path = source.bundle.path(file)
    if path.suffix == ".xml":
        weights = source.bundle.file(path.with_suffix(".bin").name)
        tensors = read_ir(path, input_type(source))
        return check_tensors(path, tensors, source.bundle), (weights.name,)
    if path.suffix in PLAN_SUFFIXES:
        floats = source.bundle.find("float")
        if not floats:
            raise InputError(f"{source.what} has no float network to tell {file.name}'s tensors.")
        return read_model(source, floats[0]).tensors, ()
    model = read_model(source, file)
    return model.tensors, model.companions


def parameters(source: Source, file: BundleFile) -> dict[str, Any]:
    """What a client must know to feed the model and to compare what it gives."""
    manifest = source.bundle.manifest
    return {
        "distance": manifest.distance,
        "feature_size": manifest.feature_size,
        "flip": manifest.flip,
        "network": manifest.network,
        "precision": file.precision,
        "preprocessing": manifest.preprocessing.to_json(),
        "sha256": file.sha256,
    }


def model_config(
    name: str,
    backend: Backend,
    tensors: Tensors,
    taken: Symbol,
    max_batch: int,
    own: TritonOptions,
    known: dict[str, Any],
) -> dict[str, Any]:
    """The ``ModelConfig``; with ``max_batch_size`` above 0 its dims leave the batch out."""
    kind = Symbol("TYPE_FP32")
    return {
        "name": name,
        "backend": backend.name,
        "default_model_filename": backend.filename,
        "max_batch_size": max_batch,
        "input": [
            {"name": tensors.input, "data_type": taken, "dims": list(tensors.input_dims[1:])}
        ],
        "output": [
            {"name": tensors.output, "data_type": kind, "dims": list(tensors.output_dims[1:])}
        ],
        "instance_group": [{"count": own.instances, "kind": Symbol(backend.kind)}],
        "dynamic_batching": {
            "preferred_batch_size": preferred_batches(max_batch),
            "max_queue_delay_microseconds": own.queue_delay_us,
        },
        "parameters": [
            {"key": "edgereid", "value": {"string_value": json.dumps(known, sort_keys=True)}}
        ],
    }


def preferred_batches(max_batch: int) -> list[int]:
    """Powers of two from 4 up, and the largest batch itself: a batch of such a size is not kept
    waiting."""
    sizes = {max_batch}
    size = SMALLEST_PREFERRED
    while size < max_batch:
        sizes.add(size)
        size *= 2
    return sorted(sizes)
