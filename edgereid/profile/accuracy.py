"""Accuracy to set against parameters: what the papers print, and what our own records say.

The two are of different data: the papers' of Market-1501, ours of the built-in data set. They are
kept in two types so that neither can be drawn as the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgereid.errors import InputError
from edgereid.files import read_json

PAPERS = {
    "D": "Wang et al., Dense-Scale Feature Learning in Person Re-Identification, ACCV 2020",
    "R": "Lawen et al., Attention Network Robustification for Person ReID, arXiv 1910.07038",
    "M": "Wang et al., Learning Discriminative Features with Multiple Granularity, ACM MM 2018",
    "C": "Cao and Lee, An Improved Split-Attention Architecture Based on Circle Loss, 2021",
    "S": "Munir and Micheloni, Self Attention based multi branch Network, SpliTech 2020",
}


@dataclass(frozen=True, slots=True)
class PublishedAccuracy:
    """A row of a paper's table: Rank-1 and mAP on Market-1501, single query, in percent.

    ``parameters`` as printed (None: not printed), ``at_least``: printed as a lower bound;
    ``paper``: a key of ``PAPERS``; ``network``: the registered network that implements it.
    """

    label: str
    parameters: float | None
    rank1: float
    mean_ap: float
    paper: str
    table: str
    network: str | None = None
    at_least: bool = False

    def to_json(self) -> dict[str, Any]:
        """The row, with the paper's title."""
        return {
            "label": self.label,
            "network": self.network,
            "parameters": self.parameters,
            "parameters_at_least": self.at_least,
            "rank1_percent": self.rank1,
            "map_percent": self.mean_ap,
            "dataset": "Market-1501, single query",
            "source": f"{PAPERS[self.paper]}, {self.table}",
        }


_Row = PublishedAccuracy
#: Every row on Market-1501 whose parameters a paper prints, and the papers' own networks.
PUBLISHED: tuple[PublishedAccuracy, ...] = (
    _Row("MobileNetV2", 2.2e6, 87.0, 69.5, "D", "Table 2"),
    _Row("HA-CNN", 2.7e6, 91.2, 75.7, "D", "Table 2", "hacnn"),
    _Row("OSNet, from scratch", 2.2e6, 93.6, 81.0, "D", "Table 2", "osnet_x1_0"),
    _Row("DSLNet, from scratch", 1.9e6, 94.0, 83.9, "D", "Table 2", "dslnet"),
    _Row("IANet", 23.5e6, 94.4, 83.1, "D", "Table 3", at_least=True),
    _Row("DG-Net", 23.5e6, 94.8, 86.0, "D", "Table 3", at_least=True),
    _Row("st-ReID", 23.5e6, 98.1, 87.6, "D", "Table 3", at_least=True),
    _Row("VA-reID", 46.9e6, 96.2, 91.7, "D", "Table 3", at_least=True),
    _Row("Luo et al.", 46.9e6, 95.0, 88.2, "D", "Table 3"),
    _Row("Auto-ReID", 13.1e6, 94.5, 85.1, "D", "Table 3"),
    _Row("OSNet", 2.2e6, 94.8, 84.9, "D", "Table 3", "osnet_x1_0"),
    _Row("DSLNet", 1.9e6, 94.5, 85.1, "D", "Table 3", "dslnet"),
    _Row("DSLNet, E-TriHard", 1.9e6, 95.1, 87.3, "D", "Table 3", "dslnet"),
    _Row("Robust-ReID 1x", 2.9e6, 95.8, 88.7, "R", "Tables 1 and 4", "robust_reid_1x"),
    _Row("Robust-ReID 2x", 6.4e6, 96.2, 89.7, "R", "Tables 1 and 4", "robust_reid_2x"),
    _Row("MGN", None, 95.7, 86.9, "M", "Table 2", "mgn"),
    _Row("ResNeSt-50", None, 96.1, 88.2, "C", "Table 1", "resnest50_k2r3"),
    _Row("SA-MBN", None, 93.8, 80.8, "S", "Table I", "sa_mbn"),
)


@dataclass(frozen=True, slots=True)
class MeasuredAccuracy:
    """What the record beside shipped weights says, in percent, on the built-in data set."""

    network: str
    rank1: float
    mean_ap: float
    queries: int
    gallery: int
    record: str

    def to_json(self) -> dict[str, Any]:
        """The record's figures and its file name."""
        return {
            "network": self.network,
            "rank1_percent": self.rank1,
            "map_percent": self.mean_ap,
            "queries": self.queries,
            "gallery": self.gallery,
            "dataset": "built-in data set",
            "record": self.record,
        }


def shipped_weights() -> Path:
    """The folder of the weights that come with the package, each with its record."""
    return Path(__file__).parents[1] / "weights"


def measured(folder: Path) -> tuple[MeasuredAccuracy, ...]:
    """The records (``*.json``) of a folder, by network. Raises InputError on one that is no record
    of a training with an evaluation."""
    return tuple(sorted(map(_read, folder.glob("*.json")), key=lambda found: found.network))


def _read(path: Path) -> MeasuredAccuracy:
    record = read_json(path)
    try:
        found = record["evaluation"]
        return MeasuredAccuracy(
            network=str(record["network"]),
            rank1=100 * float(found["rank1"]),
            mean_ap=100 * float(found["map"]),
            queries=int(found["queries"]),
            gallery=int(found["gallery"]),
            record=path.name,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} is no training record with an evaluation ({error!r}): it needs the fields "
            "network and evaluation with rank1, map, queries and gallery."
        ) from error
