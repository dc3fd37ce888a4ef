"""The table of energies, and what must be known beside it."""

from __future__ import annotations

from edgereid.bench.energy.report import EnergyReport, EngineEnergy
from edgereid.bench.energy.window import Energy
from edgereid.bench.wording import NOTHING, milliseconds


def energy_text(report: EnergyReport) -> str:
    """The table and its notes; only the notes where nothing could be measured."""
    notes = [f"- {note}" for note in report.notes]
    if not report.engines:
        return "\n".join(notes)
    from tabulate import tabulate

    rows = [_cells(row, energy) for row in report.engines for energy in row.meters]
    table: str = tabulate(
        rows,
        headers=["engine", "batch", "meter", "mJ/embedding", "W", "idle W", "J", "s"],
        colalign=("left", "right", "left", *("right",) * 5),
        disable_numparse=True,
    )
    return "\n".join([table, *notes])


def _cells(row: EngineEnergy, energy: Energy) -> list[str]:
    head = [row.label, str(row.batch), energy.meter]
    if energy.absent is not None:
        return [*head, f"absent: {energy.absent}", *[NOTHING] * 4]
    each = energy.joules_per_embedding
    numbers = (None if each is None else 1e3 * each, energy.watts, energy.idle_watts)
    cells = [NOTHING if n is None else milliseconds(n) for n in (*numbers, energy.joules)]
    return [*head, *cells, NOTHING if energy.seconds is None else f"{energy.seconds:.1f}"]
