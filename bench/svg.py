"""A matplotlib figure as SVG that lives inside a page: text stays text, colours follow the page.

Figures are drawn in stand-in colours, which are replaced by the page's CSS variables, so the same
drawing serves light and dark. What would point outside the page (document type, namespaces,
metadata) is removed.
"""

from __future__ import annotations

import io
import re
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK, SOFT, LINE, PAPER, BAND = "#010101", "#020202", "#030303", "#040404", "#050505"
RUNTIME_COLOURS = {
    "eager": "#0a0101",
    "onnxruntime": "#0a0202",
    "openvino": "#0a0303",
    "tensorrt": "#0a0404",
}
OTHER_RUNTIME = "#0a0505"
#: Stand-in -> CSS variable of the page.
VARIABLES = {
    INK: "--ink",
    SOFT: "--soft",
    LINE: "--line",
    PAPER: "--paper",
    BAND: "--band",
    **{colour: f"--{runtime}" for runtime, colour in RUNTIME_COLOURS.items()},
    OTHER_RUNTIME: "--other",
}
#: Settings of every drawing; "none" keeps text as text.
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "edgereid",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 10.0,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": LINE,
    "axes.labelcolor": SOFT,
    "axes.titlecolor": INK,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "grid.color": LINE,
    "grid.linewidth": 0.6,
}
_OUTSIDE = (
    re.compile(r"<\?xml.*?\?>\s*", re.DOTALL),
    re.compile(r"<!DOCTYPE.*?>\s*", re.DOTALL),
    re.compile(r"<!--.*?-->\s*", re.DOTALL),
    re.compile(r"<metadata>.*?</metadata>\s*", re.DOTALL),
    re.compile(r'\sxmlns(:\w+)?="[^"]*"'),
)
_FONT = re.compile(r"font: ((?:\w+ )?[\d.]+px) [^;\"]*")


def inline(figure: Figure, title: str) -> str:
    """The figure as an ``<svg>`` element for an HTML page; ``title`` (already escaped) is read out
    by a screen reader."""
    buffer = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a glyph missing in the layout's font: the browser has it
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    for pattern in _OUTSIDE:
        text = pattern.sub("", text)
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    text = _FONT.sub(r"font: \1 var(--sans)", text)
    text = re.sub(r'(<svg\b[^>]*?)\s+height="[^"]*"', r"\1", text, count=1)
    text = re.sub(r'(<svg\b[^>]*?)\s+width="[^"]*"', r"\1", text, count=1)
    return text.replace("<svg", f'<svg role="img" aria-label="{title}"', 1)
