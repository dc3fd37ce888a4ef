"""Open an engine by its file's suffix. A new runtime is one file beside this and one row here."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgereid.bundle import Bundle
from edgereid.engines.base import LAYOUTS, Engine, EngineOptions
from edgereid.engines.companions import companions
from edgereid.errors import InputError, IntegrityError, MissingRuntimeError, UsageError

MAX_ENGINE_BYTES = 2 * 2**30  # the largest protobuf file there can be


@dataclass(frozen=True, slots=True)
class EngineRow:
    """A runtime: how it is called, what it opens and what it needs.

    ``factory`` is "module:callable", taking a path and options; it is imported when first needed,
    after ``packages``. ``extra`` is the extra of this package that installs them, ``hint`` how else
    they come. ``cuda_graphs``: it can replay its work from CUDA graphs.
    """

    runtime: str
    factory: str
    opens: tuple[str, ...]
    packages: tuple[str, ...]
    extra: str
    precisions: tuple[str, ...]
    native_code: bool = False
    cuda_graphs: bool = False
    hint: str = ""


_ROWS = (
    EngineRow(
        runtime="onnxruntime",
        factory="edgereid.engines.onnxruntime:OnnxRuntimeEngine",
        opens=(".onnx",),
        packages=("onnxruntime",),
        extra="onnxruntime",
        precisions=("f32",),
    ),
    EngineRow(
        runtime="openvino",
        factory="edgereid.engines.openvino:OpenVINOEngine",
        opens=(".xml", ".onnx"),
        packages=("openvino",),
        extra="openvino",
        precisions=("f32", "bf16", "f16"),
    ),
    EngineRow(
        runtime="tensorrt",
        factory="edgereid.engines.tensorrt.engine:TensorRTEngine",
        opens=(".plan", ".engine"),
        packages=("tensorrt",),
        extra="tensorrt",
        precisions=(),  # fixed when the plan is built
        native_code=True,
        cuda_graphs=True,
        hint="; on a Jetson it comes with JetPack, `edgereid doctor` says how",
    ),
    EngineRow(
        runtime="eager",
        factory="edgereid.engines.eager:EagerEngine",
        opens=(".safetensors",),
        packages=("torch", "safetensors"),
        extra="train",
        precisions=("f32", "bf16"),
    ),
)
RUNTIMES: dict[str, EngineRow] = {row.runtime: row for row in _ROWS}


def _suffixes() -> dict[str, EngineRow]:
    table: dict[str, EngineRow] = {}
    for row in _ROWS:
        for suffix in row.opens:
            table.setdefault(suffix, row)
    return table


#: The suffix table: which runtime opens a file when the user names none. The first row wins.
SUFFIXES = _suffixes()
_DEFAULTS = EngineOptions()


def open_engine(
    path: Path, options: EngineOptions = _DEFAULTS, runtime: str | None = None
) -> Engine:
    """Open an engine file; ``runtime`` chooses among those that open its suffix.

    A file in a bundle is opened only when the bundle's manifest vouches for it and for everything
    it brings along. Raises UsageError on an unknown suffix, runtime or option, InputError on a file
    that is missing, too large or not what its suffix says, IntegrityError on a changed or unlisted
    file, MissingRuntimeError with what to install.
    """
    _check_file(path)
    row = _row(path, runtime)
    _check_options(row, options)
    vouched = _check_bundle(path, options)
    factory = _factory(row)
    if row.native_code and not (vouched or options.trust):
        raise IntegrityError(
            f"{path} is native code and no manifest vouches for it: "
            "open it in its bundle, or trust it explicitly."
        )
    engine = factory(path, options)
    try:
        _check_signature(path, engine)
    except InputError:
        engine.close()
        raise
    return engine


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise UsageError(f"{path} is a directory: name one engine file in it.")
        if not path.is_file():
            raise InputError(f"{path} does not exist: give an engine file.")
        size = path.stat().st_size
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from error
    if size > MAX_ENGINE_BYTES:
        raise InputError(f"{path} has {size:,} bytes: more than {MAX_ENGINE_BYTES:,}, no engine.")


def _row(path: Path, runtime: str | None) -> EngineRow:
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        known = ", ".join(SUFFIXES)
        raise UsageError(f"{path} has an unknown suffix {suffix!r}. Known: {known}.")
    if runtime is None:
        return SUFFIXES[suffix]
    if runtime not in RUNTIMES:
        raise UsageError(f"unknown runtime {runtime!r}. Known: {', '.join(RUNTIMES)}.")
    row = RUNTIMES[runtime]
    if suffix not in row.opens:
        raise UsageError(f"{runtime} opens {', '.join(row.opens)} files, not {path}.")
    return row


def _check_options(row: EngineRow, options: EngineOptions) -> None:
    if options.threads is not None and options.threads < 1:
        raise UsageError(f"{options.threads} threads: at least 1 is needed.")
    if options.precision is not None and options.precision not in row.precisions:
        allowed = ", ".join(row.precisions) or "none"
        raise UsageError(
            f"{row.runtime} cannot be asked for {options.precision!r}. Allowed: {allowed}."
        )
    if options.cuda_graph is not None and not row.cuda_graphs:
        raise UsageError(f"{row.runtime} has no CUDA graphs: leave cuda_graph out.")


def _check_bundle(path: Path, options: EngineOptions) -> bool:
    """Whether a manifest vouches for the file and its companions; raises IntegrityError when it
    should and does not."""
    read_too = companions(path)
    if not Bundle.is_bundle(path):
        return False
    bundle = Bundle.open(path)
    listed = {file.name for file in bundle.manifest.files}
    if options.trust and not listed.issuperset((path.name, *read_too)):
        return False
    for name in (path.name, *read_too):
        bundle.file(name)
    return True


def _factory(row: EngineRow) -> Callable[[Path, EngineOptions], Engine]:
    for package in row.packages:
        try:
            importlib.import_module(package)
        except ImportError as error:
            absent = isinstance(error, ModuleNotFoundError) and error.name == package
            reason = "is not installed" if absent else f"cannot be imported ({error})"
            raise MissingRuntimeError(
                f'{package} {reason}: pip install "edgereid[{row.extra}]"{row.hint}.'
            ) from error
    module, name = row.factory.split(":")
    factory: Callable[[Path, EngineOptions], Engine] = getattr(
        importlib.import_module(module), name
    )
    return factory


def _check_signature(path: Path, engine: Engine) -> None:
    """Raise InputError unless the network takes one image batch, in float32 or in bytes, and gives
    one embedding."""
    taken = ", ".join(f"{s} {s.dtype}" for s in engine.inputs)
    given = ", ".join(f"{s} {s.dtype}" for s in engine.outputs)
    images, features = engine.inputs[:1], engine.outputs[:1]
    fits = (
        len(engine.inputs) == len(engine.outputs) == 1
        and len(images[0].shape) == 4
        and images[0].dtype in LAYOUTS
        and images[0].shape[images[0].layout.index("channels")] in (3, None)
        and len(features[0].shape) in (0, 2)
        and features[0].dtype == "float32"
    )
    if not fits:
        raise InputError(
            f"{path} is no embedding network: it takes {taken or 'nothing'} and gives "
            f"{given or 'nothing'}; Nx3xHxW float32 or NxHxWx3 uint8 in and NxD float32 out is "
            "needed."
        )
