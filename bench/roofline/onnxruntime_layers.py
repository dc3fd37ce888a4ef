"""The plan of ONNX Runtime: its own profile, a JSON file with an event for each operator it runs.

After fusion an operator carries the name of a node it was made of, with marks of the rewriting
around it; what has no such name was put in by the runtime (changes of layout).
"""

from __future__ import annotations

import math
import re
import statistics
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnxruntime as ort

from edgereid.bench.roofline.layers import Batch, Profile, ProfileOptions, RuntimeLayer
from edgereid.cpus import usable_cpus
from edgereid.engines.base import EngineOptions
from edgereid.engines.onnxruntime import PROVIDERS, session_options
from edgereid.engines.vendor import runtime_errors
from edgereid.errors import InputError
from edgereid.files import read_json

_EVENT = "_kernel_time"
_MARKS = re.compile(r"^fused |(_nchwc|_token_\d+|/\w+Fusion/?)+$")
#: ONNX Runtime's word for a type -> bytes of a number.
_TYPES = {"float": 4, "int32": 4, "int64": 8, "uint8": 1, "int8": 1, "float16": 2, "bfloat16": 2}
_EIGHT_BITS = ("uint8", "int8")


def profile(
    path: Path, options: EngineOptions, batches: Sequence[Batch], wanted: ProfileOptions
) -> Profile:
    """Run ``path`` with profiling on, with the settings of the engine. Raises InputError."""
    with tempfile.TemporaryDirectory(prefix="edgereid-profile-") as folder:
        settings = session_options(options.threads or usable_cpus())
        settings.enable_profiling = True
        settings.profile_file_prefix = str(Path(folder) / "run")
        with runtime_errors(f"ONNX Runtime cannot profile {path}"):
            session = ort.InferenceSession(str(path), settings, providers=PROVIDERS)
            name = session.get_inputs()[0].name
            for run in range(wanted.warmup_runs + wanted.runs):
                session.run(None, {name: batches[run % len(batches)]})
            events = read_json(Path(session.end_profiling()))
    return from_events(events, wanted.warmup_runs)


def from_events(events: Any, skip: int) -> Profile:
    """The plan in the events of a profile, without its first ``skip`` runs; times are medians.

    Raises InputError when the events are none of a profile.
    """
    try:
        runs = sorted((e["ts"], e["ts"] + e["dur"]) for e in events if e["name"] == "model_run")[
            skip:
        ]
        found = [e for e in events if e["cat"] == "Node" and e["name"].endswith(_EVENT)]
        times: dict[tuple[str, str], list[float]] = {}
        first: dict[tuple[str, str], Any] = {}
        for event in found:
            if runs and runs[0][0] <= event["ts"] <= runs[-1][1]:
                key = (event["name"], event["args"]["node_index"])
                times.setdefault(key, []).append(event["dur"] / 1e3)
                first.setdefault(key, event)
        layers = tuple(_layer(first[key], statistics.median(ms)) for key, ms in times.items())
    except (KeyError, TypeError) as error:
        raise InputError(f"ONNX Runtime's profile is not understood ({error!r}).") from error
    if not layers:
        raise InputError("ONNX Runtime's profile names no operator.")
    whole = statistics.median((end - start) / 1e3 for start, end in runs)
    return Profile(layers, len(runs), whole)


def _layer(event: Mapping[str, Any], ms: float) -> RuntimeLayer:
    args = event["args"]
    name = event["name"].removesuffix(_EVENT)
    reads, writes = _tensors(args["input_type_shape"]), _tensors(args["output_type_shape"])
    first_in = next((kind for kind, _ in reads), "float")
    first_out = next((kind for kind, _ in writes), "float")
    eight_bits = args["op_name"].startswith("QLinear") or first_in in _EIGHT_BITS
    return RuntimeLayer(
        name=name,
        kind=args["op_name"],
        ms=ms,
        precision="int8" if eight_bits else "f32",
        sources=(_MARKS.sub("", name),),
        read_width=_TYPES.get(first_in, 4),
        write_width=_TYPES.get(first_out, 4),
        weight_width=1 if eight_bits else 4,
        traffic=sum(_TYPES.get(kind, 4) * math.prod(shape) for kind, shape in (*reads, *writes)),
    )


def _tensors(described: Iterable[Mapping[str, Sequence[int]]]) -> list[tuple[str, Sequence[int]]]:
    """[{"float": [1, 3]}] -> [("float", [1, 3])]."""
    return [item for tensor in described for item in tensor.items()]
