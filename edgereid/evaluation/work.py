"""One process's part of one engine's work: open it, take what the cache holds, run the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.engines.base import Engine, EngineOptions
from edgereid.errors import InputError, UsageError
from edgereid.evaluation.cache import FeatureCache, Table
from edgereid.evaluation.extract import Extracted, Extraction, batch_keys, extract
from edgereid.evaluation.group import share
from edgereid.evaluation.identity import engine_files, engine_identity
from edgereid.evaluation.loading import Image, digests
from edgereid.evaluation.options import EvalOptions
from edgereid.evaluation.result import EngineFacts
from edgereid.evaluation.subject import Subject, batch_size, place_free, warm_up
from edgereid.evaluation.targets import Target, label

Opener = Callable[[Path, EngineOptions, "str | None"], Engine]
Keys = NDArray[np.uint8]  # (N, 32)


@dataclass(frozen=True, slots=True)
class Opened:
    """An engine ready to run. ``identity``: all that decides the bits of its features."""

    target: Target
    subject: Subject
    facts: EngineFacts
    identity: dict[str, Any]
    batch: int


@dataclass(frozen=True, slots=True)
class Part:
    """Features (n, D) of a share of the images; ``keys`` (n, 32) is empty without a cache."""

    extracted: Extracted
    keys: Keys


def open_with_runtime(path: Path, options: EngineOptions, runtime: str | None) -> Engine:
    """``open_engine``, imported when first needed."""
    from edgereid.engines.open import open_engine

    return open_engine(path, options, runtime=runtime)


@contextmanager
def opened(target: Target, options: EvalOptions, opener: Opener) -> Iterator[Opened]:
    """The engine, run once. Raises what opening an engine raises."""
    chosen = EngineOptions(options.threads, target.precision, options.trust)
    with opener(target.path, chosen, target.runtime) as engine:
        runs = engine.info.precision
        if target.precision is not None and runs not in (target.precision, "int8"):
            raise UsageError(
                f"{target.precision} was asked for, but this processor runs it as {runs}."
            )
        preprocessing = target.preprocessing_of(engine)
        subject = Subject(engine, preprocessing, target.distance, target.flip)
        files, extraction = engine_files(target.path), options.extraction
        batch = batch_size(engine, extraction.batch)
        warm_up(subject, batch)
        identity = engine_identity(subject, files, target.precision, extraction)
        yield Opened(target, subject, _facts(target, subject), identity, batch)


def _facts(target: Target, subject: Subject) -> EngineFacts:
    info = subject.engine.info
    precision = target.stated_precision or info.precision
    return EngineFacts(
        label=label(info.runtime, precision),
        file=target.file,
        runtime=info.runtime,
        precision=precision,
        runs_as=info.precision,
        version=info.version,
        threads=info.threads,
        preprocessing=subject.preprocessing.to_json(),
        preprocessing_from=target.source,
    )


def do_part(
    engine: Opened, paths: Sequence[Path], options: EvalOptions, rank: int = 0, size: int = 1
) -> Part:
    """Features of this process's share of ``paths``.

    Raises InputError when a file cannot be decoded or the engine fails.
    """
    mine = share(len(paths), engine.batch, rank, size)
    own = paths[mine.start : mine.stop]
    if options.cache is None:
        images = [Image(path) for path in own]
        new = extract(engine.subject, images, options.extraction, engine.facts.label)
        return Part(new, np.empty((0, 32), dtype=np.uint8))
    table = FeatureCache(options.cache).load(engine.identity)
    return _with_cache(engine, own, options.extraction, table)


def _with_cache(
    engine: Opened, paths: Sequence[Path], extraction: Extraction, table: Table
) -> Part:
    """Features from ``table``; the images that are not there are run."""
    found = digests(paths, extraction.threads)
    keys = found
    # An engine whose features depend on the batch keeps none under an image's own digest.
    if not all(key in table for key in keys) and not place_free(engine.subject, engine.batch):
        keys = batch_keys(found, engine.batch)
    missing = [i for i, key in enumerate(keys) if key not in table]
    images = [Image(paths[i], found[i]) for i in missing]
    new = extract(engine.subject, images, extraction, engine.facts.label)
    as_array = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(len(keys), 32)
    if len(missing) == len(keys):
        return Part(new, as_array)
    width = table.features.shape[1]
    if missing and new.features.shape[1] != width:
        raise InputError(
            f"the cache holds {width} numbers an image, the engine gives "
            f"{new.features.shape[1]}: evaluate without the cache, or remove it."
        )
    features = np.empty((len(keys), width), dtype=np.float32)
    kept = [i for i, key in enumerate(keys) if key in table]
    features[kept] = table.take([keys[i] for i in kept])
    if missing:
        features[missing] = new.features
    return Part(Extracted(features, new.images_run, new.seconds), as_array)
