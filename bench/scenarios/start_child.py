"""One start of one engine, measured from within: the child process of ``start``."""

from __future__ import annotations

import importlib
import json
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

STEADY_RUNS = 7


def _ms(start_ns: int) -> float:
    return (time.perf_counter_ns() - start_ns) / 1e6


def main(order: dict[str, Any]) -> None:
    """Open and run as ordered (the fields of ``start.Order``); print one JSON object."""
    from edgereid.bench.opening import noise
    from edgereid.bench.process import peak_resident_bytes, resident_bytes
    from edgereid.engines.base import EngineOptions
    from edgereid.engines.open import RUNTIMES, open_engine
    from edgereid.images import Preprocessing

    preprocessing = Preprocessing(order["height"], order["width"], input=order["input"])
    image = noise(order["batch"], preprocessing)
    start = time.perf_counter_ns()
    importlib.import_module(RUNTIMES[order["runtime"]].factory.partition(":")[0])
    import_ms, before = _ms(start), resident_bytes()
    start = time.perf_counter_ns()
    choices = ("threads", "precision", "trust", "cuda_graph")
    options = EngineOptions(**{name: order[name] for name in choices})
    with open_engine(Path(order["path"]), options, runtime=order["runtime"]) as engine:
        load_ms, times = _ms(start), []
        for _ in range(1 + STEADY_RUNS):
            start = time.perf_counter_ns()
            engine.run(image)
            times.append(_ms(start))
            if len(times) == 1:
                after = resident_bytes()
    report = {
        "import_ms": import_ms,
        "load_ms": load_ms,
        "first_ms": times[0],
        "steady_ms": median(times[1:]),
        "process_bytes": before,
        "engine_bytes": None if before is None or after is None else after - before,
        "peak_bytes": peak_resident_bytes(),
    }
    sys.stdout.write(json.dumps(report) + "\n")
