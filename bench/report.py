"""The page of a result: one HTML file that needs nothing from outside.

Every text that comes from a file is escaped, and a content policy forbids scripts and loading, so a
hostile name in a manifest stays a name.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

from edgereid.bench.notes import notes
from edgereid.bench.page_tables import accuracy, engines, machine, statistics, table
from edgereid.bench.result import BenchResult
from edgereid.bench.style import document
from edgereid.bench.table import end_to_end_columns, main_columns, preparation_words
from edgereid.bench.verdict import Verdict
from edgereid.files import write_text


def write_report(path: Path, result: BenchResult, verdict: Verdict) -> None:
    """Write the page, whole or not at all; raises StorageError."""
    write_text(path, page(result, verdict))


def page(result: BenchResult, verdict: Verdict) -> str:
    """The page as text."""
    from edgereid.bench.plot import draw

    groups = [g for g in dict.fromkeys(row.group for row in result.rows) if g]
    title = f"Bench of {', '.join(groups)}" if groups else "Bench"
    body = [
        f"<header><h1>{escape(title)}</h1><p>{escape(_subtitle(result))}</p></header>",
        _verdict(verdict),
        _figure(draw(result, verdict), result),
        "<h2>Speed and accuracy</h2>",
        table(main_columns(result, verdict, throughput=True), result.rows, verdict),
        *_end_to_end(result, verdict),
        "<h2>How to read it</h2>",
        _notes(notes(result)),
        "<h2>All statistics</h2>",
        statistics(result),
        *(["<h2>Accuracy in full, points</h2>", accuracy(result)] if result.dataset else []),
        "<h2>Engines</h2>",
        engines(result),
        "<h2>Machine</h2>",
        machine(result),
        f"<footer>edgereid {escape(result.edgereid)}. Raw samples are in the result file.</footer>",
    ]
    return document(title, "\n".join(body))


def _subtitle(result: BenchResult) -> str:
    threads = sorted({row.threads for row in result.rows})
    words = [
        str(result.machine.cpu.value or result.machine.architecture),
        f"{'/'.join(map(str, threads))} thread{'' if threads == [1] else 's'}",
        result.created.replace("T", " ").replace("+00:00", " UTC"),
    ]
    return " · ".join(words)


def _verdict(verdict: Verdict) -> str:
    items = []
    for sentence in verdict.sentences:
        kind = "ship" if "SHIP" in sentence else "refuse" if "Do not ship" in sentence else ""
        items.append(f'<li class="{kind}">{escape(sentence)}</li>')
    return f'<ul class="verdict">{"".join(items)}</ul>'


def _figure(svg: str, result: BenchResult) -> str:
    if result.dataset is None:
        heading, caption = "Latency", "Mark: p50; line: to p90 where the sample supports it."
    else:
        heading = "Accuracy against latency"
        caption = (
            "Up and to the left is better. Labels give the speed relative to the reference; what "
            "is recommended is bold. Circle: FP32, square: bf16, triangle: INT8. Upright lines: "
            "95 % interval of the change in mAP against the reference. Stair: engines that no "
            "other beats in both."
        )
    return f"<h2>{heading}</h2><figure>{svg}<figcaption>{escape(caption)}</figcaption></figure>"


def _end_to_end(result: BenchResult, verdict: Verdict) -> list[str]:
    rows = [row for row in result.rows if row.end_to_end]
    if not rows:
        return []
    return [
        "<h2>End to end</h2>",
        '<p class="soft">Image files in, embeddings of length one out: decode, resize, normalise, '
        "engine, L2, with one thread beside the engine's own; "
        f"{escape(preparation_words(result))}.</p>",
        table(end_to_end_columns(result, throughput=True), rows, verdict),
    ]


def _notes(lines: Sequence[str]) -> str:
    return f'<ul class="notes">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>'
