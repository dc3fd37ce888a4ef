"""Builder, its configuration, profiles and the timing cache."""

from __future__ import annotations

import json
from typing import Any

from trt_fakes.binding import NotPlayedError, Part
from trt_fakes.layers import build_layers
from trt_fakes.plan import PlanInfo, pack

CACHE_TAG = b"fake timing cache\n"
USAGE = "Error Code 3: API Usage Error"
INVALID = "Error Code 4: Internal Error"
DLA_OPERATORS = {"Conv", "Relu", "Add", "MaxPool", "AveragePool", "GlobalAveragePool", "Sigmoid"}


class IOptimizationProfile(Part):
    """Shapes of the open inputs: set_shape raises RuntimeError for an order that is wrong."""

    def _start(self) -> None:
        self._shapes: dict[str, tuple[tuple[int, ...], ...]] = {}

    def _do_set_shape(self, name: str, low: Any, opt: Any, high: Any) -> None:
        shapes = tuple(low), tuple(opt), tuple(high)
        for i, which in enumerate(("min", "opt", "max")):
            before = shapes[max(i - 1, 0)]
            wrong = len(shapes[i]) != len(before) or min(shapes[i], default=0) < 0
            if wrong or any(b > a for b, a in zip(before, shapes[i], strict=True)):
                raise RuntimeError(f"Shape provided for {which} is inconsistent with other shapes.")
        self._shapes[name] = shapes

    def _do_get_shape(self, name: str) -> list[Any]:
        if name not in self._shapes:
            return []
        return [self._world.dims(s) for s in self._shapes[name]]

    def __bool__(self) -> bool:
        return bool(self._shapes)


class ITimingCache(Part):
    """What was measured, by layer; the bytes say for which release and device."""

    def _start(self, entries: set[str], origin: list[str]) -> None:
        self._entries, self._origin = entries, origin

    def _do_serialize(self) -> Any:
        text = json.dumps({"origin": self._origin, "entries": sorted(self._entries)})
        return self._world.types["IHostMemory"]("B", CACHE_TAG + text.encode())

    def _do_combine(self, other: Any, ignore_mismatch: bool) -> bool:
        if other._origin != self._origin and not ignore_mismatch:
            return False
        self._entries |= other._entries
        return True

    def _do_reset(self) -> bool:
        self._entries.clear()
        return True


class IBuilderConfig(Part):
    """Flags, limits, profiles."""

    def _start(self, builder: Any) -> None:
        self._builder = builder
        self._logger = builder._logger
        self._do_reset()

    def _do_reset(self) -> None:
        world = self._world
        self._flags: set[str] = {"TF32"}
        self._profiles: list[Any] = []
        self._pools: dict[str, int] = {"WORKSPACE": world.gpu.device.memory}
        self._cache: Any = None
        self._preview: dict[str, bool] = {}
        self._devices: dict[str, Any] = {}
        self._level, self._aux, self._average, self._dla = 3, -1, 1, -1
        self._verbosity = world.enum("ProfilingVerbosity", "LAYER_NAMES_ONLY")
        self._tactics = 0

    @property
    def _origin(self) -> list[str]:
        return [self._world.api.version, self._world.gpu.device.name]

    def _do_set_flag(self, flag: Any) -> None:
        self._flags.add(flag.name)

    def _do_clear_flag(self, flag: Any) -> None:
        self._flags.discard(flag.name)

    def _do_get_flag(self, flag: Any) -> bool:
        return flag.name in self._flags

    def _get_flags(self) -> int:
        members = self._world.types["BuilderFlag"].__members__
        return sum(1 << int(members[name]) for name in self._flags)

    def _set_flags(self, value: int) -> None:
        members = self._world.types["BuilderFlag"].__members__
        self._flags = {name for name, flag in members.items() if value >> int(flag) & 1}

    def _do_set_memory_pool_limit(self, pool: Any, size: int) -> None:
        self._pools[pool.name] = size

    def _do_get_memory_pool_limit(self, pool: Any) -> int:
        return self._pools.get(pool.name, 0)

    def _do_add_optimization_profile(self, profile: Any) -> int:
        if not profile._shapes:
            self._world.error(self._logger, f"{USAGE} (the optimization profile has no shapes)")
            return -1
        self._profiles.append(profile)
        return len(self._profiles) - 1

    def _get_num_optimization_profiles(self) -> int:
        return len(self._profiles)

    def _do_create_timing_cache(self, data: Any) -> Any:
        blob = bytes(data)
        if not blob:
            return self._world.make("ITimingCache", set(), self._origin)
        try:
            assert blob.startswith(CACHE_TAG)
            raw = json.loads(blob[len(CACHE_TAG) :])
        except (AssertionError, ValueError):
            self._world.error(self._logger, f"{INVALID} (the timing cache cannot be read)")
            return None
        return self._world.make("ITimingCache", set(raw["entries"]), raw["origin"])

    def _do_set_timing_cache(self, cache: Any, ignore_mismatch: bool) -> bool:
        if cache is not None and cache._origin != self._origin and not ignore_mismatch:
            self._world.log(
                self._logger, "WARNING", "The timing cache is of another device or release."
            )
            return False
        self._cache = cache
        return True

    def _do_get_timing_cache(self) -> Any:
        return self._cache

    def _do_set_preview_feature(self, feature: Any, enable: bool) -> None:
        self._preview[feature.name] = enable

    def _do_get_preview_feature(self, feature: Any) -> bool:
        return self._preview.get(feature.name, self._always(feature.name))

    def _always(self, name: str) -> bool:
        """10 shares profiles whether asked to or not."""
        return name == "PROFILE_SHARING_0806" and not self._world.api.release.startswith("8.")

    def _do_set_tactic_sources(self, sources: int) -> bool:
        self._tactics = sources
        return True

    def _do_get_tactic_sources(self) -> int:
        return self._tactics

    def _do_set_device_type(self, layer: Any, device_type: Any) -> None:
        self._devices[layer._node.name] = device_type

    def _do_get_device_type(self, layer: Any) -> Any:
        return self._devices.get(layer._node.name, self.default_device_type)

    def _do_can_run_on_DLA(self, layer: Any) -> bool:  # noqa: N802
        return layer._node.op in DLA_OPERATORS

    def _get_default_device_type(self) -> Any:
        return self._devices.get("", self._world.enum("DeviceType", "GPU"))

    def _set_default_device_type(self, value: Any) -> None:
        self._devices[""] = value

    def _get_DLA_core(self) -> int:  # noqa: N802
        return self._dla

    def _set_DLA_core(self, value: int) -> None:  # noqa: N802
        self._dla = value

    def _get_builder_optimization_level(self) -> int:
        return self._level

    def _set_builder_optimization_level(self, value: int) -> None:
        self._level = value

    def _get_max_aux_streams(self) -> int:
        return self._aux

    def _set_max_aux_streams(self, value: int) -> None:
        self._aux = value

    def _get_avg_timing_iterations(self) -> int:
        return self._average

    def _set_avg_timing_iterations(self, value: int) -> None:
        self._average = value

    def _get_profiling_verbosity(self) -> Any:
        return self._verbosity

    def _set_profiling_verbosity(self, value: Any) -> None:
        self._verbosity = value

    def _get_max_workspace_size(self) -> int:
        return self._pools["WORKSPACE"]

    def _set_max_workspace_size(self, value: int) -> None:
        self._pools["WORKSPACE"] = value


class Builder(Part):
    """Builds plans; without a GPU it cannot be constructed."""

    def _start(self, logger: Any) -> None:
        self._logger = logger
        world = self._world
        if not world.present:
            world.error(logger, "CUDA initialization failure with error: 35")
            raise TypeError("pybind11::init(): factory function returned nullptr")
        world.alive.add(self)
        world.use(self, logger)
        world.log(logger, "INFO", "[MemUsageChange] Init CUDA: CPU +0, GPU +0")

    def _get_logger(self) -> Any:
        return self._logger

    def _do_create_network(self, flags: int) -> Any:
        return self._world.make("INetworkDefinition", self, flags)

    def _do_create_builder_config(self) -> Any:
        return self._world.make("IBuilderConfig", self)

    def _do_create_optimization_profile(self) -> Any:
        return self._world.make("IOptimizationProfile")

    def _get_num_DLA_cores(self) -> int:  # noqa: N802
        return self._world.gpu.device.dla_cores

    def _get_max_DLA_batch_size(self) -> int:  # noqa: N802
        return 4096 if self._world.gpu.device.dla_cores else 0

    def _get_platform_has_fast_fp16(self) -> bool:
        return True

    def _get_platform_has_fast_int8(self) -> bool:
        return True

    def _get_platform_has_tf32(self) -> bool:
        return self._world.gpu.device.compute >= (8, 0)

    def _do_is_network_supported(self, network: Any, config: Any) -> bool:
        from trt_fakes.build_checks import problem

        return problem(self._world, network, config) is None

    def _do_build_serialized_network(self, network: Any, config: Any) -> Any:
        from trt_fakes.build_checks import calibrate, monitored, problem

        world = self._world
        found = problem(world, network, config)
        if found is not None:
            if found:
                world.error(self._logger, found)
            return None
        calibrated = calibrate(world, config, network, self._logger)
        layers = build_layers(
            network._model,
            frozenset(config._flags),
            network._strong,
            _insisted(network, config),
            world.failures.chosen,
            calibrated,
        )
        if not monitored(config, layers):
            return None
        if config._cache is not None:
            config._cache._entries |= {f"{layer.name}:{layer.precision}" for layer in layers}
        hardware = config.hardware_compatibility_level
        info = PlanInfo(
            version=world.api.version,
            device=world.gpu.device.name,
            compute=world.gpu.device.compute,
            tensors=tuple(network._tensors()),
            layers=layers,
            profiles=tuple(p._shapes for p in config._profiles),
            verbosity=config._verbosity.name,
            flags=tuple(sorted(config._flags)),
            hardware=hardware.name if hardware is not None else "NONE",
            typing="strong" if network._strong else "weak",
            dla_core=config._dla if _on_dla(config) else -1,
            settings={
                "level": config._level,
                "pools": dict(config._pools),
                "preview": sorted(name for name, on in config._preview.items() if on),
            },
        )
        return world.types["IHostMemory"]("B", pack(info, network._model.data))

    def _do_build_engine(self, *values: Any) -> Any:
        raise NotPlayedError("build_engine: only build_serialized_network is in all releases")


def _on_dla(config: Any) -> bool:
    """A DLA knows no open sizes: where a profile has some, everything falls back to the GPU without
    a word (NVIDIA: "DLA Supported Layers and Restrictions")."""
    shapes = [s for profile in config._profiles for s in profile._shapes.values()]
    return config.default_device_type.name == "DLA" and all(len(set(s)) == 1 for s in shapes)


def _insisted(network: Any, config: Any) -> dict[str, str]:
    """Types that the network's layers must run in, where the configuration honours them."""
    honoured = config._flags & {"OBEY_PRECISION_CONSTRAINTS", "PREFER_PRECISION_CONSTRAINTS"}
    return dict(network._fixed) if honoured and not network._strong else {}
