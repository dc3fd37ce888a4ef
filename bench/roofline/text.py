"""The roofline on a terminal: peaks, engines, and the layers where most time goes."""

from __future__ import annotations

from collections.abc import Sequence

from edgereid.bench.roofline.result import Band, EngineRoofline, Layer, Peak, Plan, RooflineResult
from edgereid.bench.wording import NOTHING, milliseconds
from edgereid.evaluation.targets import PRECISION_NAMES, label

SLOWEST = 10
KINDS = 5
NOISY_CV = 0.1


def table(names: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A table of texts; all but the first ``words`` columns are numbers."""
    from tabulate import tabulate

    align = ["left" if i < words else "right" for i in range(len(names))]
    text: str = tabulate(rows, headers=names, colalign=align, disable_numparse=True)
    return text


def giga(value: float) -> str:
    """1.23e9 -> 1.23, three digits or so."""
    value /= 1e9
    return f"{value:.2f}" if value < 10 else f"{value:.1f}" if value < 1000 else f"{value:,.0f}"


def percent(share: float) -> str:
    """A share as hundredths."""
    return f"{100 * share:.1f}" if share < 0.1 else f"{100 * share:.0f}"


PEAK_COLUMNS = ("peak", "measured with", "unit", "best", "median", "CV %", "runs")


def peak_rows(result: RooflineResult) -> list[list[str]]:
    """Each probe; what is the roof of its precision or level has a star."""
    rows = []
    for peak in result.peaks:
        star = " *" if peak is result.peak(peak.precision) else ""
        name = PRECISION_NAMES.get(peak.precision, peak.precision)
        rows.append([name + star, f"{label(peak.runtime, None)}, {peak.kind}", "GMAC/s"])
        rows[-1] += _rate_cells(peak)
    for band in result.bands:
        star = " *" if band is result.band(band.level) else ""
        size = f"{band.array_bytes / 2**20:.0f} MiB arrays"
        rows.append([band.level + star, f"numpy {band.kind}, {size}", "GB/s"])
        rows[-1] += _rate_cells(band)
    return rows


def _rate_cells(probe: Peak | Band) -> list[str]:
    rate = probe.rate
    return [giga(rate.best), giga(rate.median), f"{100 * rate.cv:.1f}", f"{rate.runs:,}"]


ENGINE_COLUMNS = (
    "engine", "bound by", "p50 ms", "GMAC/s", "of peak %", "MAC/byte", "at roof ms", "to gain ms",
)  # fmt: skip


def engine_row(engine: EngineRoofline) -> list[str]:
    """One engine; what is not known is a dash."""
    whole = engine.whole
    known = [NOTHING] * 4
    if whole is not None:
        bound = "compute" if whole.bound == "compute" else engine.level
        known = [bound, giga(whole.rate), percent(whole.peak_share), f"{whole.intensity:.1f}"]
    roof = [engine.at_roof_ms, engine.to_gain_ms]
    times = [NOTHING if value is None else milliseconds(value) for value in roof]
    return [engine.label, known[0], milliseconds(engine.p50_ms), *known[1:], *times]


LAYER_COLUMNS = (
    "layer", "kind", "in", "bound by", "ms", "of time %", "GMAC/s", "of peak %", "of roof %",
    "to gain ms",
)  # fmt: skip


def layer_row(layer: Layer, plan: Plan, level: str) -> list[str]:
    """One step of a plan."""
    s = layer.standing
    cells = [NOTHING] * 5
    if s is not None:
        rate = giga(s.rate) if layer.macs else NOTHING
        peak = percent(s.peak_share) if layer.macs else NOTHING
        bound = "compute" if s.bound == "compute" else level
        cells = [bound, rate, peak, percent(s.roof_share), milliseconds(1e3 * s.to_gain)]
    share = percent(layer.ms / plan.sum_ms) if plan.sum_ms else NOTHING
    precision = PRECISION_NAMES.get(layer.precision, layer.precision)
    return [
        *(layer_name(layer), layer.kind, precision, cells[0]),
        *(milliseconds(layer.ms), share, *cells[1:]),
    ]


def layer_name(layer: Layer) -> str:
    """The first node of the graph that the step stands for, and how many more; in brackets what
    the runtime put in."""
    if not layer.nodes:
        return f"[{layer.name}]"
    more = len(layer.nodes) - 1
    return f"{layer.nodes[0]} +{more}" if more else layer.nodes[0]


KIND_COLUMNS = ("kind of step", "steps", "ms", "of time %", "to gain ms")


def kind_rows(plan: Plan) -> list[list[str]]:
    """Steps by the runtime's kind, the most time first."""
    kinds: dict[str, list[Layer]] = {}
    for layer in plan.layers:
        kinds.setdefault(layer.kind, []).append(layer)
    rows = []
    for kind, layers in sorted(kinds.items(), key=lambda item: -sum(x.ms for x in item[1])):
        ms = sum(layer.ms for layer in layers)
        gains = [1e3 * x.standing.to_gain for x in layers if x.standing is not None]
        gain = milliseconds(sum(gains)) if gains else NOTHING
        share = percent(ms / plan.sum_ms) if plan.sum_ms else NOTHING
        rows.append([kind, str(len(layers)), milliseconds(ms), share, gain])
    return rows


def joined_words(plan: Plan) -> str:
    """How much of the plan was joined with the graph."""
    alone = [layer for layer in plan.layers if not layer.nodes]
    words = (
        f"{len(plan.layers)} steps, {plan.runs} profiled runs of {milliseconds(plan.run_ms)} ms "
        f"(steps together {milliseconds(plan.sum_ms)} ms); joined with the graph: "
        f"{percent(plan.time_share)} % of their time, {percent(plan.macs_share)} % of the MACs"
    )
    if alone:
        ms = milliseconds(sum(layer.ms for layer in alone))
        words += (
            f"; {len(alone)} steps ({ms} ms) stand for no node of the float graph: changes of "
            "layout or type"
        )
    if plan.lost:
        words += f"; nodes that no step stands for: {', '.join(plan.lost[:5])}"
        words += f" and {len(plan.lost) - 5} more" if len(plan.lost) > 5 else ""
    return words


def notes(result: RooflineResult) -> list[str]:
    """What a reader must know, a sentence each, without a full stop."""
    found = [
        f"batch {result.batch}, {result.threads} threads; inputs: {result.inputs}; peaks, "
        "bandwidth and engines took turns in one run",
        "1 MAC (multiply-add) is 2 operations; * marks the roof: the best run of all "
        "probes, because a peak is what the machine can do at all; engines count by their median",
    ]
    roofs = [result.peak(p) for p in {peak.precision for peak in result.peaks}]
    noisy = [r for r in roofs if r is not None and r.rate.cv > NOISY_CV]
    if noisy:
        worst = max(r.rate.cv for r in noisy)
        found.append(
            f"the peaks are noisy (coefficient of variation up to {100 * worst:.0f} %): "
            "close other programs and run again"
        )
    above = [e.label for e in result.engines if e.whole is not None and e.whole.roof_share > 1]
    if above:
        found.append(f"above the measured roof, so the roof is too low: {', '.join(above)}")
    found += [f"{band.level}, {band.kind}: {band.doubt}" for band in result.bands if band.doubt]
    if result.cache_bytes is None:
        found.append("the size of the last cache is not told: memory bounds every engine here")
    found += [f"{e.label}: {reason}" for e in result.engines for reason in e.absent]
    found += result.warnings
    return found + [f"left out: {x.label}: {x.reason.rstrip('.')}" for x in result.left_out]


def text(result: RooflineResult) -> str:
    """What the terminal shows."""
    parts = [table(PEAK_COLUMNS, peak_rows(result), words=3), ""]
    parts.append(table(ENGINE_COLUMNS, [engine_row(e) for e in result.engines], words=2))
    for engine in result.engines:
        if engine.plan is not None:
            slowest = engine.plan.slowest[:SLOWEST]
            rows = [layer_row(layer, engine.plan, engine.level) for layer in slowest]
            parts += ["", f"{engine.label}: {joined_words(engine.plan)}"]
            parts.append(table(LAYER_COLUMNS, rows, words=4))
            parts += ["", table(KIND_COLUMNS, kind_rows(engine.plan)[:KINDS])]
    parts += ["", *(f"- {note}" for note in notes(result))]
    return "\n".join(parts) + "\n"
