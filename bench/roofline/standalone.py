"""A drawing made for a page, as a file of its own: the page's light colours, on white."""

from __future__ import annotations

import re

from edgereid.bench.style import CSS

_NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
_VARIABLE = re.compile(r"var\((--[\w-]+)\)")
_SIZE = re.compile(r'viewBox="0 0 ([\d.]+) ([\d.]+)"')


def light_colours() -> dict[str, str]:
    """The page's variables as the first block of its style sheet sets them."""
    block = CSS[CSS.index("{") + 1 : CSS.index("}")]
    pairs = (item.partition(":") for item in block.split(";"))
    return {name.strip(): value.strip() for name, _, value in pairs if name.strip()}


def standalone(svg: str) -> str:
    """An inline ``<svg>`` with its variables filled in, its name spaces and a white ground."""
    colours = light_colours()
    colours["--sans"] = "sans-serif"
    text = _VARIABLE.sub(lambda found: colours[found.group(1)], svg)
    size = _SIZE.search(text)
    width, height = size.groups() if size else ("100%", "100%")
    head, _, rest = text.partition(">")
    head = head.replace("<svg", f'<svg {_NAMESPACES} width="{width}" height="{height}"', 1)
    ground = f'<rect width="{width}" height="{height}" fill="{colours["--paper"]}"/>'
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}>{ground}{rest}\n'
