"""Build a TensorRT plan: find the file, parse, constrain, configure, build, store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgereid
from edgereid.bundle import Bundle
from edgereid.engines.tensorrt.logger import Log
from edgereid.errors import InputError
from edgereid.export.tensorrt import implicit
from edgereid.export.tensorrt.calibration_cache import CalibrationCache
from edgereid.export.tensorrt.config import configure, doubts, set_profile
from edgereid.export.tensorrt.contents import Contents, contents
from edgereid.export.tensorrt.device import Device, current_device
from edgereid.export.tensorrt.messages import build_error, no_gpu, warnings
from edgereid.export.tensorrt.module import load_tensorrt, release
from edgereid.export.tensorrt.monitor import Interruption, bar, interruptible, make_monitor
from edgereid.export.tensorrt.network import keep_float32, parse
from edgereid.export.tensorrt.options import Batches, BuildOptions
from edgereid.export.tensorrt.recipe import (
    Recipe,
    choose_typing,
    network_flags,
    precision_flags,
)
from edgereid.export.tensorrt.source import Model, find_model
from edgereid.export.tensorrt.store import Plan, destination, store
from edgereid.export.tensorrt.timing import attach, default_path
from edgereid.progress import note

MAX_WARNINGS = 20  # kept in the manifest


@dataclass(frozen=True, slots=True)
class Built:
    """What was built: the bundle, the plan's name in it, what its manifest says of the plan."""

    bundle: Bundle
    name: str
    provenance: Mapping[str, Any]

    @property
    def path(self) -> Path:
        return self.bundle.directory / self.name


@dataclass(frozen=True, slots=True)
class _Tools:
    """TensorRT, a builder, the device it builds for (or why that is unknown), its log."""

    trt: Any
    builder: Any
    device: Device | str
    log: Log


@dataclass(frozen=True, slots=True)
class _Job:
    """What is built, and how, and whether the user still wants it."""

    options: BuildOptions
    model: Model
    recipe: Recipe
    cache: CalibrationCache | None
    interruption: Interruption


def build(options: BuildOptions, host: Mapping[str, Any] | None = None) -> Built:
    """Build the plan that ``options`` ask for, into a bundle. ``host``: what else is known of this
    machine, for the manifest.

    Raises UsageError, InputError (a network that TensorRT refuses), MissingRuntimeError (no
    TensorRT, no GPU), IntegrityError, StorageError and KeyboardInterrupt; nothing is then changed.
    """
    calibrated = options.calibration_cache is not None
    model = find_model(options.path, "f16" if calibrated else options.precision)
    precision = model.precision(options.precision, calibrated)
    cache = CalibrationCache.load(options.calibration_cache) if options.calibration_cache else None
    to = destination(model, options.out, options.overwrite)
    trt = load_tensorrt()
    typing = choose_typing(trt, options.typing, model.half)
    recipe = Recipe(typing, precision, model.half, calibrated)
    if calibrated:
        implicit.require(trt, typing)
    with interruptible(hasattr(trt, "IProgressMonitor")) as interruption:
        job = _Job(options, model, recipe, cache, interruption)
        plan = _build(_start(trt), job, dict(host or {}))
    return Built(store(to, plan), to.name, plan.provenance)


def _start(trt: Any) -> _Tools:
    """A builder. Raises MissingRuntimeError where there is no GPU: pybind then says TypeError."""
    log = Log(trt)
    try:
        builder = trt.Builder(log.sink)
    except (TypeError, RuntimeError) as error:
        raise no_gpu(log) from error
    device = current_device()
    if isinstance(device, str):
        note(f"the GPU's name is unknown ({device}): no timing cache is kept")
    return _Tools(trt, builder, device, log)


def _build(tools: _Tools, job: _Job, host: dict[str, Any]) -> Plan:
    trt, options, recipe = tools.trt, job.options, job.recipe
    what = contents(job.model, recipe)
    network = tools.builder.create_network(network_flags(trt, recipe))
    parser = parse(trt, network, what.data, job.model.path, tools.log)
    remarks = warnings(tools.log)
    if what.constrain:
        _constrain(tools, network, what)
    for line in doubts(tools.builder, recipe, options):
        note(line)
    config = configure(trt, tools.builder, recipe, options)
    calibrator = None if job.cache is None else implicit.calibrate(trt, config, job.cache)
    name = str(job.model.path)
    batches = set_profile(tools.builder, config, network, options, name)
    size, features = _sizes(network, job.model)
    timing = attach(config, _timing_path(tools, options))
    tools.log.clear()  # of what the timing cache was refused for
    began = time.monotonic()
    data = _serialized(tools, network, config, job)
    seconds = time.monotonic() - began
    del parser, calibrator  # needed until here: the weights, the scales
    timing.keep(config)
    said = _provenance(tools, job, what, batches) | host
    said["timing_cache"] = timing.to_json()
    said["warnings"] = [*remarks, *warnings(tools.log)][:MAX_WARNINGS]
    said["build_seconds"] = round(seconds, 1)
    given = tuple(int(length) for length in network.get_input(0).shape)
    return Plan(
        data, recipe.precision, said, size, features, "uint8" if _takes_bytes(given) else "float32"
    )


def _takes_bytes(shape: tuple[int, ...]) -> bool:
    """Images in uint8 have their channels last, those in float32 first."""
    return shape[3] == 3 and shape[1] != 3


def _constrain(tools: _Tools, network: Any, what: Contents) -> None:
    lost = keep_float32(tools.trt, network, tuple(what.float_layers))
    if lost:
        some = ", ".join(lost[:3]) + (", ..." if len(lost) > 3 else "")
        note(f"{len(lost)} nodes that are to stay FP32 have no layer of their own ({some})")


def _timing_path(tools: _Tools, options: BuildOptions) -> Path | None:
    if options.timing_cache is not None or isinstance(tools.device, str):
        return options.timing_cache
    return default_path(tools.trt, tools.device)


def _sizes(network: Any, model: Model) -> tuple[tuple[int, int], int]:
    """(height, width) of the images and the numbers of an embedding. Raises InputError where it is
    no embedding network, or another one than its bundle says."""
    images = tuple(int(size) for size in network.get_input(0).shape)
    given = tuple(int(size) for size in network.get_output(0).shape)
    features = given[1] if len(given) == 2 and given[1] > 0 else model.features
    if network.num_outputs != 1 or len(images) != 4 or len(given) != 2 or features is None:
        raise InputError(
            f"{model.path} takes {images} and gives {network.num_outputs} outputs, the first "
            f"{given}: one batch of images in and one of embeddings (N, D) out is needed."
        )
    height, width = images[1:3] if _takes_bytes(images) else images[2:]
    if model.bundle is not None:
        manifest = model.bundle.manifest
        wanted = (manifest.preprocessing.height, manifest.preprocessing.width)
        if (height, width) != wanted or features != manifest.feature_size:
            raise InputError(
                f"{model.path} takes {height}x{width} and gives {features} numbers, its manifest "
                f"says {wanted[0]}x{wanted[1]} and {manifest.feature_size}: export it again."
            )
    return (height, width), features


def _serialized(tools: _Tools, network: Any, config: Any, job: _Job) -> bytes:
    """Minutes of work on the device. Raises InputError, MissingRuntimeError, KeyboardInterrupt."""
    trt, name = tools.trt, str(job.model.path)
    job.interruption.check()
    note(f"building {name} with TensorRT {release(trt)}: this takes minutes")
    memory: Any = None
    raised: Exception | None = None
    with bar("building") as draw:
        monitor = None
        if hasattr(trt, "IProgressMonitor"):
            monitor = make_monitor(trt, job.interruption, draw)
            config.progress_monitor = monitor
        try:
            memory = tools.builder.build_serialized_network(network, config)
        except (RuntimeError, MemoryError) as error:
            raised = error
        del monitor  # needed until here
    job.interruption.check()
    if memory is None:
        raise build_error(name, tools.log, raised) from raised
    return bytes(memoryview(memory))


def _provenance(tools: _Tools, job: _Job, what: Contents, batches: Batches) -> dict[str, Any]:
    """How the plan came about: enough to build it again, or to see why two builds differ."""
    options, recipe, device = job.options, job.recipe, tools.device
    return {
        "edgereid": edgereid.__version__,
        "command": list(options.command),
        "tensorrt": release(tools.trt),
        "device": None
        if isinstance(device, str)
        else {"name": device.name, "compute_capability": device.compute_capability},
        "onnx": {"file": job.model.path.name, "sha256": job.model.sha256},
        "typing": recipe.typing,
        "typed": None if what.typed is None else dict(what.typed),
        "precision": recipe.precision,
        "calibration_cache": None if job.cache is None else job.cache.header,
        "flags": [flag.name for flag in precision_flags(tools.trt, recipe)],
        "float_layers": dict(what.float_layers),
        "batches": [batches.smallest, batches.tuned, batches.largest],
        "workspace_mib": options.workspace,
        "level": options.level,
        "dla": options.dla,
        "version_compatible": options.version_compatible,
        "hardware_compatible": options.hardware_compatible,
    }
