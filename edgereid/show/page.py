"""The page as one HTML file: no script, no other file, nothing from a network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from edgereid.show.lists import EngineList, Entry, QueryView

#: Nothing may be loaded but what is in the file itself.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
RIGHT, WRONG = "#1a7f37", "#cf222e"  # frames; a sign tells them apart without colour, too

_STYLE = f"""
:root {{ color-scheme: light dark; --line: #d0d7de; --soft: #f6f8fa; --text: #1f2328;
  --dim: #59636e; --page: #ffffff; }}
@media (prefers-color-scheme: dark) {{ :root {{ --line: #3d444d; --soft: #151b23; --text: #f0f6fc;
  --dim: #9198a1; --page: #0d1117; }} }}
body {{ font: 14px/1.45 system-ui, sans-serif; color: var(--text); background: var(--page);
  margin: 24px auto; max-width: 1320px; padding: 0 16px; }}
h1 {{ font-size: 22px; margin: 0 0 4px; }}
h2 {{ font-size: 14px; margin: 0; font-weight: 600; }}
p {{ margin: 4px 0 12px; color: var(--dim); max-width: 90ch; }}
table {{ border-collapse: collapse; margin: 12px 0; }}
th, td {{ text-align: left; padding: 4px 16px 4px 0; border-bottom: 1px solid var(--line); }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
section {{ border-top: 1px solid var(--line); padding: 12px 0; display: flex; gap: 16px; }}
.query {{ flex: 0 0 auto; width: 168px; }}
.query .pictures {{ display: flex; gap: 4px; margin: 4px 0; }}
.answers {{ overflow-x: auto; }}
.answer + .answer {{ margin-top: 10px; }}
ol {{ display: flex; gap: 6px; list-style: none; margin: 4px 0 0; padding: 0; }}
figure {{ margin: 0; }}
img {{ display: block; height: 128px; min-width: 40px; border-radius: 2px; }}
li img {{ border: 4px solid {WRONG}; }}
li.right img {{ border-color: {RIGHT}; }}
li.flip figcaption {{ background: #fff8c5; color: #1f2328; }}
figcaption {{ font-size: 11px; line-height: 1.35; color: var(--dim); padding: 1px 2px;
  font-variant-numeric: tabular-nums; }}
.sign {{ font-weight: 700; color: {WRONG}; }} .right .sign {{ color: {RIGHT}; }}
small {{ color: var(--dim); font-weight: 400; }}
"""

_SORTED = {
    "worst": "lowest average precision{by} first",
    "best": "highest average precision{by} first",
    "flips": "largest change of average precision first",
    "file": "by file name",
}


@dataclass(frozen=True, slots=True)
class EngineSummary:
    """An engine's line in the head of the page; shares in 0..1 over all queries."""

    label: str
    file: str
    metric: str
    rank1: float
    mean_ap: float


@dataclass(frozen=True, slots=True)
class Page:
    """All that the page says. ``queries``: how many could be judged; ``overlays``: activation maps
    of the queries as data URIs, None without one."""

    dataset: str
    queries: int
    gallery: int
    sort: str
    engines: tuple[EngineSummary, ...]
    views: tuple[QueryView, ...]
    overlays: tuple[str | None, ...]


def render(page: Page, pictures: Mapping[Path, str]) -> str:
    """The file's text; ``pictures`` gives every image as a data URI."""
    title = f"Ranked lists: {escape(page.dataset)}"
    sections = "\n".join(
        _section(page, view, overlay, pictures)
        for view, overlay in zip(page.views, page.overlays, strict=True)
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{title}</h1>
<p>{len(page.views)} of {page.queries:,} queries, {_order_words(page)}; gallery of
{page.gallery:,} images. Green frame and tick: the same person by another camera. Red frame and
cross: somebody else. Under an image: rank, distance, camera.{_flip_words(page)}{_map_words(page)}
Images of real people, and this page with them, are personal data.</p>
{_summary(page)}
{sections}
</body>
</html>
"""


def _order_words(page: Page) -> str:
    by = f" ({escape(page.engines[-1].label)})" if len(page.engines) > 1 else ""
    return _SORTED[page.sort].format(by=by)


def _map_words(page: Page) -> str:
    if not any(page.overlays):
        return ""
    return " Beside a query: where the float network's last feature map responds, bright most."


def _flip_words(page: Page) -> str:
    if len(page.engines) < 2:
        return ""
    flipped = sum(len(view.answers[-1].flips) for view in page.views)
    return (
        f" Yellow: right and wrong changed places against {escape(page.engines[0].label)} "
        f"({flipped} places on this page)."
    )


def _summary(page: Page) -> str:
    rows = "".join(
        f"<tr><td>{escape(e.label)}</td><td>{escape(e.file)}</td><td>{escape(e.metric)}</td>"
        f'<td class="number">{100 * e.rank1:.1f}</td>'
        f'<td class="number">{100 * e.mean_ap:.1f}</td></tr>'
        for e in page.engines
    )
    return (
        "<table><thead><tr><th>engine</th><th>file</th><th>distance</th><th>Rank-1</th>"
        f"<th>mAP</th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _section(page: Page, view: QueryView, overlay: str | None, pictures: Mapping[Path, str]) -> str:
    record = view.record
    heat = "" if overlay is None else f'<img src="{overlay}" alt="activation map of the query">'
    answers = "\n".join(
        _answer(engine.label, answer, pictures)
        for engine, answer in zip(page.engines, view.answers, strict=True)
    )
    return f"""<section>
<div class="query"><h2>person {record.pid}, camera {record.camid}</h2>
<div class="pictures">
<img src="{pictures[record.path]}" alt="query: person {record.pid}">{heat}</div>
<small>{escape(record.path.name)}</small></div>
<div class="answers">
{answers}
</div>
</section>"""


def _answer(label: str, answer: EngineList, pictures: Mapping[Path, str]) -> str:
    entries = "".join(_entry(e, e.rank in answer.flips, pictures) for e in answer.entries)
    return (
        f'<div class="answer"><h2>{escape(label)} <small>AP {100 * answer.average_precision:.1f}, '
        f"first right at rank {answer.first_match:,}</small></h2><ol>{entries}</ol></div>"
    )


def _entry(entry: Entry, flip: bool, pictures: Mapping[Path, str]) -> str:
    record = entry.record
    kind, sign = ("right", "&#10003;") if entry.right else ("wrong", "&#10007;")
    who = {0: "distractor"}.get(record.pid, f"person {record.pid}")
    words = f"rank {entry.rank}, {kind}: {who}, camera {record.camid}"
    return (
        f'<li class="{kind}{" flip" if flip else ""}"><figure>'
        f'<img src="{pictures[record.path]}" alt="{words}" title="{escape(record.path.name)}">'
        f'<figcaption><span class="sign">{sign}</span> {entry.rank}{_moved(entry)}<br>'
        f"{entry.distance:.3f} c{record.camid}</figcaption></figure></li>"
    )


def _moved(entry: Entry) -> str:
    """How the entry moved against the first engine's list: up, down or new."""
    if entry.before == entry.rank:
        return ""
    if entry.before is None:
        return " new"
    arrow = "&#8593;" if entry.before > entry.rank else "&#8595;"
    return f" {arrow}{abs(entry.before - entry.rank)}"
