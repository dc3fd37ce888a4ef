"""What a layer's name says that it stands for.

TensorRT joins the names of what it fused: ``a + b``, ``a || b`` for layers side by side,
``PWN(a, PWN(b))`` for elementwise ones, ``{ForeignNode[a...b]}`` for a region handed to another
compiler (Myelin, DLA) of which only the ends are named. Since 10.x ``Metadata`` lists the nodes of
the ONNX file. Marks that TensorRT adds to a name are taken off; nothing else is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_COPY = re.compile(r"^Reformatting CopyNode for (?:Input|Output) Tensor \d+ to ")
_MARKS = re.compile(r"(?:_myl\d+_\d+|_clone_\d+| \[profile \d+\])+$")
_REGION = re.compile(r"^\{ForeignNode\[(.+?)\.\.\.(.+)\]\}$", re.DOTALL)
_ONE_NODE = re.compile(r"^\{ForeignNode\[(.+)\]\}$", re.DOTALL)
_METADATA = re.compile(r"\[ONNX Layer: (.*?)\](?=\s*(?:\[ONNX Layer: |$))", re.DOTALL)
#: Layers that TensorRT's parser or optimiser put in, by what their names begin with.
_HELPERS = re.compile(
    r"^(?:\(Unnamed Layer\* \d+\)|\[trainStation\d+\]|ONNXTRT_|__mye\d+"
    r"|(?:copied_)?(?:un)?squeeze_(?:node_)?after_|reshape_(?:before|after)_|shuffle_between_)"
)
#: Words in the name of a kernel that Myelin made, each of which only moves or converts numbers.
_MOVES = frozenset({"Move", "Mov", "Tran", "Tra", "Cast", "Cas", "Resh", "Copy"})
_MYELIN = re.compile(r"^__myl_((?:[A-Z][a-z0-9]*)+)_myl\d+_\d+$")
_MAX_DEPTH = 50


@dataclass(frozen=True, slots=True)
class Named:
    """``names``: single things, in order; ``regions``: first and last of each; ``helpers``: how
    many names are of TensorRT's own making; ``listed``: the names are ONNX nodes by metadata."""

    names: tuple[str, ...]
    regions: tuple[tuple[str, str], ...] = ()
    helpers: int = 0
    listed: bool = False


def is_copy(name: str) -> bool:
    """Whether a layer of this name only copies, changing layout or type."""
    return bool(_COPY.match(name)) or name.endswith(" copy") or _only_moves(name)


def without_marks(name: str) -> str:
    """A name without the numbers that TensorRT adds, which differ from build to build."""
    return _MARKS.sub("", name).strip()


def _only_moves(name: str) -> bool:
    found = _MYELIN.match(name)
    words = re.findall(r"[A-Z][a-z0-9]*", found.group(1)) if found else []
    return bool(words) and all(word in _MOVES for word in words)


def named(name: str, metadata: str = "") -> Named:
    """What a layer's metadata lists, else what its name says; a copy stands for nothing."""
    nodes = [n for part in re.split("[\x1e\x1f]", metadata) for n in _METADATA.findall(part)]
    if nodes:
        return Named(tuple(dict.fromkeys(nodes)), listed=True)
    if is_copy(name):
        return Named(())
    leaves = list(_leaves(without_marks(name), 0))
    regions = tuple(leaf for leaf in leaves if isinstance(leaf, tuple))
    single = [leaf for leaf in leaves if isinstance(leaf, str)]
    known = [leaf for leaf in single if not _HELPERS.match(leaf) and not leaf.startswith("__myl_")]
    helpers = sum(bool(_HELPERS.match(leaf)) for leaf in single)
    return Named(tuple(dict.fromkeys(known)), regions, helpers)


def _leaves(text: str, depth: int) -> Iterator[str | tuple[str, str]]:
    region = _REGION.match(text)
    if region:
        yield (region.group(1), region.group(2))
        return
    parts = _split(text, (" + ", " || "))
    if len(parts) == 1 and text.startswith("PWN(") and text.endswith(")"):
        parts = _split(text[len("PWN(") : -1], (", ", " + ", " || "))
    elif len(parts) == 1:
        alone = _ONE_NODE.match(text)
        yield _MARKS.sub("", alone.group(1) if alone else text)
        return
    if depth == _MAX_DEPTH:
        yield text
        return
    for part in parts:
        yield from _leaves(part.strip(), depth + 1)


def _split(text: str, separators: tuple[str, ...]) -> list[str]:
    """Split where no bracket is open; unbalanced brackets leave the text whole."""
    parts, level, start, i = [], 0, 0, 0
    while i < len(text):
        level += (text[i] in "([{") - (text[i] in ")]}")
        hit = next((s for s in separators if level == 0 and text.startswith(s, i)), None)
        if hit:
            parts.append(text[start:i])
            start = i = i + len(hit)
        else:
            i += 1
    return [text] if level else [*parts, text[start:]]
