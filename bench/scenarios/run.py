"""Run the scenarios on the engines that a bench run has opened."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.inputs import BUFFERS, arrays
from edgereid.bench.latency import Clock, LatencyOptions, Runner
from edgereid.bench.opening import Opened, has_graphs, reference_of
from edgereid.bench.scenarios.offline import Pool, run_offline
from edgereid.bench.scenarios.options import (
    MULTI_STREAM,
    OFFLINE,
    SERVER,
    SINGLE_STREAM,
    START,
    ScenarioOptions,
    ServerOptions,
)
from edgereid.bench.scenarios.queue import Submit, Wait, wait_until
from edgereid.bench.scenarios.result import (
    Offline,
    RowScenarios,
    Scenarios,
    Server,
    Setting,
    Start,
    Stream,
    Trial,
)
from edgereid.bench.scenarios.server import run_server
from edgereid.bench.scenarios.start import Order, Spawn, run_starts, spawn
from edgereid.bench.scenarios.streams import (
    MULTI_PERCENTILE,
    SINGLE_PERCENTILE,
    Contender,
    run_streams,
)
from edgereid.bench.scenarios.sweep import OpenWith, sweep_threads
from edgereid.bench.scenarios.trial import Bench
from edgereid.data.types import ReidDataset
from edgereid.engines.base import EngineOptions
from edgereid.evaluation.result import LeftOut
from edgereid.images import Preprocessing
from edgereid.progress import note

Images = NDArray[np.float32]
SERVER_CROPS = 64


@dataclass(frozen=True, slots=True)
class Setup:
    """What every scenario needs to know of the bench run around it."""

    opened: Sequence[Opened]
    dataset: ReidDataset | None
    batches: tuple[int, ...]
    latency: LatencyOptions
    engine_options: EngineOptions
    open_with: OpenWith
    clock: Clock
    wait: Wait = wait_until
    spawn: Spawn = spawn


def run_scenarios(options: ScenarioOptions, setup: Setup) -> Scenarios:
    """All scenarios asked for, one after the other; engines that cannot take part are listed."""
    left_out: list[LeftOut] = []

    def asked(name: str) -> bool:
        if name in options.names:
            note(f"scenario {name}")
        return name in options.names

    single = _stream(setup, 1, SINGLE_PERCENTILE, left_out) if asked(SINGLE_STREAM) else {}
    multi = _stream(setup, options.frame, MULTI_PERCENTILE, left_out) if asked(MULTI_STREAM) else {}
    offline = _offline(setup, options.pool) if asked(OFFLINE) else {}
    servers = _servers(setup, options.server, left_out) if asked(SERVER) else {}
    starts = _starts(setup) if asked(START) else {}
    rows = tuple(
        RowScenarios(
            o.key,
            o.label,
            single.get(o.key),
            multi.get(o.key),
            offline.get(o.key),
            servers.get(o.key),
            starts.get(o.key),
        )
        for o in _references_first(setup.opened)
    )
    return Scenarios(options.names, rows, _threads(setup, options.threads), tuple(left_out))


def _references_first(opened: Sequence[Opened]) -> list[Opened]:
    """In the order of the rows of the result: group by group, its reference first."""
    groups = list(dict.fromkeys(o.candidate.group for o in opened))
    return sorted(
        opened, key=lambda o: (groups.index(o.candidate.group), reference_of(o, opened) != o.key)
    )


def _crops(setup: Setup, opened: Opened, batch: int) -> list[Images]:
    return arrays(setup.dataset, opened.preprocessing, batch, setup.latency.seed)


def _takes(opened: Opened, batch: int, name: str, left_out: list[LeftOut]) -> bool:
    if opened.batch in (None, batch):
        return True
    reason = f"this engine takes batches of {opened.batch} only."
    left_out.append(LeftOut(f"{opened.label} in {name}", reason))
    return False


def _stream(
    setup: Setup, batch: int, percentile: int, left_out: list[LeftOut]
) -> dict[str, Stream]:
    name = SINGLE_STREAM if batch == 1 else MULTI_STREAM
    able = [o for o in setup.opened if _takes(o, batch, name, left_out)]
    contenders = [
        Contender(
            o.key,
            Runner(o.label, o.engine.run, _crops(setup, o, batch)),
            reference_of(o, setup.opened),
        )
        for o in able
    ]
    if not contenders:
        return {}
    return run_streams(contenders, batch, percentile, setup.latency, setup.clock)


def _offline(setup: Setup, size: int) -> dict[str, Offline]:
    images = {p: _pool(setup, p, size) for p in {o.preprocessing for o in setup.opened}}
    pools = [
        Pool(
            o.key,
            o.engine.run,
            images[o.preprocessing],
            setup.batches if o.batch is None else (o.batch,),
        )
        for o in setup.opened
    ]
    return run_offline(pools, setup.latency, setup.clock)


def _pool(setup: Setup, preprocessing: Preprocessing, size: int) -> Images:
    part = -(-size // BUFFERS)
    parts = arrays(setup.dataset, preprocessing, part, setup.latency.seed)
    return np.concatenate(parts)[:size]


def submitter(run: Callable[[Images], object], crops: Images) -> Submit:
    """Serve so many queries: the next crops of ``crops`` (N, 3, H, W), around and around."""
    position = 0

    def submit(count: int) -> None:
        nonlocal position
        if position + count > len(crops):
            position = 0
        run(crops[position : position + count])
        position += count

    return submit


def _tell(trial: Trial) -> None:
    note(f"    {trial.rate_per_s:.1f} queries/s: {trial.verdict} ({trial.count:,} queries)")


def _servers(
    setup: Setup, options: ServerOptions | None, left_out: list[LeftOut]
) -> dict[str, Server]:
    """One engine after the other: a queue lives in real time and cannot take turns."""
    assert options is not None  # checked by ScenarioOptions
    found = {}
    for o in setup.opened:
        if o.batch is not None and (o.batch, options.max_batch) != (1, 1):
            reason = f"this engine takes batches of {o.batch} only."
            left_out.append(LeftOut(f"{o.label} in {SERVER}", reason))
            continue
        note(f"  {o.label}")
        crops = _pool(setup, o.preprocessing, max(SERVER_CROPS, options.max_batch))
        bench = Bench(submitter(o.engine.run, crops), options.max_batch, setup.clock, setup.wait)
        found[o.key] = run_server(bench, options, _tell)
    return found


def _starts(setup: Setup) -> dict[str, Start]:
    orders = {
        o.key: Order.of(
            str(o.candidate.path.resolve()),
            o.engine.info.runtime,
            o.candidate.precision,
            setup.engine_options.threads,
            setup.engine_options.trust,
            o.batch,
            o.preprocessing,
            setup.engine_options.cuda_graph if has_graphs(o.candidate) else None,
        )
        for o in setup.opened
    }
    return run_starts(orders, setup.spawn)


def _threads(setup: Setup, threads: Sequence[int]) -> tuple[Setting, ...]:
    if not threads:
        return ()
    note("sweep over threads")
    return sweep_threads(
        setup.open_with, threads, setup.batches, setup.dataset, setup.latency, setup.clock
    )
