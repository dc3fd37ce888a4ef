"""Does a choice keep the accuracy budget?

With labels: the upper bound of the loss in mAP must be inside the budget. Several choices may be
judged before one passes, so each gets its part of the permitted error: a half, a quarter, an eighth
and so on, together never more than ``ERROR_RATE``.

Without labels mAP is not known. Then the embeddings must stay (``MIN_COSINE``), and so must the
best match of most crops: rule of thumb, one in ``CHANGED_PER_LOST`` changed best matches is a loss.
"""

from __future__ import annotations

from edgereid.search.measured import Agreement, Drop

ERROR_RATE = 0.05
MIN_COSINE = 0.99
CHANGED_PER_LOST = 10


def level(judged_before: int) -> float:
    """The error rate allowed to the next judgement."""
    return float(ERROR_RATE / 2 ** (judged_before + 1))


def keeps_budget(drop: Drop | None, agreement: Agreement, max_drop: float) -> bool:
    """``max_drop`` in points of mAP."""
    if drop is not None:
        return bool(drop.high <= max_drop)
    changed = 1 - agreement.kept
    return bool(agreement.cosine >= MIN_COSINE and changed <= allowed_changes(max_drop))


def allowed_changes(max_drop: float) -> float:
    """The share of crops whose best match may change, without labels."""
    return CHANGED_PER_LOST * max_drop / 100
