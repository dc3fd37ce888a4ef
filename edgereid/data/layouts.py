"""The one entry to a dataset in a folder: the table of layouts, and how one is recognised."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edgereid.data import csv_list, cuhk03, msmt17
from edgereid.data.dukemtmc import DUKEMTMC
from edgereid.data.folders import GALLERY, QUERY, TRAIN, Family
from edgereid.data.listing import check_folder, entries
from edgereid.data.market1501 import MARKET1501
from edgereid.data.types import ReidDataset
from edgereid.errors import InputError, UsageError

#: (the folder or file a user names, where CUHK03 unpacks its images or None) -> the dataset.
Loader = Callable[[Path, Path | None], ReidDataset]


@dataclass(frozen=True, slots=True)
class Layout:
    """``fits`` says whether a folder (or file) looks like this layout, ``load`` reads it;
    ``holds`` is what a user finds in it."""

    holds: str
    fits: Callable[[Path], bool]
    load: Loader


def _family(family: Family) -> Layout:
    holds = f"{TRAIN}, {QUERY}, {GALLERY} with names such as {family.example}"
    return Layout(holds, family.fits, lambda root, cache: family.load(root))


def _msmt17(version: msmt17.Version) -> Layout:
    holds = f"{msmt17.LISTS[0]} and its likes, {version.train}, {version.test}"
    return Layout(holds, version.fits, lambda root, cache: msmt17.load_msmt17(root, version))


def _cuhk03(kind: str) -> Layout:
    return Layout(
        f"{cuhk03.RELEASE}, {cuhk03.split_name(kind)}",
        lambda root: cuhk03.fits(root, kind),
        lambda root, cache: cuhk03.load_cuhk03(root, kind, cache),
    )


LAYOUTS: dict[str, Layout] = {
    MARKET1501.layout: _family(MARKET1501),
    DUKEMTMC.layout: _family(DUKEMTMC),
    **{f"cuhk03-{kind}": _cuhk03(kind) for kind in cuhk03.KINDS},
    msmt17.V1.layout: _msmt17(msmt17.V1),
    msmt17.V2.layout: _msmt17(msmt17.V2),
    "csv": Layout(
        f"a .csv file with the columns {','.join(csv_list.COLUMNS)}",
        csv_list.fits,
        lambda root, cache: csv_list.load_csv(root),
    ),
}
_SHOWN = 8


def open_dataset(
    root: Path, layout: str | None = None, *, cache: Path | None = None
) -> ReidDataset:
    """The dataset in a folder (or that a .csv file describes), in its official layout.

    ``layout``: a name in ``LAYOUTS``; None recognises it. ``cache``: where CUHK03's images are
    unpacked (in ``root``); no other layout writes anything.
    Raises: UsageError on an unknown name, InputError when the folder is missing, of no known
    layout, of several, or broken.
    """
    chosen = detect(root) if layout is None else layout
    if chosen not in LAYOUTS:
        raise UsageError(f"layout {chosen!r:.40} is unknown: {', '.join(LAYOUTS)}.")
    return LAYOUTS[chosen].load(root, cache)


def fitting(root: Path) -> list[str]:
    """The names of the layouts that ``root`` looks like."""
    return [name for name, layout in LAYOUTS.items() if layout.fits(root)]


def detect(root: Path) -> str:
    """The name of the one layout that ``root`` has. Raises InputError when none or several fit;
    the message lists what was found and what is known."""
    if not os.path.isfile(root):
        check_folder(root, "a dataset")
    found = fitting(root)
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{root} can be read as {' and as '.join(found)}: choose one with --layout NAME"
        )
    known = "; ".join(f"{name} ({layout.holds})" for name, layout in LAYOUTS.items())
    raise InputError(
        f"{root} {_found(root)} and is in no known dataset layout; known: {known}; name another "
        "folder, or draw a dataset with 'edgereid synth DIR'"
    )


def _found(root: Path) -> str:
    if os.path.isfile(root):
        return "is a file"
    names = entries(root)
    if not names:
        return "is empty"
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return f"holds {', '.join(names[:_SHOWN])}{more}"
