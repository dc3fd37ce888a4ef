"""Start: how long and how much memory it takes from nothing to the first embedding.

Each start is a process of its own, so that no engine profits from what another has loaded; engines
take turns. The files are in the operating system's cache after the first of them.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from edgereid.bench.scenarios.result import Start
from edgereid.errors import InputError
from edgereid.images import Preprocessing

RUNS = 5
TIMEOUT_S = 600
#: The child finds modules where its parent does.
_CHILD = (
    "import json, sys; order = json.loads(sys.argv[1]); sys.path[:] = order.pop('sys_path'); "
    "from edgereid.bench.scenarios.start_child import main; main(order)"
)


@dataclass(frozen=True, slots=True)
class Order:
    """What a child process is to open and run. ``path`` is absolute."""

    path: str
    runtime: str
    precision: str | None
    threads: int | None
    trust: bool
    batch: int
    height: int
    width: int
    input: str
    cuda_graph: bool | None = None

    @classmethod
    def of(
        cls,
        path: str,
        runtime: str,
        precision: str | None,
        threads: int | None,
        trust: bool,
        batch: int | None,
        preprocessing: Preprocessing,
        cuda_graph: bool | None = None,
    ) -> Order:
        """``batch`` None: any size, so one image."""
        size = 1 if batch is None else batch
        p = preprocessing
        shape = p.height, p.width, p.input
        return cls(path, runtime, precision, threads, trust, size, *shape, cuda_graph)


Report = Mapping[str, float | None]
Spawn = Callable[[Order], Report]


def spawn(order: Order) -> Report:
    """Start once in a new process. Raises InputError when it fails there."""
    words = json.dumps({**asdict(order), "sys_path": sys.path})
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, words],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise InputError(f"{order.path} did not start within {TIMEOUT_S} s.") from error
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise InputError(f"{order.path} does not start in a process of its own: {last}")
    report: Report = json.loads(done.stdout.splitlines()[-1])
    return report


def run_starts(
    orders: Mapping[str, Order], spawn: Spawn = spawn, runs: int = RUNS
) -> dict[str, Start]:
    """Medians over ``runs`` starts, by row."""
    reports: dict[str, list[Report]] = {key: [] for key in orders}
    for _ in range(runs):
        for key, order in orders.items():
            reports[key].append(spawn(order))
    return {key: _summary(found) for key, found in reports.items()}


def _summary(reports: Sequence[Report]) -> Start:
    def time(name: str) -> float:
        return median(r[name] or 0.0 for r in reports)

    def memory(name: str) -> int | None:
        known = [value for r in reports if (value := r[name]) is not None]
        return int(median(known)) if known else None

    return Start(
        runs=len(reports),
        import_ms=time("import_ms"),
        load_ms=time("load_ms"),
        first_ms=time("first_ms"),
        steady_ms=time("steady_ms"),
        process_bytes=memory("process_bytes"),
        engine_bytes=memory("engine_bytes"),
        peak_bytes=memory("peak_bytes"),
    )
