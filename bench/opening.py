"""Open the candidates together, and say which cannot run here and why."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edgereid.bench.candidates import REFERENCES, Candidate, file_bytes
from edgereid.bench.process import resident_bytes
from edgereid.engines.base import Engine, EngineOptions
from edgereid.errors import EdgeReidError, IntegrityError, MissingRuntimeError, UsageError
from edgereid.evaluation.result import LeftOut
from edgereid.evaluation.targets import label
from edgereid.images import Batch, Preprocessing, batch_of

Opener = Callable[[Path, EngineOptions, "str | None"], Engine]


def open_with_runtime(path: Path, options: EngineOptions, runtime: str | None) -> Engine:
    """``open_engine``, imported when first needed."""
    from edgereid.engines.open import open_engine

    return open_engine(path, options, runtime=runtime)


@dataclass(frozen=True, slots=True)
class Opened:
    """An engine ready to be measured. ``batch``: the only batch size it takes, None for any."""

    key: str
    label: str
    precision: str
    candidate: Candidate
    engine: Engine
    preprocessing: Preprocessing
    bytes: int
    load_ms: float
    first_run_ms: float
    resident_growth_bytes: int | None

    @property
    def batch(self) -> int | None:
        return self.engine.inputs[0].shape[0]

    @property
    def under_test(self) -> bool:
        return self.candidate.under_test and self.precision != "f32"


def _preprocessing(candidate: Candidate, engine: Engine) -> Preprocessing:
    height, width = engine.input_size
    stated = candidate.preprocessing or Preprocessing(height, width)
    return stated.taken_as(engine.inputs[0].dtype)


def _open(candidate: Candidate, options: EngineOptions, opener: Opener, stack: ExitStack) -> Opened:
    """Open, and run once on noise: a runtime may fail only then."""
    before = resident_bytes()
    start = time.perf_counter_ns()
    graph = options.cuda_graph if has_graphs(candidate) else None
    chosen = replace(options, precision=candidate.precision, cuda_graph=graph)
    engine = stack.enter_context(opener(candidate.path, chosen, candidate.runtime))
    load_ns = time.perf_counter_ns() - start
    if candidate.precision is not None and engine.info.precision != candidate.precision:
        raise UsageError(
            f"{candidate.precision} was asked for, but this processor runs it as "
            f"{engine.info.precision}."
        )
    preprocessing = _preprocessing(candidate, engine)
    fixed = engine.inputs[0].shape[0]
    first = noise(1 if fixed is None else fixed, preprocessing)
    start = time.perf_counter_ns()
    engine.run(first)
    first_ns = time.perf_counter_ns() - start
    after = resident_bytes()
    precision = candidate.stated_precision or engine.info.precision
    return Opened(
        key=candidate.key,
        label=label(engine.info.runtime, precision),
        precision=precision,
        candidate=candidate,
        engine=engine,
        preprocessing=preprocessing,
        bytes=file_bytes(candidate.path),
        load_ms=load_ns / 1e6,
        first_run_ms=first_ns / 1e6,
        resident_growth_bytes=None if before is None or after is None else after - before,
    )


def has_graphs(candidate: Candidate) -> bool:
    """Whether its runtime can replay CUDA graphs."""
    from edgereid.engines.open import RUNTIMES, SUFFIXES

    named = RUNTIMES.get(candidate.runtime or "")
    row = named or SUFFIXES.get(candidate.path.suffix.lower())
    return row is not None and row.cuda_graphs


def noise(count: int, preprocessing: Preprocessing, seed: int = 0) -> Batch:
    """``count`` images of preprocessed uniform noise, for want of real crops."""
    shape = (count, preprocessing.height, preprocessing.width, 3)
    pixels = np.random.default_rng(seed).integers(0, 256, size=shape, dtype=np.uint8)
    return batch_of(pixels, preprocessing)


def _describe(candidate: Candidate) -> str:
    known = label(candidate.runtime, candidate.stated_precision)
    return f"{known} ({candidate.file})" if known else candidate.file


def open_all(
    candidates: Sequence[Candidate],
    options: EngineOptions,
    stack: ExitStack,
    opener: Opener = open_with_runtime,
) -> tuple[list[Opened], list[LeftOut]]:
    """Open what runs on this machine; ``stack`` closes it.

    A candidate that cannot run is listed with its reason, unless the user named that very file:
    then its error is raised, and always an IntegrityError. Raises the first error when none opens.
    """
    opened: list[Opened] = []
    left_out: list[LeftOut] = []
    first_error: EdgeReidError | None = None
    for candidate in candidates:
        try:
            opened.append(_open(candidate, options, opener, stack))
        except IntegrityError:
            raise
        except EdgeReidError as error:
            if candidate.named:
                raise
            first_error = first_error or error
            left_out.append(LeftOut(_describe(candidate), str(error)))
    if not opened:
        raise first_error or MissingRuntimeError("no engine can run on this machine.")
    return _unique(opened, len({c.group for c in candidates}) > 1), left_out


def _numbered(text: str, taken: set[str]) -> str:
    """``text``, with a number when it is taken; the outcome is taken from now on."""
    name, n = text, 1
    while name in taken:
        n += 1
        name = f"{text} #{n}"
    taken.add(name)
    return name


def _unique(opened: Sequence[Opened], several_groups: bool) -> list[Opened]:
    """Labels and keys that tell the rows apart."""
    labels: set[str] = set()
    keys: set[str] = set()
    found: list[Opened] = []
    for o in opened:
        text = f"{o.candidate.group or o.candidate.file}: {o.label}" if several_groups else o.label
        if text in labels:
            text = f"{text} ({o.candidate.path.name})"
        found.append(replace(o, label=_numbered(text, labels), key=_numbered(o.key, keys)))
    return found


def reference_of(opened: Opened, all_opened: Sequence[Opened]) -> str | None:
    """The key of the float row this one is compared with: one of its own bundle; for a file outside
    any bundle, the first float row there is. None when there is none."""
    mine = [o for o in all_opened if o.candidate.group == opened.candidate.group]
    for pool in (mine, () if opened.candidate.group else all_opened):
        for runtime, precision in REFERENCES:
            for o in pool:
                if o.engine.info.runtime == runtime and o.precision == precision:
                    return o.key
    return None
