"""An inspection on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from edgereid.bench.inspect.result import (
    GROUPS,
    BuildResult,
    Comparison,
    Inspection,
    NodeRow,
    Pair,
    Step,
)
from edgereid.bench.inspect.trtexec_log import TrtexecRun
from edgereid.bench.wording import NOTHING, milliseconds

SHOWN = 15  # layers, without --all
_NAMES = {"f32": "FP32", "tf32": "TF32", "f16": "FP16", "bf16": "bf16", "int8": "INT8"}
_GROUP_NAMES = {
    "nodes": "the network's nodes",
    "changes": "changes of layout or type",
    "own": "TensorRT's own steps",
    "unmatched": "not known",
}
_WIDTH = 48


def table(names: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> str:
    """A table of texts; all but the first ``words`` columns are numbers."""
    from tabulate import tabulate

    align = ["left" if i < words else "right" for i in range(len(names))]
    text: str = tabulate(rows, headers=names, colalign=align, disable_numparse=True)
    return text


def precision_name(precision: str | None) -> str:
    """ "int8+f16" -> "INT8+FP16"."""
    if precision is None:
        return NOTHING
    return "+".join(_NAMES.get(word, word) for word in precision.split("+"))


def _ms(value: float | None) -> str:
    if value is None:
        return NOTHING
    return f"{value:.4f}" if value < 0.1 else milliseconds(value)


def _percent(share: float | None) -> str:
    return NOTHING if share is None else f"{100 * share:.1f}"


def _short(text: str) -> str:
    clean = "".join(c if c.isprintable() else " " for c in text)
    return clean if len(clean) <= _WIDTH else f"{clean[: _WIDTH - 3]}..."


LAYER_COLUMNS = ("layer", "kind", "in", "ms", "of time %", "of MACs %")


def layer_row(step: Step, build: BuildResult) -> list[str]:
    """One layer, by the first node it stands for; in brackets what stands for none."""
    more = len(step.nodes) - 1
    name = step.nodes[0] if step.nodes else step.name
    label = f"{_short(name)} +{more}" if more > 0 else _short(name)
    macs = step.macs / build.macs if build.macs and step.macs else None
    return [
        label if step.group == "nodes" else f"[{_short(step.name)}]",
        step.kind or NOTHING,
        precision_name(step.precision),
        _ms(step.ms),
        _percent(build.share([step])),
        _percent(macs),
    ]


def group_rows(build: BuildResult) -> list[list[str]]:
    """What the layers are there for."""
    rows = []
    for group in GROUPS:
        steps = build.of_group(group)
        if steps:
            known = [step.ms for step in steps if step.ms is not None]
            ms = sum(known) if len(known) == len(steps) else None
            rows.append([_GROUP_NAMES[group], str(len(steps)), _ms(ms)])
            rows[-1].append(_percent(build.share(steps)))
    return rows


def precision_rows(build: BuildResult) -> list[list[str]]:
    """Layers that stand for nodes, by precision."""
    kinds: dict[str | None, list[Step]] = {}
    for step in build.of_group("nodes"):
        kinds.setdefault(step.precision, []).append(step)
    rows = []
    for precision, steps in sorted(kinds.items(), key=lambda item: -sum(s.macs for s in item[1])):
        known = [s.ms for s in steps if s.ms is not None]
        ms = sum(known) if len(known) == len(steps) else None
        macs = sum(s.macs for s in steps) / build.macs if build.macs else None
        share = _percent(build.share(steps))
        rows.append([precision_name(precision), str(len(steps)), _ms(ms), share, _percent(macs)])
    return rows


NODE_COLUMNS = ("node", "operator", "as asked", "ran in", "layers", "ms")


def node_row(row: NodeRow) -> list[str]:
    """One node of the ONNX file."""
    asked = {"": NOTHING}.get(row.verdict, row.verdict)
    return [
        _short(row.name), row.op, asked, precision_name(row.ran), str(len(row.layers)), _ms(row.ms)
    ]  # fmt: skip


def build_text(build: BuildResult, everything: bool) -> str:
    """One engine."""
    parts = [_head(build)]
    if build.steps:
        parts += ["", table(("layers", "number", "ms", "of time %"), group_rows(build), 1)]
        if any(step.precision for step in build.steps):
            columns = ("nodes in", "layers", "ms", "of time %", "of MACs %")
            parts += ["", table(columns, precision_rows(build), 1)]
        shown = _shown(build, everything)
        parts += ["", table(LAYER_COLUMNS, [layer_row(s, build) for s in shown], 3)]
    if everything and build.rows:
        parts += ["", table(NODE_COLUMNS, [node_row(row) for row in build.rows], 4)]
    parts += [text for run in build.logs for text in ("", run_text(run))]
    parts += ["", *(f"warning: {w}" for w in build.warnings)] if build.warnings else []
    parts += ["", *(f"- {note}" for note in build.notes)] if build.notes else []
    return "\n".join(parts)


def _head(build: BuildResult) -> str:
    words = [f"{len(build.steps)} layers"] if build.steps else []
    if build.form:
        words.append(f"as TensorRT {build.form} tells them")
    if build.ms is not None:
        runs = f" of {build.runs:,} run{'s' if build.runs > 1 else ''}" if build.runs else ""
        words.append(f"together {_ms(build.ms)} ms ({build.statistic}{runs})")
    return f"{build.label}: {', '.join(words)}" if words else build.label


def _shown(build: BuildResult, everything: bool) -> list[Step]:
    """In the order they run, or the slowest."""
    if everything:
        return list(build.steps)
    return sorted(build.steps, key=lambda s: -(s.ms or 0.0))[:SHOWN]


def run_text(run: TrtexecRun) -> str:
    """What trtexec measured, and how."""
    setup = ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in run.setup.items())
    lines = [f"trtexec: {setup or 'its setup is not in the log'}"]
    if run.throughput_qps is not None:
        lines.append(f"throughput {run.throughput_qps:,.5g} batches a second")
    if run.clocks:
        percents = list(dict.fromkeys(p for c in run.clocks.values() for p in c.percentiles))
        columns = ("ms", "min", "median", "mean", *(f"p{p}" for p in percents), "max")
        rows = [
            [
                name,
                *map(_ms, (clock.min, clock.median, clock.mean)),
                *(_ms(clock.percentiles.get(p)) for p in percents),
                _ms(clock.max),
            ]
            for name, clock in run.clocks.items()
        ]
        lines.append(table(columns, rows, 1))
    return "\n".join([*lines, *(f"- trtexec: {remark}" for remark in run.remarks)])


PAIR_COLUMNS = ("layer", "differs in", "in", "now in", "ms", "now ms", "change ms")


def pair_row(pair: Pair) -> list[str]:
    """A layer in two builds; a dash where one has none for the same nodes."""
    a, b = pair.first, pair.second
    step = a or b
    assert step is not None, "a pair has one layer at least"
    change = pair.ms_change
    return [
        _short(step.nodes[0] if len(step.nodes) == 1 else step.key),
        ", ".join(pair.changed) or NOTHING,
        precision_name(a.precision if a else None),
        precision_name(b.precision if b else None),
        _ms(a.ms if a else None),
        _ms(b.ms if b else None),
        NOTHING if change is None else f"{change:+.4f}",
    ]


def comparison_text(found: Comparison, everything: bool) -> str:
    """Two builds beside each other."""
    same = len(found.pairs) - len(found.different)
    head = (
        f"{found.second} beside {found.first}: {same} layers alike in precision and tactic, "
        f"{len(found.different)} not"
    )
    pairs = found.pairs if everything else found.different
    by_time = sorted(pairs, key=lambda p: -abs(p.ms_change or 0.0))
    shown = by_time if everything else by_time[:SHOWN]
    parts = [head]
    if shown:
        parts += ["", table(PAIR_COLUMNS, [pair_row(p) for p in shown], 4)]
    if len(by_time) > len(shown):
        parts.append(f"and {len(by_time) - len(shown)} more: --all")
    if found.unclear:
        parts.append(f"- {found.unclear} layers stand for the same as another: not compared")
    parts.append(
        "- one profile of each build: a difference of some percent may be noise; two builds of one "
        "network need not be equal"
    )
    return "\n".join(parts)


def text(found: Inspection, everything: bool = False) -> str:
    """What the terminal shows; ``everything``: all layers and nodes."""
    parts = [build_text(build, everything) for build in found.builds]
    parts += [comparison_text(c, everything) for c in found.comparisons]
    return "\n\n".join(parts) + "\n"
