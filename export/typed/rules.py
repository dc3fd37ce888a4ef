"""What stays FP32 in an FP16 network, in one table with reasons.

The strongly typed file is written by it (``cast.py``), and a weakly typed builder gets the same
layers by name (``float32_layers``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from edgereid.export.lint.view import View, label
from edgereid.export.typed import conditions as c

_Condition = Callable[[View, Any], bool]


def _operators(*kinds: str) -> _Condition:
    return lambda _, node: node.op_type in kinds


@dataclass(frozen=True, slots=True)
class Rule:
    """``applies`` to a node. ``until``: the nodes that read its result stay FP32 too, up to and
    with one for which this holds (None: they do not); a layer with weights is never among them,
    unless ``layers``. ``behind``: the inputs whose arithmetic stays FP32 too, back to a layer with
    weights or a mean."""

    name: str
    why: str
    applies: _Condition
    until: _Condition | None = None
    behind: tuple[int, ...] = ()
    layers: bool = False


RULES = (
    Rule(
        "power", "a power leaves FP16's range: x^3 above 40, x^2 above 256", c.grows, c.closes
    ),
    Rule(
        "norm", "a sum of squares leaves FP16's range at a norm of 256",
        _operators(
            "ReduceL2", "ReduceL1", "ReduceSumSquare", "ReduceLogSumExp", "ReduceLogSum",
            "ReduceProd", "CumSum", "Exp",
        ),
        c.closes,
    ),
    Rule("normalised", "a sum of squares leaves FP16's range", _operators("LpNormalization")),
    Rule("sum", "a sum of many numbers leaves FP16's range", c.long_sum, c.closes),
    Rule("softmax", "its sum of exponentials loses digits", _operators("Softmax", "LogSoftmax")),
    Rule(
        "variance", "a variance squares what it is given, and may be smaller than FP16 can say",
        _operators(
            "InstanceNormalization", "LayerNormalization", "GroupNormalization",
            "BatchNormalization", "MeanVarianceNormalization", "RMSNormalization",
        ),
    ),
    Rule(
        "crop", "a place in an image needs more digits than FP16's three",
        _operators("GridSample"), behind=(1,),
    ),
    Rule("grid", "a place in an image needs more digits", _operators("AffineGrid"), behind=(0,)),
    Rule(
        "interpolation", "a place in an image needs more digits than FP16's three",
        c.distance, c.bounded, behind=(0,),
    ),
    Rule("sizes", "sizes are exact up to 2048 only", c.sizes),
    Rule("integers", "integers are exact up to 2048 only", c.to_integers),
    Rule("pixels", "the input's normalisation takes the difference of large numbers", c.pixels),
    Rule("small", "a constant below 6.1e-5 is denormal or zero in FP16", c.small, c.closes),
    Rule("large", "a constant above 65504 is infinity in FP16", c.large, c.closes),
    Rule(
        "scale", "its scale, or what it stands for, is none of FP16's numbers", c.odd_scale,
        lambda _, node: node.op_type not in c.QUANTIZERS, layers=True,
    ),
)  # fmt: skip
#: Where arithmetic on places or guards ends, seen from behind: what makes data from an image.
_SOURCES = (*c.MULTIPLIERS, *c.QUANTIZERS, "ReduceMean", "GlobalAveragePool", "AveragePool")


#: A weakly typed builder reads float32 scales as they are.
_WEAK = tuple(rule for rule in RULES if rule.name != "scale")


def float32_nodes(view: View, rules: tuple[Rule, ...] = RULES) -> dict[int, str]:
    """Position of a node in the graph -> why it stays FP32, for all with a part in floats."""
    place = {_key(node): i for i, node in enumerate(view.nodes)}
    found: dict[int, str] = {}
    for rule in rules:
        for node in view.nodes:
            if node.input and is_float(view, node) and rule.applies(view, node):
                for other in _region(view, rule, node):
                    found.setdefault(place[_key(other)], rule.why)
    return dict(sorted(found.items()))


def float32_layers(model: Any) -> dict[str, str]:
    """Name of a node -> why it stays FP32 where a builder chooses types, in graph order.

    ``model``: an onnx.ModelProto in float32. Raises InputError when it contradicts itself.
    """
    view = View(model)
    return {label(view.nodes[i]): why for i, why in float32_nodes(view, _WEAK).items()}


def is_float(view: View, node: Any) -> bool:
    """Whether a node reads or makes numbers in float32."""
    return node.op_type not in c.MEASURES and any(
        view.dtype(name) == "float" for name in (*node.input, *node.output) if name
    )


def _key(node: Any) -> str:
    """What tells a node apart: no two nodes make the same tensor."""
    return next((name for name in node.output if name), "")


def _region(view: View, rule: Rule, node: Any) -> Iterator[Any]:
    """A node and all that stays FP32 with it."""
    yield node
    if rule.until is not None:
        yield from _ahead(view, rule, node, rule.until)
    for i in rule.behind:
        if i < len(node.input):
            yield from _behind(view, node.input[i])


def _ahead(view: View, rule: Rule, node: Any, until: _Condition) -> Iterator[Any]:
    waiting, seen = list(node.output), set()
    while waiting:
        for reader, _ in view.readers.get(waiting.pop(), ()):
            stops = reader.op_type in (*c.MULTIPLIERS, *c.QUANTIZERS)
            if _key(reader) in seen or not is_float(view, reader) or (stops and not rule.layers):
                continue
            seen.add(_key(reader))
            yield reader
            if not until(view, reader):
                waiting.extend(reader.output)


def _behind(view: View, name: str) -> Iterator[Any]:
    waiting, seen = [name], set()
    while waiting:
        maker = view.producer(waiting.pop())
        if maker is None or _key(maker) in seen or maker.op_type in _SOURCES:
            continue
        seen.add(_key(maker))
        if is_float(view, maker):
            yield maker
            waiting.extend(maker.input)
