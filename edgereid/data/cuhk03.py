"""CUHK03 [Li et al., CVPR 2014] in the new protocol [Zhong et al., CVPR 2017].

A copy is ``cuhk-03.mat`` (or ``cuhk03_release/cuhk-03.mat``) beside the protocol's split file,
``cuhk03_new_protocol_config_labeled.mat`` or ``..._detected.mat``: hand-drawn or detected boxes,
two datasets reported apart. The images are inside the ``.mat``: they are unpacked once, without
loss, into a folder of PNG files that is a dataset of its own (it holds the split, too) and is read
without h5py and SciPy from then on.

Names are ``PAIR_PERSON_VIEW_PLACE.png``. Person 1000 x PAIR + PERSON, camera 2 x (PAIR - 1) + VIEW:
five pairs of cameras, and each person is seen by one pair.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from PIL import Image

from edgereid.data.cuhk03_mat import NAME, Split, images, opened, read_split
from edgereid.data.listing import check_folder, entries
from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.errors import InputError, UsageError
from edgereid.files import atomic_directory, dump_json, read_json, sha256, write_text
from edgereid.progress import note, progress

KINDS = ("labeled", "detected")
RELEASE = "cuhk-03.mat"
#: In the folder of unpacked images: which they are, from what, and the split.
MARKER = "edgereid-cuhk03.json"
_VERSION = 1
_SUBSETS = ("train", "query", "gallery")


def split_name(kind: str) -> str:
    """The protocol's split file of ``kind``, as it is published."""
    return f"cuhk03_new_protocol_config_{kind}.mat"


def unpacked(root: Path, kind: str) -> Path:
    """Where the images of ``kind`` are unpacked unless told otherwise."""
    return root / f"edgereid-cuhk03-{kind}"


def fits(root: Path, kind: str) -> bool:
    """Whether ``root`` has the split file of ``kind``, or the images unpacked from it."""
    if os.path.isfile(root / MARKER):
        return bool(_read_marker(root)["kind"] == kind)
    return os.path.isfile(root / split_name(kind)) or os.path.isfile(unpacked(root, kind) / MARKER)


def load_cuhk03(root: Path, kind: str, cache: Path | None = None) -> ReidDataset:
    """The dataset in ``root``: a copy as published, or a folder unpacked before.

    ``kind``: labeled or detected. ``cache``: where to unpack (``root/edgereid-cuhk03-KIND``); a
    folder that was unpacked from other files is replaced.
    Raises: InputError on a missing, truncated or foreign file, UsageError on an unknown kind,
    StorageError when the images cannot be written.
    """
    if kind not in KINDS:
        raise UsageError(f"kind {kind!r:.40} of CUHK03 is unknown: {', '.join(KINDS)}.")
    holds = f"{RELEASE} and {split_name(kind)}"
    check_folder(root, holds)
    if os.path.isfile(root / MARKER):
        return _load_unpacked(root, kind)
    folder = unpacked(root, kind) if cache is None else cache
    split, release = root / split_name(kind), _release(root)
    if os.path.isfile(split) and release is not None:
        if _source_of(folder) != _source(split, release):
            _unpack(split, release, kind, folder)
    elif not os.path.isfile(folder / MARKER):
        missing = [RELEASE] * (release is None) + [split.name] * (not os.path.isfile(split))
        raise InputError(
            f"{root}: {', '.join(missing)} not found; name the folder that holds {holds}"
        )
    return _load_unpacked(folder, kind)


def _release(root: Path) -> Path | None:
    places = (root / RELEASE, root / "cuhk03_release" / RELEASE)
    return next((path for path in places if os.path.isfile(path)), None)


def _source(split: Path, release: Path) -> dict[str, Any]:
    """What tells one source from another, without reading all of a file of gigabytes."""
    return {"split_sha256": sha256(split), "release_bytes": release.stat().st_size}


def _source_of(folder: Path) -> Any:
    return _read_marker(folder)["source"] if os.path.isfile(folder / MARKER) else None


def _unpack(split_file: Path, release: Path, kind: str, folder: Path) -> None:
    """Write every image of the split and the marker: all of it, or nothing."""
    split = read_split(split_file)
    names = split.names
    note(f"unpacking {len(names):,} images of {release} into {folder} (once)")
    marker = {
        "version": _VERSION,
        "kind": kind,
        "source": _source(split_file, release),
        **{subset: list(getattr(split, subset)) for subset in _SUBSETS},
    }
    with opened(release) as file, atomic_directory(folder, overwrite=True, marker=MARKER) as new:
        pictures = images(file, kind, names)
        for name, pixels in progress(pictures, label="unpacking", total=len(names)):
            Image.fromarray(pixels).save(new / name, compress_level=1)
        write_text(new / MARKER, dump_json(marker))


def _read_marker(folder: Path) -> dict[str, Any]:
    path = folder / MARKER
    value = read_json(path)
    known = isinstance(value, dict) and value.get("version") == _VERSION
    if not known or not all(key in value for key in ("kind", "source", *_SUBSETS)):
        raise InputError(
            f"{path} is not from this version of edgereid: remove the folder and unpack again"
        )
    return dict(value)


def _load_unpacked(folder: Path, kind: str) -> ReidDataset:
    marker = _read_marker(folder)
    if marker["kind"] != kind:
        raise InputError(f"{folder} holds the {marker['kind']!r:.20} images, not the {kind} ones")
    split = Split(*(_names(folder, marker[subset]) for subset in _SUBSETS))
    missing = set(split.names) - set(entries(folder))
    if missing:
        raise InputError(
            f"{folder} lacks {len(missing):,} images, {min(missing)} first: "
            "remove the folder and unpack again"
        )
    train, query, gallery = (_records(folder, getattr(split, subset)) for subset in _SUBSETS)
    layout = f"cuhk03-{kind}"
    return ReidDataset(layout, folder, train, query, gallery, layout=layout)


def _names(folder: Path, names: Any) -> tuple[str, ...]:
    if not isinstance(names, list) or not all(
        isinstance(name, str) and NAME.fullmatch(name) for name in names
    ):
        raise InputError(f"{folder / MARKER} holds no image names: remove the folder, unpack again")
    return tuple(names)


def _records(folder: Path, names: Iterable[str]) -> tuple[ImageRecord, ...]:
    return tuple(_record(folder, name) for name in names)


def _record(folder: Path, name: str) -> ImageRecord:
    pair, person, view = int(name[0]), int(name[2:5]), int(name[6])
    return ImageRecord(folder / name, 1000 * pair + person, 2 * (pair - 1) + view)
