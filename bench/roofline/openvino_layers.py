"""The plan of OpenVINO: performance counters of an infer request, and the runtime's own graph,
which names the layers of the file that each of its steps stands for."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from edgereid.bench.roofline.layers import Batch, Profile, ProfileOptions, RuntimeLayer
from edgereid.engines.base import EngineOptions
from edgereid.engines.openvino import OpenVINOEngine
from edgereid.engines.vendor import runtime_errors

_EXECUTED = "Status.EXECUTED"
#: OpenVINO's word for a type -> our precision, and bytes of a number.
_PRECISIONS = {"u8": "int8", "i8": "int8", "bf16": "bf16", "f16": "f16"}
_WIDTHS = {"u8": 1, "i8": 1, "bf16": 2, "f16": 2, "i64": 8}


class _Counting(OpenVINOEngine):
    """The engine with its counters on; ``compiled`` holds the network it compiled last."""

    compiled: Any

    def __enter__(self) -> _Counting:
        return self

    def _compile(self, batch: int | None) -> Any:
        self._config["PERF_COUNT"] = True
        self.compiled = super()._compile(batch)
        return self.compiled

    def counters(self, batch: int) -> dict[str, float]:
        """Name of a step that the last run executed -> milliseconds."""
        return {
            info.node_name: info.real_time.total_seconds() * 1e3
            for info in self._request(batch).get_profiling_info()
            if str(info.status) == _EXECUTED
        }


def profile(
    path: Path, options: EngineOptions, batches: Sequence[Batch], wanted: ProfileOptions
) -> Profile:
    """Run ``path`` with counters on, with the settings of the engine. Raises InputError."""
    times: dict[str, list[float]] = {}
    whole: list[float] = []
    with _Counting(path, options) as engine, runtime_errors(f"OpenVINO cannot profile {path}"):
        for _ in range(wanted.warmup_runs):
            engine.run(batches[0])
        for run in range(wanted.runs):
            start = time.perf_counter()
            engine.run(batches[run % len(batches)])
            whole.append((time.perf_counter() - start) * 1e3)
            for name, ms in engine.counters(len(batches[0])).items():
                times.setdefault(name, []).append(ms)
        graph = {op.get_friendly_name(): op for op in engine.compiled.get_runtime_model().get_ops()}
    layers = tuple(
        _layer(name, graph.get(name), statistics.median(ms)) for name, ms in times.items()
    )
    return Profile(layers, len(whole), statistics.median(whole))


def _layer(name: str, op: Any, ms: float) -> RuntimeLayer:
    """A step with what the runtime's graph says of it; a step that is not there says nothing."""
    if op is None:
        return RuntimeLayer(name, "unknown", ms, "f32", (name,), 4, 4, 4, None)
    info = _info(op)
    data = [(p, _source(p)) for p in op.inputs()]
    constants = [_type(port) for port, source in data if _is_constant(source)]
    reads = [port for port, source in data if not _is_constant(source)]
    precision = _PRECISIONS.get(info.get("runtimePrecision", ""), "f32")
    return RuntimeLayer(
        name=name,
        kind=info.get("layerType", "unknown"),
        ms=ms,
        precision=precision,
        sources=tuple(filter(None, info.get("originalLayersNames", "").split(","))),
        read_width=_WIDTHS.get(_type(reads[0]), 4) if reads else 4,
        write_width=_WIDTHS.get(info.get("outputPrecisions", "").partition(",")[0], 4),
        weight_width=_WIDTHS.get(constants[0], 4) if constants else 4,
        traffic=_traffic(op, reads),
    )


def _info(op: Any) -> Mapping[str, str]:
    known = op.get_rt_info()
    keys = ("originalLayersNames", "runtimePrecision", "layerType", "outputPrecisions")
    return {key: known[key].astype(str) for key in keys if key in known}


def _source(port: Any) -> Any:
    return port.get_source_output().get_node()


def _is_constant(op: Any) -> bool:
    return _info(op).get("layerType") == "Const"


def _type(port: Any) -> str:
    """What the step before writes at this port."""
    output = port.get_source_output()
    types = _info(output.get_node()).get("outputPrecisions", "").split(",")
    return str(types[min(output.get_index(), len(types) - 1)])


def _traffic(op: Any, reads: Sequence[Any]) -> int | None:
    shapes = [port.get_partial_shape() for port in (*reads, *op.outputs())]
    if any(shape.is_dynamic for shape in shapes):
        return None
    out = _info(op).get("outputPrecisions", "").partition(",")[0]
    kinds = [*map(_type, reads), *(out for _ in op.outputs())]
    pairs = zip(kinds, shapes, strict=True)
    return sum(
        _WIDTHS.get(kind, 4) * math.prod(map(int, shape.to_shape())) for kind, shape in pairs
    )
