"""The ONNX file that a plan is built from: which one of a bundle, and what it holds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgereid.bundle import Bundle, BundleFile
from edgereid.engines.companions import companions
from edgereid.engines.onnx_file import read_onnx
from edgereid.engines.vendor import runtime_errors
from edgereid.errors import InputError, MissingRuntimeError, UsageError
from edgereid.files import sha256
from edgereid.manifest import MANIFEST

MAX_BYTES = 2**31 - 1  # of a protobuf message
_SERVED_ELSEWHERE = ("onnxruntime", "openvino")  # runtimes whose Q/DQ is placed for them


@dataclass(frozen=True, slots=True)
class Model:
    """An ONNX file. ``bundle`` None: it lies in none; ``companions``: files beside it that hold
    some of its tensors; ``int8``: it holds Q/DQ; ``half``: some of its tensors are float16;
    ``features``: numbers of an embedding, None where the file does not say."""

    path: Path
    bundle: Bundle | None
    companions: tuple[str, ...]
    int8: bool
    half: bool
    features: int | None

    @property
    def sha256(self) -> str:
        return sha256(self.path)

    def load(self) -> Any:
        """The whole onnx.ModelProto, with tensors kept beside it. Raises InputError."""
        with onnx_package() as onnx, runtime_errors(_unreadable(self.path)):
            return onnx.load(str(self.path))

    def precision(self, asked: str | None, calibrated: bool = False) -> str:
        """The precision of a plan of this file: ``asked``, else what the file is made for;
        ``calibrated``: a calibration cache goes with it. Raises UsageError where the file cannot
        give it."""
        if calibrated:
            if self.int8 or self.half or asked not in (None, "int8"):
                raise UsageError("--calibration-cache makes a float32 file int8: name such a file.")
            return "int8"
        if self.int8:
            if asked not in (None, "int8"):
                raise UsageError(
                    f"{self.path} is quantized: Q/DQ makes it int8; give a float file for {asked}."
                )
            return "int8"
        if asked == "int8":
            raise UsageError(
                f"{self.path} holds no Q/DQ, and INT8 comes from there: "
                "`edgereid export NETWORK --int8 --target tensorrt` writes it."
            )
        if asked == "f32" and self.half:
            raise UsageError(f"{self.path} holds float16: no plan of it is f32.")
        return asked or "f16"


@contextlib.contextmanager
def onnx_package() -> Iterator[Any]:
    """The package ``onnx``; a device that builds plans needs it, and no torch. Raises
    MissingRuntimeError."""
    try:
        import onnx
    except ModuleNotFoundError as error:
        if error.name != "onnx":
            raise
        raise MissingRuntimeError(
            "the package onnx is needed to build a plan: pip install onnx."
        ) from error
    yield onnx


def find_model(path: Path, precision: str | None) -> Model:
    """The file to build from: ``path`` itself, or of a bundle the one for ``precision``.

    Of a bundle the Q/DQ network for TensorRT is taken, if it has one and no other precision is
    asked for, else its float network. Raises UsageError, InputError, and IntegrityError for a
    bundle that was changed.
    """
    if not path.exists():
        raise InputError(f"{path} does not exist: give a bundle or an .onnx file.")
    named = path.is_file() and path.name != MANIFEST
    if named and path.suffix.lower() != ".onnx":
        raise UsageError(f"{path} is no .onnx file: a plan is built from one, or from a bundle.")
    if named and not Bundle.is_bundle(path):
        return read_model(path, None)
    bundle = Bundle.open(path)
    if named:
        return _checked(bundle, bundle.file(path.name))
    models = [_checked(bundle, f) for f in bundle.manifest.files if _may_serve(f)]
    models.sort(key=lambda m: (m.half, m.path.name != "model.onnx"))
    quantized = [m for m in models if m.int8]
    floats = [m for m in models if not m.int8]
    if precision == "int8" and not quantized:
        raise InputError(
            f"the bundle {bundle.directory} has no Q/DQ network for TensorRT: "
            "`edgereid export NETWORK --int8 --target tensorrt` writes it."
        )
    chosen = quantized if precision in (None, "int8") and quantized else floats
    if not chosen:
        raise InputError(f"the bundle {bundle.directory} has no float network: export it again.")
    return chosen[0]


def _may_serve(file: BundleFile) -> bool:
    served = file.role == "engine" and file.runtime in _SERVED_ELSEWHERE
    return file.name.endswith(".onnx") and not served


def _checked(bundle: Bundle, file: BundleFile) -> Model:
    path = bundle.path(file)
    if not _may_serve(file):
        raise InputError(
            f"{path} is quantized for {file.runtime}: export with --int8 --target tensorrt."
        )
    model = read_model(path, bundle)
    for name in model.companions:
        bundle.file(name)
    return model


def read_model(path: Path, bundle: Bundle | None) -> Model:
    """What an ONNX file holds. Raises InputError when it cannot be read."""
    extra = companions(path)  # reads the file, and refuses names that lead elsewhere
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise InputError(f"{path} has {size:,} bytes: an ONNX file has at most {MAX_BYTES:,}.")
    with onnx_package() as onnx, runtime_errors(_unreadable(path)):
        proto = onnx.load(str(path), load_external_data=False)
    half = onnx.TensorProto.FLOAT16
    return Model(
        path,
        bundle,
        extra,
        int8=read_onnx(path).is_int8,
        half=any(i.data_type == half for i in proto.graph.initializer)
        or any(a.name == "to" and a.i == half for n in proto.graph.node for a in n.attribute),
        features=_features(proto),
    )


def _features(proto: Any) -> int | None:
    """The second size of the first output."""
    dims = [d.dim_value for o in proto.graph.output[:1] for d in o.type.tensor_type.shape.dim]
    return dims[1] if len(dims) == 2 and dims[1] > 0 else None


def _unreadable(path: Path) -> str:
    return f"{path} is not an ONNX file that can be read"
