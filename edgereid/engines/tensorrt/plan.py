"""From a file to TensorRT's engine, or to one line: what the file is and what is needed."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgereid.bundle import Bundle
from edgereid.engines.tensorrt.cuda import Device
from edgereid.engines.tensorrt.logger import Log
from edgereid.engines.tensorrt.plan_header import HEADER_BYTES, PlanHeader, read_header
from edgereid.engines.vendor import one_line
from edgereid.errors import InputError, IntegrityError, MissingRuntimeError

_REBUILD = "build it again on this device (`edgereid build`)"
_VERSION = re.compile(r"expecting library version ([\d.]*\d) got ([\d.]*\d)")
_COMPUTE = re.compile(r"expecting compute ([\d.]*\d) got compute ([\d.]*\d)")
_SERIALIZATION = re.compile(r"Current Version: (\d+), Serialized Engine Version: (\d+)")
_TAG = re.compile(r"magic ?tag", re.IGNORECASE)
_PLUGIN = re.compile(r"plugin", re.IGNORECASE)
_MEMORY = re.compile(r"out ?of ?memory|\bOutOfMemory\b|amount of GPU memory", re.IGNORECASE)
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class PlanFile:
    """The bytes of a plan. ``vouched``: a manifest lists the digest of these very bytes, and
    ``precision`` is what it says of them, else "unknown"."""

    path: Path
    data: bytes
    header: PlanHeader
    vouched: bool
    precision: str


def read_plan(path: Path) -> PlanFile:
    """Read a plan once, so that what is run is what was checked.

    Raises InputError on a file that clearly is none, IntegrityError when its bundle's manifest
    lists other bytes.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}.") from error
    header = read_header(data)
    if header.other is not None:
        raise InputError(
            f"{path} is no TensorRT plan: it is {header.other}. "
            "`edgereid build` makes a plan of an ONNX file."
        )
    if len(data) < HEADER_BYTES:
        raise InputError(
            f"{path} has {len(data)} bytes, less than the beginning of a plan: copy it again."
        )
    precision = _manifest_precision(path, data)
    return PlanFile(path, data, header, precision is not None, precision or UNKNOWN)


def _manifest_precision(path: Path, data: bytes) -> str | None:
    """What the manifest says of these bytes; None when no manifest lists the file."""
    if not Bundle.is_bundle(path):
        return None
    files = Bundle.open(path, verify=False).manifest.files
    entry = next((f for f in files if f.name == path.name), None)
    if entry is None:
        return None
    if hashlib.sha256(data).hexdigest() != entry.sha256:
        raise IntegrityError(
            f"{path} is not the file its manifest vouches for: it was changed or damaged; "
            "copy the bundle or build it again."
        )
    return entry.precision or UNKNOWN


def new_runtime(trt: Any, log: Log, code_allowed: bool) -> Any:
    """TensorRT's runtime. ``code_allowed``: plans may bring the code that runs them along, as
    version-compatible ones do. Raises MissingRuntimeError where TensorRT cannot start."""
    try:
        # Plans of older releases find InstanceNormalization and the like among the plugins.
        trt.init_libnvinfer_plugins(log.sink, "")
        runtime = trt.Runtime(log.sink)
    except Exception as error:  # pybind11's TypeError when the factory gave nothing, and OSError
        why = log.reason() if log.raw else one_line(error)
        raise MissingRuntimeError(
            f"TensorRT {trt.__version__} cannot start here ({why}): "
            "`edgereid doctor` says what this machine lacks."
        ) from error
    if code_allowed and hasattr(runtime, "engine_host_code_allowed"):
        runtime.engine_host_code_allowed = True
    return runtime


def load_engine(trt: Any, runtime: Any, log: Log, plan: PlanFile, device: Device) -> Any:
    """TensorRT's engine. Raises InputError that says what the plan is and what is needed."""
    log.clear()
    failure: Exception | None = None
    try:
        engine = runtime.deserialize_cuda_engine(plan.data)
    except Exception as error:
        engine, failure = None, error
    if engine is None:
        why = _why(str(trt.__version__), log, plan.header, device, failure)
        raise InputError(f"TensorRT {trt.__version__} cannot load {plan.path}: {why}.") from failure
    return engine


def _why(
    version: str, log: Log, header: PlanHeader, device: Device, failure: Exception | None
) -> str:
    """What the plan is, as far as TensorRT or its header says, and what to do."""
    text = log.raw
    if found := _COMPUTE.search(text):
        return (
            f"it was built for a GPU of compute capability {found[2]} and {device.name} here has "
            f"{device.compute_capability}: {_REBUILD}"
        )
    if found := _VERSION.search(text):
        return f"it was built with TensorRT {found[2]}: {_REBUILD}"
    told = header.version_text
    if found := _SERIALIZATION.search(text):
        who = f"TensorRT {told}" if told else "another TensorRT"
        return f"it was built with {who} (format {found[2]}, needed is {found[1]}): {_REBUILD}"
    reason = log.reason() if text or failure is None else one_line(failure)
    if _MEMORY.search(text):
        return f"{reason}: the device has too little free memory"
    if _PLUGIN.search(text):
        return f"{reason}: it needs a plugin that is not part of this TensorRT"
    if told and told.split(".")[:3] != version.split(".")[:3]:
        return f"its header says TensorRT {told} ({reason}): {_REBUILD}"
    if not header.tag or _TAG.search(text):
        return f"it does not begin as a plan that it knows; copy it again, or {_REBUILD}"
    return f"{reason}: it may be cut off or damaged; copy it again, or {_REBUILD}"
