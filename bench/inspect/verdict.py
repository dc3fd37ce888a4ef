"""Did the engine do what was asked for a node? By the layers that may do the node's work."""

from __future__ import annotations

from collections.abc import Sequence

from edgereid.bench.inspect.origin import KEPT_FLOAT
from edgereid.bench.inspect.types import FLOATS, Ran


def judged(asked: str, ran: Sequence[Ran]) -> str:
    """``asked`` "int8": "kept", "refused" or "unclear"; ``KEPT_FLOAT``: "kept", "lowered" or
    "unclear"; anything else: "". ``ran``: one layer, or several that cannot be told apart, or none
    that is known."""
    return _VERDICTS[asked](ran) if asked in _VERDICTS else ""


def _int8(ran: Sequence[Ran]) -> str:
    if ran and all(r.precision in FLOATS for r in ran):
        return "refused"
    return "kept" if ran and all(r.precision == "int8" for r in ran) else "unclear"


def _float(ran: Sequence[Ran]) -> str:
    if not ran or any(r.precision is None for r in ran):
        return "unclear"
    return "kept" if all(r.precision in ("f32", "tf32") for r in ran) else "lowered"


_VERDICTS = {"int8": _int8, KEPT_FLOAT: _float}
