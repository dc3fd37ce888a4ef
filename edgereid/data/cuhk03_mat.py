"""Reading CUHK03's ``.mat`` files: the only file that imports h5py and SciPy.

``cuhk-03.mat`` is MATLAB 7.3, that is HDF5: ``labeled`` and ``detected`` are cell arrays, one cell
a pair of cameras, each a cell array (person, 10) of images; the first five are of the pair's first
camera. HDF5 has the axes reversed: an image (H, W, 3) is stored as (3, W, H). The files
``cuhk03_new_protocol_config_*.mat`` are MATLAB 5.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.data.listing import read_file
from edgereid.errors import InputError

#: The files have some 200 kB; what unpacks to more is not one of them.
MAX_SPLIT_BYTES = 16 * 2**20
MAX_INFLATED_BYTES = 64 * 2**20
MAX_SIDE = 2000
MAX_IMAGES = 100_000
MAX_PAIRS = 5
#: Pair of cameras, person of the pair, view, place in the cell array: all from 1.
NAME = re.compile(r"([1-5])_(\d{3})_([12])_(\d{2})\.png", re.ASCII)
_SPLITS = ("train", "query", "gallery")
_COMPRESSED = 15
_VIEW = 5  # the first five of a person's ten cells are of the pair's first camera


@dataclass(frozen=True, slots=True)
class Split:
    """The new protocol's lists of image names, in the order of its indices."""

    train: tuple[str, ...]
    query: tuple[str, ...]
    gallery: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Every image that is used, sorted, each once."""
        return tuple(sorted({*self.train, *self.query, *self.gallery}))


def read_split(path: Path) -> Split:
    """A file ``cuhk03_new_protocol_config_*.mat``.

    Raises: InputError when it is missing, truncated, no MATLAB 5 file, without the variables of
    the protocol, with an index outside its list, or when its ``labels`` contradict the names.
    """
    variables = _load_variables(path)
    names = [_text(path, item) for item in np.ravel(variables["filelist"])]
    labels = _whole(path, "labels", variables)
    if not len(names) == len(labels) == np.size(variables["camId"]):
        raise InputError(f"{path}: filelist, labels and camId differ in length; get the file again")
    _check_names(path, names, labels.tolist())
    chosen = {}
    for split in _SPLITS:
        index = _whole(path, f"{split}_idx", variables)
        if index.size == 0 or index.min() < 1 or index.max() > len(names):
            raise InputError(
                f"{path}: {split}_idx is empty or outside 1..{len(names)}; get the file again"
            )
        chosen[split] = tuple(names[i - 1] for i in index)
    return Split(chosen["train"], chosen["query"], chosen["gallery"])


def _load_variables(path: Path) -> dict[str, Any]:
    from scipy.io import loadmat

    wanted = ["filelist", "labels", "camId", *(f"{split}_idx" for split in _SPLITS)]
    data = read_file(path, MAX_SPLIT_BYTES, "a split file of CUHK03-NP")
    try:
        _check_inflated(path, data)
        found: dict[str, Any] = loadmat(io.BytesIO(data), variable_names=wanted)
    except InputError:
        raise
    except Exception as error:  # SciPy's reader raises whatever the bytes lead it to
        raise InputError(
            f"{path} is truncated or no MATLAB 5 file ({type(error).__name__}: {error}); "
            "get the split file again"
        ) from error
    missing = [name for name in wanted if name not in found]
    if missing:
        raise InputError(f"{path} lacks {', '.join(missing)}: not a split file of CUHK03-NP")
    return found


def _check_inflated(path: Path, data: bytes) -> None:
    """Raise InputError when the file's compressed variables unpack to too much; it is a header of
    128 bytes, then (type, size) and so many bytes each, type 15 being a zlib stream."""
    order, place, total = ("<" if data[126:128] == b"IM" else ">"), 128, 0
    while place + 8 <= len(data) and total < MAX_INFLATED_BYTES:
        kind, size = struct.unpack_from(f"{order}II", data, place)
        block = data[place + 8 : place + 8 + size]
        if kind == _COMPRESSED:
            total += len(zlib.decompressobj().decompress(block, MAX_INFLATED_BYTES))
        place += 8 + size
    if total >= MAX_INFLATED_BYTES:
        limit = MAX_INFLATED_BYTES // 2**20
        raise InputError(f"{path} unpacks to more than {limit} MiB: not a split file of CUHK03-NP")


def _text(path: Path, item: Any) -> str:
    """A cell of ``filelist``: a MATLAB string, however deep it is wrapped."""
    while isinstance(item, np.ndarray) and item.size == 1:
        item = item.ravel()[0]
    if not isinstance(item, str):
        raise InputError(f"{path}: filelist holds something else than names; get the file again")
    return item


def _whole(path: Path, name: str, variables: dict[str, Any]) -> NDArray[np.int64]:
    """A vector of whole numbers; MATLAB stores them as float64 or as small integers."""
    values = np.ravel(variables[name])
    if values.dtype.kind not in "iuf" or values.size > MAX_IMAGES:
        raise InputError(f"{path}: {name} holds no whole numbers; get the file again")
    if not np.all(np.isfinite(values)) or np.any(values != np.round(values)):
        raise InputError(f"{path}: {name} holds no whole numbers; get the file again")
    return values.astype(np.int64)


def _check_names(path: Path, names: Sequence[str], labels: Sequence[int]) -> None:
    """Each name is well-formed, and ``labels`` and names group the images in the same way."""
    persons: dict[int, str] = {}
    for name, label in zip(names, labels, strict=True):
        if NAME.fullmatch(name) is None:
            raise InputError(f"{path}: {name!r:.60} is no image name such as 1_001_1_01.png")
        if persons.setdefault(label, name[:5]) != name[:5]:
            raise InputError(f"{path}: label {label} stands for {persons[label]} and {name[:5]}")
    if len(set(persons.values())) != len(persons):
        raise InputError(f"{path}: one person has several labels; get the file again")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Any]:
    """``cuhk-03.mat`` as an HDF5 file. Raises InputError when it is missing, truncated or no HDF5
    file, also for what reading it raises later."""
    import h5py

    if not os.path.isfile(path):
        raise InputError(f"{path} not found: it is the file of the CUHK03 release with the images")
    try:
        with h5py.File(path, "r") as file:
            yield file
    except InputError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError) as error:  # h5py's and HDF5's own
        if isinstance(error, OSError) and error.filename is not None:
            raise  # another file than this one
        raise InputError(
            f"{path} is truncated or no MATLAB 7.3 (HDF5) file ({error}); get the release again"
        ) from error


def images(file: Any, kind: str, names: Sequence[str]) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """The images ``names`` of the cell array ``kind``, each as (H, W, 3) uint8 in RGB.

    Raises InputError when a cell is missing, empty or no image of at most ``MAX_SIDE`` a side.
    """
    pairs = _cells(file, kind)
    cells = [_cells_of(file, pairs[0, pair], kind) for pair in range(pairs.shape[1])]
    for name in names:
        match = NAME.fullmatch(name)
        if match is None:
            raise InputError(f"{name!r:.60} is no image name such as 1_001_1_01.png")
        pair, person, view, place = (int(group) - 1 for group in match.groups())
        if view != (place >= _VIEW):
            raise InputError(f"{name}: place {place + 1} is not of view {view + 1}")
        if pair >= len(cells) or place >= cells[pair].shape[0] or person >= cells[pair].shape[1]:
            raise InputError(f"{file.filename}: {kind} has no cell for {name}: another release?")
        yield name, _image(file, cells[pair][place, person], name)


def _cells(file: Any, kind: str) -> NDArray[np.object_]:
    """The cell array ``kind`` in the file itself: a link to another file is not followed."""
    import h5py

    if not isinstance(file.get(kind, getlink=True), h5py.HardLink):
        raise InputError(f"{file.filename} has no {kind!r}: not the CUHK03 release")
    return _references(file, file[kind], kind, MAX_PAIRS)


def _cells_of(file: Any, reference: Any, kind: str) -> NDArray[np.object_]:
    return _references(file, file[reference], kind, MAX_IMAGES)


def _references(file: Any, item: Any, kind: str, most: int) -> NDArray[np.object_]:
    import h5py

    inside = isinstance(item, h5py.Dataset) and item.external is None and not item.is_virtual
    if not inside or item.ndim != 2 or item.size > most or item.dtype != h5py.ref_dtype:
        raise InputError(f"{file.filename}: {kind!r} is no cell array: not the CUHK03 release")
    return np.asarray(item[()], dtype=object)


def _image(file: Any, reference: Any, name: str) -> NDArray[np.uint8]:
    import h5py

    item = file[reference]
    inside = isinstance(item, h5py.Dataset) and item.external is None and not item.is_virtual
    shape: tuple[int, ...] = item.shape if inside else ()
    if len(shape) != 3 or shape[0] != 3 or item.dtype != np.uint8 or 0 in shape:
        raise InputError(f"{file.filename}: the cell of {name} holds no image (H, W, 3) of uint8")
    if max(shape) > MAX_SIDE:
        raise InputError(
            f"{file.filename}: {name} is larger than {MAX_SIDE} pixels a side: no crop"
        )
    return np.ascontiguousarray(np.asarray(item[()], dtype=np.uint8).T)
