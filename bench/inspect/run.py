"""One inspection: files to builds, builds joined with the ONNX file, builds compared."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edgereid.bench.inspect.compare import compare
from edgereid.bench.inspect.engine import Told, Wanted, ask
from edgereid.bench.inspect.files import Given, given
from edgereid.bench.inspect.graph import Source, read_source
from edgereid.bench.inspect.join import join
from edgereid.bench.inspect.judge import notes, warnings
from edgereid.bench.inspect.layers import EngineLayer, Information
from edgereid.bench.inspect.origin import KEPT_FLOAT, Origin, origin_of
from edgereid.bench.inspect.result import BuildResult, Inspection
from edgereid.bench.inspect.times import LayerTimes, Timed, join_times
from edgereid.errors import MissingRuntimeError, UsageError

MAX_RUNS = 100_000
Asker = Callable[[Path, "InspectOptions"], Told]


@dataclass(frozen=True, slots=True)
class InspectOptions:
    """``graph``: the ONNX file the engines were built from, or its bundle; None: a plan's manifest
    says it. ``batch`` and ``runs``: for a plan, which is run to time its layers. ``profile``:
    optimisation profile to show. Raises UsageError."""

    paths: tuple[Path, ...]
    graph: Path | None = None
    batch: int = 1
    runs: int = 50
    profile: int = 0
    trust: bool = False

    def __post_init__(self) -> None:
        if self.batch < 1 or not 1 <= self.runs <= MAX_RUNS:
            raise UsageError(f"--batch needs at least 1, --runs 1 to {MAX_RUNS:,}.")
        if self.profile < 0:
            raise UsageError(f"--profile-index {self.profile}: 0 is the first.")


def inspect(options: InspectOptions, asker: Asker | None = None) -> Inspection:
    """Inspect all builds. Raises InputError, UsageError, IntegrityError and MissingRuntimeError.

    ``asker`` asks a plan for its layers and their times; the default runs it in TensorRT."""
    chosen: Asker = asker or _ask
    sources: dict[Path, Source] = {}
    builds = []
    for build in given(options.paths):
        told = chosen(build.plan, options) if build.plan is not None else None
        builds.append(_build(build, told, options, sources))
    builds = _distinct(builds)
    comparisons = tuple(compare(builds[0], other) for other in builds[1:])
    return Inspection(tuple(builds), comparisons)


def _ask(path: Path, options: InspectOptions) -> Told:
    return ask(path, Wanted(options.batch, options.runs, options.profile, options.trust))


def _build(
    build: Given, told: Told | None, options: InspectOptions, sources: dict[Path, Source]
) -> BuildResult:
    information = told.information if told is not None else build.information
    times = build.times or (told.times if told is not None else None)
    layers, timed = _layers(information, times, options.profile)
    origin = origin_of(build.path, build.plan is not None, options.graph)
    source, without = _source(origin, options, sources)
    joined = join(layers, timed.ms, source, _asked(origin, source))
    known = [ms for ms in timed.ms if ms is not None]
    found = BuildResult(
        label=build.label,
        form=None if information is None else information.form,
        steps=joined.steps,
        rows=joined.rows,
        ms=sum(known) if known else None,
        runs=times.runs if times and known else None,
        statistic=times.statistic if times and known else None,
        joined=source is not None,
        logs=build.logs,
    )
    said = (*(told.notes if told is not None else ()), *without)
    trouble = (timed.trouble,) if timed.trouble else ()
    if not layers:  # nothing but a log
        return found
    return replace(
        found,
        warnings=(*warnings(found), *trouble),
        notes=(*notes(found), *_untimed(found, timed), *said),
    )


def _layers(
    information: Information | None, times: LayerTimes | None, profile: int
) -> tuple[tuple[EngineLayer, ...], Timed]:
    """The layers and their times; a profile alone tells names."""
    if information is not None:
        layers = information.of_profile(profile)
        nothing = Timed((None,) * len(layers))
        return layers, nothing if times is None else join_times(layers, times)
    if times is None:
        return (), Timed(())
    return (
        tuple(EngineLayer(name) for name, _ in times.rows),
        Timed(tuple(ms for _, ms in times.rows)),
    )


def _untimed(build: BuildResult, timed: Timed) -> tuple[str, ...]:
    missing = sum(ms is None for ms in timed.ms)
    if build.ms is None:
        return ("no times are told: give the JSON of trtexec --exportProfile behind the layers",)
    if missing:
        return (f"no time is told of {missing} of {len(timed.ms)} layers",)
    return ()


def _source(
    origin: Origin, options: InspectOptions, known: dict[Path, Source]
) -> tuple[Source | None, tuple[str, ...]]:
    """The ONNX file, and why there is none; a device need not have the package to read it."""
    path = origin.graph
    if path is None:
        return None, (origin.why,) if origin.why else ()
    try:
        if path not in known:
            known[path] = read_source(path)
    except MissingRuntimeError as error:
        if options.graph is not None:
            raise
        return None, (str(error).rstrip("."),)
    return known[path], ()


def _asked(origin: Origin, source: Source | None) -> Mapping[str, str]:
    """The precision asked for: the manifest's, else what the file's quantizers ask for; and where
    float was to stay."""
    asked: Mapping[str, str] = {} if source is None else dict.fromkeys(source.asked, "int8")
    return {
        **(asked if origin.asked is None else origin.asked),
        **dict.fromkeys(origin.kept, KEPT_FLOAT),
    }


def _distinct(builds: list[BuildResult]) -> list[BuildResult]:
    """Give builds of one name a number."""
    names = [build.label for build in builds]
    return [
        replace(b, label=f"{b.label} ({i + 1})") if names.count(b.label) > 1 else b
        for i, b in enumerate(builds)
    ]
