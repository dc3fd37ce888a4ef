"""Every registered network beside its paper: the rows of ``edgereid profile --all``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edgereid.models.registry import entry, names
from edgereid.profile.accuracy import PUBLISHED, MeasuredAccuracy
from edgereid.profile.network import CONVENTIONS, Profile, profile
from edgereid.progress import progress

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Deviation:
    """A count of ours beside the paper's; ``reason``, in the registry's words, where they differ.

    ``as_printed``: ours, rounded to as many digits as the paper prints, is the paper's.
    """

    ours: int
    paper: float
    reason: str

    @property
    def percent(self) -> float:
        return 100 * (self.ours - self.paper) / self.paper

    @property
    def as_printed(self) -> bool:
        printed = f"{self.paper:.9e}".partition("e")[0].rstrip("0")
        decimals = len(printed) - len("2.")
        return f"{self.ours:.{decimals}e}" == f"{self.paper:.{decimals}e}"

    def to_json(self) -> dict[str, Any]:
        return {
            "paper": self.paper,
            "deviation_percent": round(self.percent, 3),
            "as_printed": self.as_printed,
            "reason": "" if self.as_printed else self.reason,
        }


@dataclass(frozen=True, slots=True)
class SurveyRow:
    """A network of the survey. ``main``: a network that its paper proposes (it has an entry of
    published figures), not one of its ablations. None where the paper prints no count."""

    profile: Profile
    paper: str
    main: bool
    parameters: Deviation | None
    macs: Deviation | None

    def to_json(self) -> dict[str, Any]:
        published = self.profile.published
        return {
            **self.profile.figures(),
            "paper": self.paper,
            "main": self.main,
            "published": {
                "source": "" if published is None else published.source,
                "parameters": None if self.parameters is None else self.parameters.to_json(),
                "macs": None if self.macs is None else self.macs.to_json(),
            },
        }


def row_of(found: Profile, paper: str) -> SurveyRow:
    """A profile beside what its paper prints."""
    published = found.published
    if published is None:
        return SurveyRow(found, paper, False, None, None)
    pairs = ((found.parameters, published.parameters), (found.macs, published.macs))
    parameters, macs = (
        None if printed is None else Deviation(ours, printed, published.deviation)
        for ours, printed in pairs
    )
    return SurveyRow(found, paper, True, parameters, macs)


def survey() -> tuple[SurveyRow, ...]:
    """Profile every registered network, one at a time; a bar on standard error. A paper's networks
    follow each other, its ablations behind them."""
    known = [entry(name) for name in names()]
    rows = [
        row_of(profile(e.name), e.paper)
        for e in progress(known, label="profiling", total=len(known))
    ]
    return in_order(rows)


def in_order(rows: Iterable[SurveyRow]) -> tuple[SurveyRow, ...]:
    """By paper (that of the first name comes first), main networks before ablations, by name."""
    rows = sorted(rows, key=lambda row: (not row.main, row.profile.network))
    papers = list(dict.fromkeys(row.paper for row in rows))
    return tuple(sorted(rows, key=lambda row: papers.index(row.paper)))


def to_json(rows: Iterable[SurveyRow], measured: Iterable[MeasuredAccuracy]) -> dict[str, Any]:
    """The whole survey: conventions, networks, published accuracy, measured accuracy."""
    return {
        "schema": SCHEMA,
        "conventions": CONVENTIONS,
        "networks": [row.to_json() for row in rows],
        "published_accuracy": [row.to_json() for row in PUBLISHED],
        "measured_accuracy": [row.to_json() for row in measured],
    }
