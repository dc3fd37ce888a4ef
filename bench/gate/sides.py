"""The two engines under comparison: which one a path stands for, opened, with its features."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from edgereid.bench.candidates import REFERENCES
from edgereid.bench.gate.options import GateOptions
from edgereid.bundle import Bundle
from edgereid.errors import EdgeReidError, IntegrityError, UsageError
from edgereid.evaluation.cache import FeatureCache
from edgereid.evaluation.extract import Extracted, Extraction
from edgereid.evaluation.options import EvalOptions
from edgereid.evaluation.targets import Target, targets_of
from edgereid.evaluation.work import Opened, Opener, do_part, opened
from edgereid.progress import note

#: Of a bundle's engines, the ones made for one kind of machine before those that run anywhere.
ENGINE_ORDER = ("tensorrt", "openvino", "onnxruntime", "eager")


@dataclass(frozen=True, slots=True)
class Sides:
    """Both engines, open."""

    candidate: Opened
    reference: Opened


def candidate_targets(options: GateOptions) -> list[Target]:
    """What the candidate's path may stand for, best first: a file for itself, a bundle's directory
    for its engines. Raises UsageError when there is none, and what ``targets_of`` raises."""
    path = options.candidate
    runtimes = _runtimes(options.candidate_runtime)
    found = targets_of(path, runtimes, None)
    if not (path.is_dir() and Bundle.is_bundle(path)):
        return found
    names = {file.name for file in Bundle.open(path, verify=False).find("engine")}
    engines = [t for t in found if t.path.name in names]
    if not engines:
        raise UsageError(
            f"{path} holds no engine to judge"
            f"{f' for {runtimes[0]}' if runtimes else ''}: export it with --int8, or name a file."
        )
    return sorted(engines, key=lambda t: ENGINE_ORDER.index(t.runtime or ENGINE_ORDER[-1]))


def reference_targets(options: GateOptions) -> list[Target]:
    """What the reference's path may stand for, best first: a file for itself, a bundle's directory
    for its float network; without a path, the bundle the candidate lies in.

    Raises UsageError when there is none, and what ``targets_of`` raises.
    """
    path = options.reference
    if path is None:
        path = options.candidate if options.candidate.is_dir() else options.candidate.parent
        if not Bundle.is_bundle(path):
            raise UsageError(
                f"{options.candidate} lies in no bundle, so its float network is unknown: "
                "give --reference."
            )
    found = targets_of(path, _runtimes(options.reference_runtime), None)
    if not (path.is_dir() and Bundle.is_bundle(path)):
        return found
    names = {f.name for r in ("weights", "float") for f in Bundle.open(path, verify=False).find(r)}
    known = {(t.runtime, t.stated_precision): t for t in reversed(found) if t.path.name in names}
    floats = [known[row] for row in REFERENCES if row in known]
    if not floats:
        raise UsageError(f"{path} holds no float network to compare with: name an engine file.")
    return floats


def _runtimes(name: str | None) -> tuple[str, ...]:
    return () if name is None else (name,)


def eval_options(options: GateOptions, path: Path) -> EvalOptions:
    """The options of the evaluation that gives an engine's features."""
    return EvalOptions(
        path=path,
        data=options.data,
        layout=options.layout,
        threads=options.threads,
        extraction=Extraction(options.batch),
        cache=options.features,
        trust=options.trust,
    )


def open_sides(options: GateOptions, stack: ExitStack, opener: Opener) -> Sides:
    """Open both; ``stack`` closes them. Raises what opening an engine raises."""
    reference = _first_that_opens(reference_targets(options), options, stack, opener)
    candidate = _first_that_opens(candidate_targets(options), options, stack, opener)
    return Sides(candidate, reference)


def _first_that_opens(
    targets: Sequence[Target], options: GateOptions, stack: ExitStack, opener: Opener
) -> Opened:
    """The first target that runs on this machine; raises the first error when none does, and the
    error of an engine the user named."""
    failures: list[EdgeReidError] = []
    for target in targets:
        try:
            chosen = eval_options(options, target.path)
            engine = stack.enter_context(opened(target, chosen, opener))
        except IntegrityError:
            raise
        except EdgeReidError as error:
            if target.named:
                raise
            failures.append(error)
            note(f"{target.describe()} cannot run here: {error}")
            continue
        return engine
    raise failures[0]


def features(engine: Opened, paths: Sequence[Path], options: GateOptions) -> Extracted:
    """Features (N, D) of ``paths``, from the cache where it holds them; new ones are kept.

    Raises InputError when an image cannot be decoded or the engine fails.
    """
    chosen = eval_options(options, engine.target.path)
    part = do_part(engine, paths, chosen)
    if chosen.cache is not None and part.extracted.images_run:
        keys = [bytes(key) for key in part.keys]
        FeatureCache(chosen.cache).store(engine.identity, keys, part.extracted.features)
    return part.extracted
