"""What the terminal shows of an evaluation."""

from __future__ import annotations

from edgereid.evaluation.result import EvalResult, Row

NOTHING = "-"


def text(result: EvalResult) -> str:
    """Dataset, protocols, a row an engine, notes."""
    from tabulate import tabulate

    ranks = sorted(result.rows[0].result.cmc)
    table = tabulate(
        [_cells(row, ranks) for row in result.rows],
        headers=["engine", *(f"Rank-{k}" for k in ranks), "mAP", "mINP", "images/s"],
        colalign=["left", *["right"] * (len(ranks) + 3)],
        disable_numparse=True,
    )
    return "\n".join([_dataset(result), *_protocols(result), "", table, *_notes(result)]) + "\n"


def _cells(row: Row, ranks: list[int]) -> list[str]:
    found = row.result
    rate = NOTHING if row.images_per_s is None else f"{row.images_per_s:,.0f}"
    shares = [*(found.cmc[k] for k in ranks), found.mean_ap, found.mean_inp]
    return [row.engine.label, *(f"{100 * share:.2f}" for share in shares), rate]


def _dataset(result: EvalResult) -> str:
    found, dataset = result.rows[0].result, result.dataset
    return (
        f"{dataset.name}: {found.valid_queries:,} queries "
        f"({found.dropped_queries:,} dropped: no match in another camera), "
        f"{len(dataset.gallery):,} gallery images"
    )


def _protocols(result: EvalResult) -> list[str]:
    """In words; once where all engines share it."""
    words = dict.fromkeys(row.result.protocol for row in result.rows)
    if len(words) == 1:
        return list(words)
    return [f"{row.engine.label}: {row.result.protocol}" for row in result.rows]


def _notes(result: EvalResult) -> list[str]:
    lines = []
    cached = [row for row in result.rows if row.images_cached]
    if cached:
        least = min(row.images_cached for row in cached)
        count = f"at least {least:,}" if any(row.images_run for row in result.rows) else "all"
        lines.append(f"- features of {count} images came from the cache")
    for row in result.rows:
        if row.engine.preprocessing_from != "manifest":
            lines.append(f"- {row.engine.file}: preprocessing: {row.engine.preprocessing_from}")
        if row.engine.runs_as != row.engine.precision:
            lines.append(f"- {row.engine.label} runs as {row.engine.runs_as}")
    lines += [f"- left out: {x.label}: {x.reason}" for x in result.left_out]
    if result.skipped:
        lines.append(f"- {len(result.skipped):,} unreadable images left out:")
        lines += [f"  {reason}" for reason in result.skipped]
    return ["", *lines] if lines else []
