"""One engine beside the roof: its graph counted, its plan profiled and joined, each step judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from edgereid.bench.candidates import Candidate
from edgereid.bench.latency import Samples
from edgereid.bench.opening import Opened
from edgereid.bench.roofline.bandwidth import CACHE, DRAM
from edgereid.bench.roofline.join import Work, join
from edgereid.bench.roofline.layers import (
    WIDTHS,
    Batch,
    Profile,
    ProfileOptions,
    Profiler,
    profiler_of,
)
from edgereid.bench.roofline.network import Network, read_network
from edgereid.bench.roofline.result import (
    Band,
    EngineRoofline,
    Layer,
    Peak,
    Plan,
    best_band,
    best_peak,
)
from edgereid.bench.roofline.roof import Roof, Standing, stand
from edgereid.bench.stats import summarise
from edgereid.bundle import Bundle
from edgereid.engines.base import EngineOptions
from edgereid.errors import EdgeReidError

#: A step that a runtime's clock of microseconds shows as 0 counts as half of one.
SHORTEST_MS = 0.0005
Profilers = Callable[[str], "Profiler | None"]


@dataclass(frozen=True, slots=True)
class Roofs:
    """The roofs of this machine, by precision and by level of memory: the best runs, because a roof
    is what the machine can do at all."""

    peaks: tuple[Peak, ...]
    bands: tuple[Band, ...]
    cache_bytes: int | None

    def of(self, precision: str, level: str) -> Roof | None:
        """None where the peak of the precision, or the bandwidth, was not measured."""
        peak, band = best_peak(self.peaks, precision), best_band(self.bands, level)
        if peak is None or band is None:
            return None
        return Roof(peak.rate.best, band.rate.best)

    def level(self, nbytes: float) -> str:
        """The nearest level that was measured and holds so many bytes."""
        fits = self.cache_bytes is not None and nbytes <= self.cache_bytes
        return CACHE if fits and best_band(self.bands, CACHE) is not None else DRAM


@dataclass(frozen=True, slots=True)
class Task:
    """An engine to judge. ``batches`` are what it is fed when profiled."""

    opened: Opened
    samples: Samples
    batches: Sequence[Batch]
    graph: Path | None


def graph_of(candidate: Candidate, given: Path | None) -> Path | None:
    """The ONNX file that an engine's work is counted from: the one given, itself, or the float
    network of its bundle."""
    if given is not None or candidate.path.suffix == ".onnx":
        return given or candidate.path
    if not candidate.group:
        return None
    bundle = Bundle.open(candidate.path, verify=False)  # it was verified to open the engine
    return next((bundle.path(file) for file in bundle.find("float")), None)


def judge(
    task: Task, roofs: Roofs, wanted: ProfileOptions, profilers: Profilers = profiler_of
) -> EngineRoofline:
    """Count, profile, join and compare. What one engine does not tell is absent, with the reason.

    Raises InputError when the graph cannot be read."""
    opened, info = task.opened, task.opened.engine.info
    absent: list[str] = []
    network = _counted(task, absent)
    width = WIDTHS.get(info.precision, 4)
    level = DRAM if network is None else roofs.level(width * network.working_set)
    plan = None
    if network is not None:
        try:
            plan = _plan(task, network, roofs, level, wanted, profilers)
        except EdgeReidError as error:
            absent.append(str(error).rstrip("."))
    summary = summarise(task.samples.all_ns, len(task.batches[0]))
    nbytes = _bytes(network, plan, width)
    roof = roofs.of(info.precision, level)
    if roof is None:
        absent.append(f"no peak of {info.precision} was measured")
    whole = None
    if roof is not None and network is not None and nbytes is not None:
        whole = stand(summary.p50_ms / 1e3, network.macs, nbytes, roof)
    return EngineRoofline(
        key=opened.key,
        label=opened.label,
        runtime=info.runtime,
        precision=info.precision,
        threads=info.threads,
        p50_ms=summary.p50_ms,
        cv=summary.cv,
        macs=None if network is None else network.macs,
        nbytes=nbytes,
        level=level,
        roof=roof,
        whole=whole,
        at_roof_ms=_at_roof_ms(whole, plan),
        plan=plan,
        absent=tuple(absent),
    )


def _counted(task: Task, absent: list[str]) -> Network | None:
    """The engine's graph; what it does not tell is added to ``absent``."""
    if task.graph is None:
        absent.append("no ONNX graph to count its work from: give --graph FILE")
        return None
    network = read_network(task.graph, len(task.batches[0]))
    if network.uncounted:
        absent.append(f"no MACs of {len(network.uncounted)} nodes: their shapes are not known")
    return network


def _bytes(network: Network | None, plan: Plan | None, width: int) -> int | None:
    """What its steps move, or, untold, what the graph's nodes would move one by one."""
    if plan is not None and all(layer.nbytes is not None for layer in plan.layers):
        return sum(layer.nbytes or 0 for layer in plan.layers)
    return None if network is None else width * network.moved


def _at_roof_ms(whole: Standing | None, plan: Plan | None) -> float | None:
    """By steps where all of them have a roof: a sum of bounds is tighter than a bound of sums."""
    if plan is not None:
        standings = [layer.standing for layer in plan.layers]
        if all(s is not None for s in standings):
            return 1e3 * sum(s.at_roof for s in standings if s is not None)
    return None if whole is None else 1e3 * whole.at_roof


def _plan(
    task: Task,
    network: Network,
    roofs: Roofs,
    level: str,
    wanted: ProfileOptions,
    profilers: Profilers,
) -> Plan:
    """Raises EdgeReidError where the runtime does not tell."""
    info = task.opened.engine.info
    profiler = profilers(info.runtime)
    if profiler is None:
        raise EdgeReidError(f"{info.runtime} does not tell what its layers take")
    candidate = task.opened.candidate
    options = EngineOptions(info.threads, candidate.precision, trust=True)
    profile: Profile = profiler(candidate.path, options, task.batches, wanted)
    joined = join(network, profile.layers)
    roof_of: Mapping[str, Roof | None] = {p: roofs.of(p, level) for p in WIDTHS}
    return Plan(
        layers=tuple(_layer(work, roof_of.get(work.layer.precision)) for work in joined.works),
        runs=profile.runs,
        run_ms=profile.run_ms,
        time_share=joined.time_share,
        macs_share=joined.macs_share,
        lost=joined.lost,
    )


def _layer(work: Work, roof: Roof | None) -> Layer:
    layer = work.layer
    standing = None
    if roof is not None and work.macs is not None and work.nbytes is not None:
        seconds = max(layer.ms, SHORTEST_MS) / 1e3
        standing = stand(seconds, work.macs, work.nbytes, roof)
    return Layer(
        name=layer.name,
        kind=layer.kind,
        precision=layer.precision,
        nodes=work.nodes,
        ms=layer.ms,
        macs=work.macs,
        nbytes=work.nbytes,
        standing=standing,
    )
