"""Sentences about a build: where INT8 was asked for and float was chosen, and what is not known."""

from __future__ import annotations

from collections.abc import Sequence

from edgereid.bench.inspect.result import BuildResult, NodeRow, Step

NAMED = 3  # how many examples a sentence gives


def warnings(build: BuildResult) -> tuple[str, ...]:
    """What speaks against the engine, or cannot be vouched for."""
    found = []
    rows = [row for row in build.rows if row.macs != 0]
    refused = [row for row in rows if row.verdict == "refused"]
    if refused:
        found.append(
            f"INT8 was asked for {_count(refused, 'node')} that the engine runs in float: "
            f"{_shares(build, refused)}: {_names([_with_precision(r) for r in refused])}"
        )
    lowered = [row for row in build.rows if row.verdict == "lowered"]
    if lowered:
        found.append(
            f"{_count(lowered, 'node')} that {'was' if len(lowered) == 1 else 'were'} to stay FP32 "
            f"read another type: {_names([_with_precision(r) for r in lowered])}"
        )
    unclear = [row for row in rows if row.verdict == "unclear"]
    if unclear:
        found.append(
            f"INT8 was asked for {_count(unclear, 'node')} of which the engine does not show what "
            f"{'it runs' if len(unclear) == 1 else 'they run'} in: {_names(_all(unclear))}"
        )
    found += [f"{step.name!r:.80}: {step.doubt}" for step in build.steps if step.doubt][:NAMED]
    return tuple(found)


def notes(build: BuildResult) -> tuple[str, ...]:
    """What a reader must know of how much was told and joined."""
    found = []
    found += _untold(build)
    if not build.joined:
        found.append("no ONNX file to join the layers with: give --graph FILE")
        return tuple(found)
    others = [row for row in build.rows if row.macs == 0 and row.verdict == "refused"]
    if others:
        found.append(
            f"{_count(others, 'node')} without MACs for which INT8 was asked run in float: "
            f"{_names([_with_precision(r) for r in others])}"
        )
    unknown = [step for step in build.steps if step.unknown]
    if unknown:
        number = sum(len(step.unknown) for step in unknown)
        found.append(
            f"{number} {'name' if number == 1 else 'names'} in {_count(unknown, 'layer')} "
            f"{'is' if number == 1 else 'are'} not in the ONNX file"
            f"{_of_time(build.share(unknown))}: {_names([n for s in unknown for n in s.unknown])}"
        )
    lost = [row for row in build.rows if row.macs != 0 and not row.layers]
    if lost:
        found.append(f"no layer names {_count(lost, 'node')} with MACs: {_names(_all(lost))}")
    shared = [r for r in build.rows if r.macs != 0 and len(r.layers) > 1 and r.ms is None]
    apart = [row for row in shared if not any(row.name in s.nodes and s.macs for s in build.steps)]
    if apart:
        found.append(f"several layers name {_names(_all(apart))}: its MACs count for none of them")
    return tuple(found)


def _untold(build: BuildResult) -> list[str]:
    """Why precisions are not told, or not by the types of tensors."""
    known = [step for step in build.steps if step.precision]
    if not known and not any(step.kind for step in build.steps):
        return [
            "no precision is told: build the engine with detailed profiling verbosity "
            "(trtexec: --profilingVerbosity=detailed)"
        ]
    inferred = [step for step in known if step.inferred]
    if known and not inferred:
        return []
    return [
        f"types of tensors are not told, as where shapes are open: {_count(inferred, 'layer')} "
        "judged by kernel and weights, the others not; inspect the plan itself, or export the "
        "layers while trtexec runs with --shapes (not with --skipInference)"
    ]


def _shares(build: BuildResult, rows: Sequence[NodeRow]) -> str:
    """ "12 % of the layers' time, 30 % of the MACs"."""
    owners = {name for row in rows for name in row.layers}
    steps = [s for s in build.steps if s.name in owners and s.group != "changes"]
    time = build.share(steps)
    macs = sum(row.macs or 0 for row in rows) / build.macs if build.macs else None
    words = [f"{100 * time:.3g} % of the layers' time"] if time is not None else []
    words += [f"{100 * macs:.3g} % of the MACs"] if macs is not None else []
    return ", ".join(words) or "neither their time nor their MACs are known"


def _of_time(share: float | None) -> str:
    return "" if share is None else f" ({100 * share:.3g} % of the layers' time)"


def _with_precision(row: NodeRow) -> str:
    return f"{row.name} ({row.ran})" if row.ran else row.name


def _all(rows: Sequence[NodeRow]) -> list[str]:
    return [row.name for row in rows]


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(name[:80] for name in names[:NAMED])
    more = len(names) - NAMED
    return f"{shown} and {more} more" if more > 0 else shown


def _count(items: Sequence[NodeRow] | Sequence[Step], word: str) -> str:
    return f"{len(items)} {word}" if len(items) == 1 else f"{len(items)} {word}s"
