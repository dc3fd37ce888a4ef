"""One evaluation: every engine a path stands for, on one dataset, by one protocol."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta, timezone
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from edgereid import __version__
from edgereid.data.types import ReidDataset
from edgereid.errors import EdgeReidError, IntegrityError
from edgereid.evaluation.cache import FeatureCache
from edgereid.evaluation.group import WAIT, Group, join
from edgereid.evaluation.options import EvalOptions
from edgereid.evaluation.result import EvalResult, LeftOut, Row, relative
from edgereid.evaluation.score import images_needed, score
from edgereid.evaluation.targets import Target, targets_of
from edgereid.evaluation.work import Opened, Opener, do_part, open_with_runtime, opened
from edgereid.files import dump_json
from edgereid.progress import note


@dataclass(frozen=True, slots=True)
class _Job:
    """What every process knows before an engine is opened."""

    options: EvalOptions
    targets: tuple[Target, ...]
    dataset: ReidDataset
    paths: tuple[Path, ...]
    skipped: tuple[str, ...]

    def facts(self) -> dict[str, str]:
        """What must be the same in all processes."""
        records = [r for subset in self.dataset.subsets().values() for r in subset]
        return {
            "version of edgereid": __version__,
            "options": _digest(self.options.to_json()),
            "images": _digest([[relative(r, self.dataset), r.pid, r.camid] for r in records]),
        }


def _digest(value: Any) -> str:
    return sha256(dump_json(value).encode()).hexdigest()


def run_eval(
    options: EvalOptions,
    opener: Opener = open_with_runtime,
    dataset: ReidDataset | None = None,
    wait: timedelta = WAIT,
) -> EvalResult | None:
    """Evaluate; ``dataset`` overrides ``options.data``.

    Under torchrun every process calls this and takes its share of the images; only process 0 gets
    the result, the others None. Raises UsageError, InputError, IntegrityError and
    MissingRuntimeError; an engine of a bundle that cannot run here is left out with its reason,
    unless none can.
    """
    with join(wait) as group:
        job = _shared_job(options, dataset, group)
        group.check_same(job.facts())
        rows: list[Row] = []
        failures: list[tuple[Target, EdgeReidError]] = []
        for target in job.targets:
            with ExitStack() as stack:
                engine = group.together(partial(_open, target, job, opener, stack))
                group.check_same(_engine_facts(engine))
                if isinstance(engine, EdgeReidError):
                    failures.append((target, engine))
                    continue
                rows += _rows(engine, job, group)
        if len(failures) == len(job.targets):
            raise failures[0][1]
        if group.rank:
            return None
        return EvalResult(
            edgereid=__version__,
            created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
            options=options.to_json(),
            dataset=job.dataset,
            processes=group.size,
            rows=tuple(rows),
            left_out=tuple(LeftOut(t.describe(), str(error)) for t, error in failures),
            skipped=job.skipped,
        )


def _shared_job(options: EvalOptions, dataset: ReidDataset | None, group: Group) -> _Job:
    """The job in every process. One of each machine looks first, so that what has to be unpacked
    (CUHK03) is written once."""
    leads = os.environ.get("LOCAL_RANK", "0") == "0"  # torchrun sets it
    job = group.together(lambda: _job(options, dataset) if leads else None)
    return group.together(lambda: _job(options, dataset) if job is None else job)


def _job(options: EvalOptions, dataset: ReidDataset | None) -> _Job:
    targets = targets_of(options.path, options.runtimes, options.precision)
    if dataset is None:
        from edgereid.data.layouts import open_dataset

        dataset = open_dataset(options.data, options.layout)
    dataset = replace(dataset, train=())
    skipped: tuple[str, ...] = ()
    if options.skip_corrupt:
        dataset, skipped = _readable(dataset, options.extraction.threads)
    paths = images_needed(dataset, options.protocol)
    return _Job(options, tuple(targets), dataset, tuple(paths), skipped)


def _readable(dataset: ReidDataset, workers: int) -> tuple[ReidDataset, tuple[str, ...]]:
    """The dataset without the images that cannot be decoded, and the reasons."""
    from edgereid.data.check import find_unreadable, without

    found = find_unreadable(dataset, workers)
    root = f"{dataset.root}/"
    reasons = tuple(x.reason.replace(root, "") for x in found)
    return without(dataset, (x.path for x in found)), reasons


def _open(target: Target, job: _Job, opener: Opener, stack: ExitStack) -> Opened | EdgeReidError:
    """The engine, or why it cannot run here; raises that for an engine the user named."""
    try:
        return stack.enter_context(opened(target, job.options, opener))
    except IntegrityError:
        raise
    except EdgeReidError as error:
        if target.named:
            raise
        return error


def _engine_facts(engine: Opened | EdgeReidError) -> dict[str, str]:
    """What must be the same in all processes; processors may differ, with a note."""
    if isinstance(engine, EdgeReidError):
        return {"engine": "left out"}
    return {"engine": _digest({k: v for k, v in engine.identity.items() if k != "processor"})}


def _rows(engine: Opened, job: _Job, group: Group) -> list[Row]:
    """The engine's row in process 0, none in the others."""
    part = group.together(lambda: do_part(engine, job.paths, job.options, group.rank, group.size))
    features = group.gather(part.extracted.features)
    keys = group.gather(part.keys)
    images_run = round(sum(group.collect(part.extracted.images_run)))
    seconds = max(group.collect(part.extracted.seconds))
    alike = _same_processor(engine, group)

    def finish() -> list[Row]:
        if group.rank:
            return []
        if job.options.cache is not None and images_run and alike:
            stored = [bytes(key) for key in keys]
            FeatureCache(job.options.cache).store(engine.identity, stored, features)
        options, subject = job.options, engine.subject
        flip = subject.flips(options.extraction.flip)
        result = score(features, job.dataset, options.protocol, subject.distance, flip)
        cached = len(job.paths) - images_run
        return [Row(engine.facts, result, images_run, cached, seconds)]

    return group.together(finish)


def _same_processor(engine: Opened, group: Group) -> bool:
    """Whether all processes run on the same kind; a note where they do not."""
    kind = float(int(engine.identity["processor"][:12], 16))
    alike = len(set(group.collect(kind))) == 1
    if not alike and group.rank == 0:
        note(
            "the processes run on different processors, which may round differently: "
            "the features are not cached."
        )
    return alike
