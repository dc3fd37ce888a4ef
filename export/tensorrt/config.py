"""A build's options as TensorRT's builder configuration."""

from __future__ import annotations

from typing import Any

from edgereid.errors import InputError, UsageError
from edgereid.export.tensorrt.module import release
from edgereid.export.tensorrt.options import Batches, BuildOptions
from edgereid.export.tensorrt.recipe import WEAK, Recipe, precision_flags


def configure(trt: Any, builder: Any, recipe: Recipe, options: BuildOptions) -> Any:
    """A configuration without a profile. Raises UsageError for what this release or device lacks.

    Nothing is refittable and no weights are stripped: a plan stands for one set of weights.
    """
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace << 20)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED  # for `edgereid inspect`
    for flag in precision_flags(trt, recipe):
        config.set_flag(flag)
    if recipe.precision == "f32":
        config.clear_flag(trt.BuilderFlag.TF32)  # 10 bits of mantissa are not what was asked for
    if options.level is not None:
        if not hasattr(config, "builder_optimization_level"):
            raise _lacks(trt, "builder levels", "--level")
        config.builder_optimization_level = options.level
    if options.version_compatible:
        if not hasattr(trt.BuilderFlag, "VERSION_COMPATIBLE"):
            raise _lacks(trt, "version-compatible plans", "--version-compatible")
        config.set_flag(trt.BuilderFlag.VERSION_COMPATIBLE)
    if options.hardware_compatible:
        if not hasattr(trt, "HardwareCompatibilityLevel"):
            raise _lacks(trt, "hardware-compatible plans", "--hardware-compatible")
        config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
    if options.dla is not None:
        _use_dla(trt, builder, config, options.dla)
    _share_profiles(trt, config)
    return config


def _share_profiles(trt: Any, config: Any) -> None:
    """Let several contexts, one a shape, have the same profile; from 10 on they always may."""
    if not hasattr(trt, "PreviewFeature"):
        return
    if hasattr(trt.PreviewFeature, "PROFILE_SHARING_0806"):
        sharing = trt.PreviewFeature.PROFILE_SHARING_0806
        if not config.get_preview_feature(sharing):
            config.set_preview_feature(sharing, True)


def _lacks(trt: Any, what: str, flag: str) -> UsageError:
    return UsageError(f"TensorRT {release(trt)} has no {what}: leave {flag} out.")


def _use_dla(trt: Any, builder: Any, config: Any, core: int) -> None:
    """Put what a DLA can run on that core, the rest on the GPU."""
    cores = builder.num_DLA_cores
    if core >= cores:
        have = f"the DLA cores 0 to {cores - 1}" if cores else "no DLA core"
        raise UsageError(f"DLA core {core}: TensorRT {release(trt)} finds {have} on this device.")
    config.default_device_type = trt.DeviceType.DLA
    config.DLA_core = core
    config.set_flag(trt.BuilderFlag.GPU_FALLBACK)


def doubts(builder: Any, recipe: Recipe, options: BuildOptions) -> list[str]:
    """What will work, but not as the user may think; a sentence each."""
    found = []
    slow = {
        "int8": not getattr(builder, "platform_has_fast_int8", True),
        "f16": not getattr(builder, "platform_has_fast_fp16", True),
    }
    if slow.get(recipe.precision):
        found.append(f"this device has no fast {recipe.precision}: such a plan is slow here")
    quantized = recipe.precision == "int8" and not recipe.implicit
    if options.dla is not None and quantized and recipe.typing == WEAK:
        found.append(
            "a DLA takes no Q/DQ here: those layers run on the GPU. For INT8 on the DLA write a "
            "calibration cache and build the float network with it (docs/tensorrt.md)"
        )
    return found


def set_profile(
    builder: Any, config: Any, network: Any, options: BuildOptions, path: str
) -> Batches:
    """Add an optimisation profile for a network whose batch is open; the batches that the plan
    takes.

    Raises InputError on a network with several inputs or with other open sizes, UsageError when
    other batches are asked for than a fixed one.
    """
    if network.num_inputs != 1:
        raise InputError(f"{path} has {network.num_inputs} inputs: a network of one is needed.")
    tensor = network.get_input(0)
    shape = tuple(int(size) for size in tensor.shape)
    if not shape or any(size < 1 for size in shape[1:]):
        got = "x".join("?" if size < 0 else str(size) for size in shape)
        raise InputError(f"{path} takes {got}: every size but the batch must be fixed.")
    if shape[0] >= 0:
        fixed = Batches(shape[0], shape[0], shape[0])
        if options.batches not in (None, fixed):
            raise UsageError(
                f"{path} has a fixed batch of {shape[0]}: leave --batch out, or export it with a "
                "batch of any size."
            )
        return fixed
    chosen = options.batches or options.usual_batches
    smallest, tuned, largest = (
        (batch, *shape[1:]) for batch in (chosen.smallest, chosen.tuned, chosen.largest)
    )
    profile = builder.create_optimization_profile()
    profile.set_shape(tensor.name, min=smallest, opt=tuned, max=largest)
    if config.add_optimization_profile(profile) < 0:
        raise InputError(f"TensorRT refuses the batches {chosen} for {path}.")
    return chosen
