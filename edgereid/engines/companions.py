"""The files that a runtime reads along with an engine file: a weights file, external tensors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from edgereid.engines.onnx_file import read_onnx
from edgereid.errors import InputError


def _of_onnx(path: Path) -> tuple[str, ...]:
    return tuple(str(PurePosixPath(name)) for name in sorted(read_onnx(path).external))


def _of_openvino(path: Path) -> tuple[str, ...]:
    return (path.with_suffix(".bin").name,)


_COMPANIONS: dict[str, Callable[[Path], tuple[str, ...]]] = {
    ".onnx": _of_onnx,
    ".xml": _of_openvino,
}


def companions(path: Path) -> tuple[str, ...]:
    """Their names, relative to the directory of ``path``.

    An ONNX file chooses these names itself, so it could have any file read. Raises InputError on a
    name that leads out of the directory (by "..", an absolute path or a link), on a file that is
    missing and on a damaged ONNX file.
    """
    find = _COMPANIONS.get(path.suffix.lower())
    names = find(path) if find else ()
    for name in names:
        file = path.parent / name
        if not file.resolve().is_relative_to(path.parent.resolve()):
            raise InputError(f"{path} keeps tensors in {name!r}, outside its directory: refused.")
        if not file.is_file():
            raise InputError(f"{file} is missing: {path.name} keeps its weights there, copy both.")
    return names
