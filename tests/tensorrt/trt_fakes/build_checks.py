"""What a build refuses, with messages shaped like the real ones; calibration; progress."""

from __future__ import annotations

from typing import Any

from trt_fakes.building import DLA_OPERATORS, INVALID, USAGE
from trt_fakes.plan import LayerInfo

LOW_PRECISION = {"FP16", "BF16", "INT8", "FP8", "INT4", "FP4"}
LOW_PRECISION |= {"OBEY_PRECISION_CONSTRAINTS", "PREFER_PRECISION_CONSTRAINTS"}


def problem(world: Any, network: Any, config: Any) -> str | None:
    """Why the build fails: a message, "" for a failure without one, None for success."""
    checks = (_planned, _network, _types, _profiles, _placement)
    for check in checks:
        found: str | None = check(world, network, config)
        if found is not None:
            return found
    return None


def _planned(world: Any, network: Any, config: Any) -> str | None:
    kind = world.failures.build
    if not kind:
        return None
    node = network._model.nodes[0].name if network._model is not None else "?"
    return {
        "memory": "[virtualMemoryBuffer.cpp::resizePhysical::140] Error Code 2: OutOfMemory "
        "(Requested size was 2147483648 bytes.)",
        "tactic": f"Error Code 10: Internal Error (Could not find any implementation for node "
        f"{node}.)",
        "silent": "",
    }[kind]


def _network(world: Any, network: Any, config: Any) -> str | None:
    if network._model is None:
        return f"{INVALID} (Network must have at least one output)"
    return None


def _types(world: Any, network: Any, config: Any) -> str | None:
    model, flags = network._model, config._flags
    if network._strong:
        wrong = sorted(flags & LOW_PRECISION)
        if wrong:
            return f"{USAGE} (k{wrong[0]} is not allowed in a strongly typed network)"
        if network._fixed:
            return f"{USAGE} (precisions of layers cannot be set in a strongly typed network)"
        return None
    if model.half_quantized:
        return f"{INVALID} (Q/DQ of FP16 needs a strongly typed network)"
    if model.quantized and "INT8" not in flags:
        return (
            f"{INVALID} (Int8 precision has been set for a layer or layer output, but int8 is not "
            "configured in the builder)"
        )
    release = world.api.release
    flags_of_network = world.types["NetworkDefinitionCreationFlag"].__members__
    explicit = network._bits >> int(flags_of_network["EXPLICIT_BATCH"]) & 1
    if release.startswith("8.") and not explicit:
        return f"{USAGE} (the ONNX parser needs a network with an explicit batch dimension)"
    return None


def _profiles(world: Any, network: Any, config: Any) -> str | None:
    inputs = [t for t in network._tensors() if t.is_input]
    dynamic = [t for t in inputs if -1 in t.dims]
    if dynamic and not config._profiles:
        return (
            f"{USAGE} (Network has dynamic or shape inputs, but no optimization profile has been "
            "defined.)"
        )
    for i, profile in enumerate(config._profiles):
        for tensor in inputs:
            shapes = profile._shapes.get(tensor.name)
            if shapes is None and tensor in dynamic:
                return f"{USAGE} (Profile {i} has no shapes for the dynamic input {tensor.name})"
            for shape in shapes or ():
                fixed = zip(tensor.dims, shape, strict=False)
                if len(shape) != len(tensor.dims) or any(d not in (-1, s) for d, s in fixed):
                    return (
                        f"{USAGE} (Dimension mismatch for tensor {tensor.name} and profile {i}: "
                        f"network {tensor.dims}, profile {shape})"
                    )
    return None


def _placement(world: Any, network: Any, config: Any) -> str | None:
    if config.default_device_type.name != "DLA":
        return None
    cores = world.gpu.device.dla_cores
    if config._dla < 0 or config._dla >= cores:
        return f"{USAGE} (DLA core {config._dla} does not exist, the device has {cores})"
    stays = [n for n in network._model.nodes if n.op not in DLA_OPERATORS]
    if stays and "GPU_FALLBACK" not in config._flags:
        return f"{INVALID} (Layer {stays[0].name} cannot run on DLA and GPU fallback is off)"
    if not network._strong and not config._flags & {"FP16", "INT8"}:
        return f"{USAGE} (DLA needs FP16 or INT8)"
    return None


def calibrate(world: Any, config: Any, network: Any, logger: Any) -> bool:
    """Whether a legacy calibrator gave ranges: from its cache, else from its batches."""
    calibrator = getattr(config, "int8_calibrator", None)
    if "INT8" not in config._flags or network._model.quantized:
        return False
    if calibrator is None:
        world.log(
            logger,
            "WARNING",
            "Calibrator is not being used. Users must provide dynamic range for all tensors that "
            "are not Int32 or Bool.",
        )
        return False
    cached = calibrator.read_calibration_cache()
    if cached is not None:
        return True
    names = [t.name for t in network._tensors() if t.is_input]
    while calibrator.get_batch(names) is not None:
        pass
    calibrator.write_calibration_cache(b"TRT-0-EntropyCalibration2\n")
    return True


def monitored(config: Any, layers: tuple[LayerInfo, ...]) -> bool:
    """Report to the progress monitor; whether the build goes on."""
    monitor = getattr(config, "progress_monitor", None)
    if monitor is None:
        return True
    monitor.phase_start("Building Engine", None, 2)
    goes_on = bool(monitor.step_complete("Building Engine", 0))
    monitor.phase_start("Tactic selection", "Building Engine", len(layers))
    for i in range(len(layers) if goes_on else 0):
        goes_on = goes_on and bool(monitor.step_complete("Tactic selection", i))
    monitor.phase_finish("Tactic selection")
    goes_on = goes_on and bool(monitor.step_complete("Building Engine", 1))
    monitor.phase_finish("Building Engine")
    return goes_on
