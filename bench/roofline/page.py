"""The page of a roofline: one HTML file that needs nothing from outside.

Every text that comes from a file or a runtime is escaped, and a content policy forbids scripts and
loading, so a hostile name of a layer stays a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from edgereid.bench.roofline.plot import captions, draw
from edgereid.bench.roofline.result import EngineRoofline, RooflineResult
from edgereid.bench.roofline.text import (
    ENGINE_COLUMNS,
    KIND_COLUMNS,
    LAYER_COLUMNS,
    PEAK_COLUMNS,
    SLOWEST,
    engine_row,
    joined_words,
    kind_rows,
    layer_row,
    notes,
    peak_rows,
)
from edgereid.bench.style import document
from edgereid.files import write_text


def write_page(path: Path, result: RooflineResult) -> None:
    """Write the page, whole or not at all; raises StorageError."""
    write_text(path, page(result))


def page(result: RooflineResult) -> str:
    """The page as text."""
    words = [
        str(result.machine.cpu.value or result.machine.architecture),
        f"{result.threads} threads",
        f"batch {result.batch}",
        result.created.replace("T", " ").replace("+00:00", " UTC"),
    ]
    items = "".join(f"<li>{escape(note)}</li>" for note in notes(result))
    body = [
        f"<header><h1>Roofline</h1><p>{escape(' · '.join(words))}</p></header>",
        "<h2>Engines beside the roof</h2>",
        f"<figure>{draw(result)}<figcaption>{escape(captions(result.engines))}</figcaption></figure>",
        _table(ENGINE_COLUMNS, [engine_row(e) for e in result.engines], words=2),
        "<h2>Peaks of this machine</h2>",
        _table(PEAK_COLUMNS, peak_rows(result), words=3),
        *(part for engine in result.engines for part in _engine(engine)),
        "<h2>How to read it</h2>",
        f'<ul class="notes">{items}</ul>',
        f"<footer>edgereid {escape(result.edgereid)}</footer>",
    ]
    return document("Roofline", "\n".join(body))


def _engine(engine: EngineRoofline) -> list[str]:
    """The slowest steps, the kinds, and every step folded away."""
    plan = engine.plan
    if plan is None:
        return []
    rows = [layer_row(layer, plan, engine.level) for layer in plan.slowest]
    return [
        f"<h2>{escape(engine.label)}</h2>",
        f'<p class="soft">{escape(joined_words(plan))}.</p>',
        _table(LAYER_COLUMNS, rows[:SLOWEST], words=4),
        _table(KIND_COLUMNS, kind_rows(plan)),
        f"<details><summary>all {len(rows)} steps</summary>",
        _table(LAYER_COLUMNS, rows, words=4),
        "</details>",
    ]


def _table(names: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A table of texts, escaped here; all but the first ``words`` columns are numbers."""
    kinds = [' class="number"' if i >= words else "" for i in range(len(names))]
    head = "".join(f"<th{k}>{escape(name)}</th>" for k, name in zip(kinds, names, strict=True))
    lines = "".join(
        f"<tr>{''.join(f'<td{k}>{escape(x)}</td>' for k, x in zip(kinds, row, strict=True))}</tr>"
        for row in rows
    )
    return (
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{lines}</tbody></table></div>"
    )
