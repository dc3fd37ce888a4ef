"""Runtime, engine and execution context."""

from __future__ import annotations

import weakref
from typing import Any

import numpy as np

from trt_fakes.binding import Part
from trt_fakes.building import USAGE
from trt_fakes.execution import Launch, resolve, run_now
from trt_fakes.gpu import CudaError, Op
from trt_fakes.plan import PlanError, PlanInfo, TensorInfo, pack, unpack

ITEM_BYTES = {"FLOAT": 4, "HALF": 2, "BF16": 2, "INT8": 1, "INT32": 4, "INT64": 8, "BOOL": 1}
ITEM_BYTES |= {"UINT8": 1, "FP8": 1}
NAMES = {"FLOAT": "FP32", "HALF": "FP16", "INT8": "Int8", "INT32": "Int32", "UINT8": "UInt8"}


def _release(version: str) -> tuple[int, ...]:
    return tuple(int(n) for n in version.split("."))


class Runtime(Part):
    """Deserialises plans; without a GPU it cannot be constructed."""

    def _start(self, logger: Any) -> None:
        self._logger = logger
        self._code_allowed = False
        if not self._world.present:
            self._world.error(logger, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        self._world.alive.add(self)
        self._world.use(self, logger)

    def _get_logger(self) -> Any:
        return self._logger

    def _get_engine_host_code_allowed(self) -> bool:
        return self._code_allowed

    def _set_engine_host_code_allowed(self, value: bool) -> None:
        self._code_allowed = value

    def _get_num_DLA_cores(self) -> int:  # noqa: N802
        return self._world.gpu.device.dla_cores

    def _do_deserialize_cuda_engine(self, data: Any) -> Any:
        world = self._world
        planned = world.failures.deserialize
        try:
            if planned:
                raise PlanError(planned)
            info, model = unpack(bytes(data))
            self._check(info)
        except PlanError as error:
            world.error(self._logger, str(error))
            return None
        if info.device != world.gpu.device.name:
            world.log(
                self._logger,
                "WARNING",
                "Using an engine plan file across different models of devices is not recommended "
                "and is likely to affect performance or even cause errors.",
            )
        return world.make("ICudaEngine", self, info, model)

    def _check(self, info: PlanInfo) -> None:
        """Raises PlanError for a plan of another release or device."""
        world, wants = self._world, "compute {}.{}"
        mine, other = _release(world.api.version), _release(info.version)
        portable = "VERSION_COMPATIBLE" in info.flags
        if portable and "EXCLUDE_LEAN_RUNTIME" not in info.flags and not self._code_allowed:
            raise PlanError(
                f"{USAGE} (Cannot deserialize engine with lean runtime unless "
                "IRuntime::setEngineHostCodeAllowed is set to true)"
            )
        if mine != other and not (portable and mine > other):
            raise PlanError(
                "Error Code 6: API Usage Error (The engine plan file is not compatible with this "
                f"version of TensorRT, expecting library version {world.api.version} got "
                f"{info.version}, please rebuild.)"
            )
        here = world.gpu.device.compute
        ampere = info.hardware == "AMPERE_PLUS" and here >= (8, 0)
        same = info.hardware == "SAME_COMPUTE_CAPABILITY" and here == info.compute
        if here != info.compute and not (ampere or same):
            raise PlanError(
                "Error Code 6: API Usage Error (The engine plan file is generated on an "
                f"incompatible device, expecting {wants.format(*here)} got "
                f"{wants.format(*info.compute)}, please rebuild.)"
            )


class ICudaEngine(Part):
    """A plan that was read."""

    def _start(self, runtime: Any, info: PlanInfo, model: bytes) -> None:
        self._runtime, self._info, self._model = runtime, info, model
        self._logger = runtime._logger
        self._taken: set[int] = set()

    def _tensor(self, name: str) -> TensorInfo | None:
        found = next((t for t in self._info.tensors if t.name == name), None)
        if found is None:
            self._world.error(self._logger, f"{USAGE} (the name {name} is of no I/O tensor)")
        return found

    def _get_name(self) -> str:
        return "Unnamed Network 0"

    def _get_num_io_tensors(self) -> int:
        return len(self._info.tensors)

    def _get_num_layers(self) -> int:
        return len(self._info.layers)

    def _get_num_optimization_profiles(self) -> int:
        return max(1, len(self._info.profiles))

    def _do_get_tensor_name(self, index: int) -> Any:
        found = self._info.tensors
        return found[index].name if 0 <= index < len(found) else None

    def _do_get_tensor_mode(self, name: str) -> Any:
        tensor = self._tensor(name)
        mode = "NONE" if tensor is None else "INPUT" if tensor.is_input else "OUTPUT"
        return self._world.enum("TensorIOMode", mode)

    def _do_get_tensor_dtype(self, name: str) -> Any:
        tensor = self._tensor(name)
        return self._world.enum("DataType", "FLOAT" if tensor is None else tensor.dtype)

    def _do_get_tensor_shape(self, name: str) -> Any:
        tensor = self._tensor(name)
        return self._world.dims(() if tensor is None else tensor.dims)

    def _do_get_tensor_location(self, name: str) -> Any:
        return self._world.enum("TensorLocation", "DEVICE")

    def _do_get_tensor_format(self, name: str, *rest: Any) -> Any:
        return self._world.enum("TensorFormat", "LINEAR")

    def _do_get_tensor_format_desc(self, name: str, *rest: Any) -> str:
        tensor = self._tensor(name)
        return "" if tensor is None else f"Row major linear {NAMES[tensor.dtype]} format (kLINEAR)"

    def _do_get_tensor_bytes_per_component(self, name: str, *rest: Any) -> int:
        tensor = self._tensor(name)
        return -1 if tensor is None else ITEM_BYTES[tensor.dtype]

    def _do_get_tensor_components_per_element(self, name: str, *rest: Any) -> int:
        return -1

    def _do_get_tensor_vectorized_dim(self, name: str, *rest: Any) -> int:
        return -1

    def _do_is_shape_inference_io(self, name: str) -> bool:
        return False

    def _do_get_tensor_profile_shape(self, name: str, index: int) -> list[Any]:
        tensor = self._tensor(name)
        if tensor is None or not tensor.is_input or index >= self.num_optimization_profiles:
            return []
        fixed = (tensor.dims,) * 3
        shapes = self._info.profiles[index].get(name, fixed) if self._info.profiles else fixed
        return [self._world.dims(s) for s in shapes]

    def _get_device_memory_size(self) -> int:
        return self._info.scratch

    _get_device_memory_size_v2 = _get_device_memory_size

    def _do_get_device_memory_size_for_profile(self, profile_index: int) -> int:
        return self._info.scratch

    _do_get_device_memory_size_for_profile_v2 = _do_get_device_memory_size_for_profile

    def _get_profiling_verbosity(self) -> Any:
        return self._world.enum("ProfilingVerbosity", self._info.verbosity)

    def _get_hardware_compatibility_level(self) -> Any:
        return self._world.enum("HardwareCompatibilityLevel", self._info.hardware)

    def _get_engine_capability(self) -> Any:
        return self._world.enum("EngineCapability", "STANDARD")

    def _get_refittable(self) -> bool:
        return bool({"REFIT", "REFIT_IDENTICAL", "REFIT_INDIVIDUAL"} & set(self._info.flags))

    def _get_num_aux_streams(self) -> int:
        return 0

    def _get_tactic_sources(self) -> int:
        return 0

    def _get_has_implicit_batch_dimension(self) -> bool:
        return False

    def _do_serialize(self) -> Any:
        return self._world.types["IHostMemory"]("B", pack(self._info, self._model))

    def _do_create_engine_inspector(self) -> Any:
        return self._world.make("EngineInspector", self)

    def _do_create_execution_context(self, strategy: Any = None) -> Any:
        name = getattr(strategy, "name", "STATIC")
        return self._context(managed=name != "USER_MANAGED")

    def _do_create_execution_context_without_device_memory(self) -> Any:
        return self._context(managed=False)

    def _context(self, managed: bool) -> Any:
        world, scratch = self._world, 0
        try:
            if world.failures.context:
                raise CudaError("cudaErrorMemoryAllocation")
            if managed:
                scratch = world.gpu.allocate(self._info.scratch, "tensorrt")
        except CudaError:
            world.error(
                self._logger,
                "[defaultAllocator.cpp::allocate::19] Error Code 1: Cuda Runtime (out of memory)",
            )
            return None
        context = world.make("IExecutionContext", self, managed)
        if scratch:
            weakref.finalize(context, world.gpu.blocks.pop, scratch, None)
        return context


class IExecutionContext(Part):
    """Shapes and addresses of one execution after the other."""

    def _start(self, engine: Any, managed: bool) -> None:
        self._engine, self._logger = engine, engine._logger
        self._info: PlanInfo = engine._info
        self._addresses: dict[str, int] = {}
        self._sizes: dict[str, tuple[int, ...]] = {}
        self._scratch = -1 if managed else 0
        self._profile = -1
        self._profiler: Any = None
        self._emits = True
        self._unreported = False
        self._changed = True  # shapes differ from those of the last execution
        self._take_profile(0)

    def _refuse(self, text: str) -> bool:
        self._world.error(self._logger, f"{USAGE} ({text})")
        return False

    # Up to 8.x a profile belongs to one context at a time, unless the plan was built otherwise; the
    # first context gets the first.
    def _take_profile(self, index: int) -> bool:
        taken = self._engine._taken
        shared = "PROFILE_SHARING_0806" in self._info.settings.get("preview", ())  # type: ignore[operator]
        exclusive = self._world.api.release.startswith("8.") and not shared
        if exclusive and index in taken and index != self._profile:
            return False
        taken.discard(self._profile)
        taken.add(index)
        self._release = weakref.finalize(self, taken.discard, index)
        if index != self._profile:
            self._sizes = {}
        self._profile = index
        return True

    def _get_active_optimization_profile(self) -> int:
        return self._profile

    def _do_set_optimization_profile_async(self, index: int, stream: int) -> bool:
        if not 0 <= index < self._engine.num_optimization_profiles:
            return self._refuse(f"profile {index} does not exist")
        if not self._take_profile(index):
            return self._refuse(
                f"Profile {index} has been chosen for another IExecutionContext. Use another "
                "profileIndex or destroy the IExecutionContext that use this profile."
            )
        self._changed = True
        return True

    def _get_engine(self) -> Any:
        return self._engine

    def _get_name(self) -> str:
        return str(self.__dict__.get("_value_name", "Unnamed Network 0"))

    # --- shapes and addresses -----------------------------------------------------------------

    def _do_set_input_shape(self, name: str, shape: Any) -> bool:
        tensor = self._engine._tensor(name)
        if tensor is None or not tensor.is_input:
            return self._refuse(f"{name} is no input")
        sizes = tuple(shape)
        if self._profile < 0:
            return self._refuse("no optimization profile is chosen")
        shapes = self._engine.get_tensor_profile_shape(name, self._profile)
        low, _, high = (tuple(d) for d in shapes)
        if len(sizes) != len(low):
            return self._refuse(f"{name} has {len(low)} dimensions, not {len(sizes)}")
        if any(not a <= s <= b for a, s, b in zip(low, sizes, high, strict=True)):
            return self._refuse(
                f"Parameter check failed, condition: satisfyProfile. Set dimension {list(sizes)} "
                f"for tensor {name} does not satisfy any optimization profiles. Valid range for "
                f"profile {self._profile}: {list(low)}..{list(high)}."
            )
        self._changed = self._changed or self._sizes.get(name) != sizes
        self._sizes[name] = sizes
        return True

    def _do_get_tensor_shape(self, name: str) -> Any:
        tensor = self._engine._tensor(name)
        return self._world.dims(() if tensor is None else resolve(self._info, self._sizes, tensor))

    def _missing(self) -> list[str]:
        return [t.name for t in self._info.inputs() if -1 in resolve(self._info, self._sizes, t)]

    def _do_infer_shapes(self) -> list[str]:
        return self._missing()

    def _get_all_binding_shapes_specified(self) -> bool:
        return not self._missing()

    def _get_all_shape_inputs_specified(self) -> bool:
        return True

    def _do_set_tensor_address(self, name: str, memory: int) -> bool:
        if self._engine._tensor(name) is None:
            return False
        self._addresses[name] = memory
        return True

    def _do_get_tensor_address(self, name: str) -> int:
        return self._addresses.get(name, 0)

    def _do_get_max_output_size(self, name: str) -> int:
        tensor = self._engine._tensor(name)
        if tensor is None or tensor.is_input:
            return -1
        sizes = resolve(self._info, self._sizes, tensor)
        return -1 if -1 in sizes else int(np.prod(sizes)) * ITEM_BYTES[tensor.dtype]

    # --- memory of its own ----------------------------------------------------------------------

    def _get_device_memory(self) -> int:
        return self._scratch

    def _set_device_memory(self, value: int) -> None:
        self._scratch = value

    def _do_set_device_memory(self, memory: int, size: int) -> None:
        if size < self._info.scratch:
            self._refuse(f"{size} bytes of device memory, {self._info.scratch} are needed")
            return
        self._scratch = memory

    def _do_update_device_memory_size_for_shapes(self) -> int:
        return self._info.scratch

    # --- profiling ------------------------------------------------------------------------------

    def _get_profiler(self) -> Any:
        return self._profiler

    def _set_profiler(self, value: Any) -> None:
        self._profiler = value

    def _get_enqueue_emits_profile(self) -> bool:
        return self._emits

    def _set_enqueue_emits_profile(self, value: bool) -> None:
        self._emits = value

    def _do_report_to_profiler(self) -> bool:
        if self._profiler is None or not self._unreported:
            return self._refuse("there is no profiler, or nothing ran since the last report")
        self._unreported = False
        for layer in self._info.layers:
            self._profiler.report_layer_time(layer.name, layer.milliseconds)
        return True

    # --- execution ------------------------------------------------------------------------------

    def _do_execute_async_v3(self, stream_handle: int) -> bool:
        world = self._world
        world.executions += 1
        fails = world.failures.execute_from
        if fails and world.executions >= fails:
            world.error(self._logger, "Error Code 1: Cuda Runtime (an illegal memory access)")
            return False
        if world.gpu.last:  # it asks behind its launches, and takes what others left for its own
            world.error(self._logger, f"Error Code 1: Cuda Runtime ({world.gpu.last})")
            return False
        launch = self._launch()
        if launch is None:
            return False
        try:
            stream = world.gpu.stream(stream_handle)
        except CudaError as error:
            return self._refuse(f"the stream does not exist: {error}")
        capture = stream.capture
        if capture is not None and self._changed:
            capture.invalid = True
            return self._refuse(
                "operation not permitted when stream is capturing: run once in this shape first"
            )
        profiled = self._profiler is not None and self._emits
        if capture is not None and profiled:
            capture.invalid = True
            return self._refuse("a profiler cannot report while the stream is capturing")
        milliseconds = sum(layer.milliseconds for layer in self._info.layers)

        state, mine = self._state(), weakref.ref(self)

        def work() -> None:
            context = mine()
            if context is None:
                world.gpu.misuse.append("the context was dropped before its execution ended")
                return
            if capture is not None and context._state() != state:
                world.gpu.misuse.append("the context was changed after its graph was captured")
            run_now(world, launch)
            context._unreported = True

        world.gpu.put(stream, Op("execute", milliseconds, work))
        self._changed = self._changed and capture is not None
        if profiled:
            world.gpu.drain(stream)
            self._do_report_to_profiler()
        return True

    def _state(self) -> object:
        """What a captured graph relies on."""
        return self._profile, dict(self._sizes), dict(self._addresses), self._scratch

    def _do_execute_v2(self, bindings: list[int]) -> bool:
        names = [t.name for t in self._info.tensors]
        self._addresses = dict(zip(names, bindings, strict=False))
        done = self._do_execute_async_v3(0)
        self._world.gpu.drain(self._world.gpu.streams[0])
        return done

    def _launch(self) -> Launch | None:
        """Shapes and addresses as they are now; None, with an error, when some are missing."""
        missing = self._missing()
        if missing:
            self._refuse(f"not all shapes are specified: {missing[0]}")
            return None
        unset = [t.name for t in self._info.tensors if not self._addresses.get(t.name)]
        if unset:
            self._world.gpu.misuse.append(f"executed before the address of {unset[0]} was set")
            self._refuse(f"Address is not set for tensor {unset[0]}")
            return None
        if self._scratch == 0 and self._info.scratch:
            self._world.gpu.misuse.append("executed before the context's device memory was set")
            self._refuse("the context has no device memory")
            return None
        shapes = {t.name: resolve(self._info, self._sizes, t) for t in self._info.tensors}
        scratch = (self._scratch, self._info.scratch) if self._scratch > 0 else None
        return Launch(self._info, self._engine._model, shapes, dict(self._addresses), scratch)
