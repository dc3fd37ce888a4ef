"""A search and a sensitivity analysis as tables for people."""

from __future__ import annotations

from collections.abc import Sequence

from edgereid.search.outcome import Outcome, Record
from edgereid.search.sensitivity import Row, Sensitivity
from edgereid.search.wording import drop_words, keeps_words, speed


def front_text(record: Record) -> str:
    """The Pareto front, the point taken marked, and what its figures rest on."""
    from tabulate import tabulate

    outcome = record.outcome
    rows = [
        (
            f"{'*' if number == outcome.taken else ' '} {number}",
            point.choice.label,
            speed(point.cost),
            f"{point.cost.ms:.2f} ms",
            f"{point.agreement.cosine:.5f}",
            f"{point.agreement.kept:.1%}",
            drop_words(point.drop),
            keeps_words(point.keeps, point.drop, outcome.max_drop),
        )
        for number, point in enumerate(outcome.points)
    ]
    headers = (
        "point",
        "precisions",
        "speed",
        "median",
        "centred cosine",
        "best match kept",
        "loss of mAP",
        f"budget {outcome.max_drop:g}",
    )
    table = tabulate(rows, headers, disable_numparse=True)
    return f"{record.target}, Pareto front\n{table}\n{_notes(outcome)}"


def _notes(outcome: Outcome) -> str:
    lines = [
        "speed: times the best float engine, which took turns with all of them",
        f"accuracy: {outcome.evidence}",
        f"taken (*): {outcome.why}",
    ]
    if outcome.additivity is not None:
        lines.append(
            f"units kept in float one at a time save {outcome.additivity:.2f} of the error of all "
            "INT8 together (1: errors add up; below: they cancel)"
        )
    if not outcome.complete:
        lines.append("the time was over before all parts were measured: --search-minutes")
    return "".join(f"{line}\n" for line in lines)


def sensitivity_text(found: Sensitivity) -> str:
    """One line a unit, in the order of the network."""
    from tabulate import tabulate

    headers = (
        "unit",
        "MACs",
        "error it adds",
        "alone in INT8",
        "best match kept",
        "loss of mAP",
        "time saved by INT8",
        "",
    )
    rows = [_cells(row) for row in found.rows]
    table = tabulate(rows, headers, disable_numparse=True, colalign=("left",) + ("right",) * 7)
    return f"{found.title}\n{table}\n" + "".join(f"{line}\n" for line in found.notes)


def _cells(row: Row) -> Sequence[str]:
    saved, low, high = row.saved
    clear = low > 0 or high < 0
    return (
        row.unit.name,
        f"{row.macs_share:.1%}",
        f"{row.error:.1%}",
        f"{row.error_alone:.1%}",
        f"{row.kept:.1%}",
        drop_words(row.drop),
        f"{saved:+.1%} ({low:+.1%} to {high:+.1%})",
        "" if clear else "noise",
    )
