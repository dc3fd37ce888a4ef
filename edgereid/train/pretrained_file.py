"""Files of pretrained weights: found, downloaded only when asked for, read without running their
code."""

from __future__ import annotations

import http.client
import pickle
import re
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from edgereid.errors import EdgeReidError, InputError, IntegrityError, StorageError
from edgereid.files import atomic_path, sha256
from edgereid.progress import note

MAX_BYTES = 2 * 2**30
#: What ``--pretrained`` takes instead of a file; the one word that allows a download.
TORCHVISION = "torchvision"

_CONTAINERS = ("state_dict", "model")
_PREFIXES = ("module.", "backbone.", "model.")
_NAME_LENGTH, _ENTRIES = 500, 50_000  # far above any network's


@dataclass(frozen=True, slots=True)
class WeightsFile:
    """The dense CPU tensors of a file by name, and the names of what else is in it."""

    tensors: dict[str, Tensor]
    others: tuple[str, ...]


def torchvision_url() -> str:
    """Where torchvision's ResNet50_Weights.IMAGENET1K_V1 is; the name holds its digest."""
    from torchvision.models import ResNet50_Weights  # seconds to import

    return str(ResNet50_Weights.IMAGENET1K_V1.url)


def locate(choice: str) -> Path:
    """The file that ``--pretrained`` means, there or not; torchvision's is in torch.hub's cache."""
    if choice != TORCHVISION:
        return Path(choice)
    return Path(torch.hub.get_dir()) / "checkpoints" / torchvision_url().rsplit("/", 1)[-1]


def fetch(choice: str) -> Path:
    """The file, downloaded first where ``choice`` is TORCHVISION and the cache lacks it.

    Raises InputError when the download fails, StorageError when the cache cannot be written,
    IntegrityError when the file in the cache is not the one that its name promises.
    """
    path = locate(choice)
    if choice != TORCHVISION:
        return path
    digest = re.search(r"-([0-9a-f]{8,64})\.", path.name)
    expected = digest.group(1) if digest else ""
    if not path.exists():
        _download(torchvision_url(), path, expected)
    if not sha256(path).startswith(expected):
        raise IntegrityError(
            f"{path} is not torchvision's file: its SHA-256 should begin with {expected}. "
            "Remove it and run again."
        )
    return path


def _download(url: str, path: Path, expected: str) -> None:
    note(f"downloading {url} to {path}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"cannot write {path.parent}: {error.strerror or error}.") from error
    try:
        with atomic_path(path) as temporary:
            torch.hub.download_url_to_file(
                url, str(temporary), expected or None, progress=sys.stderr.isatty()
            )
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        raise InputError(
            f"cannot download {url} ({_first_line(error)}): connect to the network, or put "
            f"the file at {path}, or give its path with --pretrained."
        ) from error


def read(path: Path) -> WeightsFile:
    """Read ``.safetensors``, or what torch.save wrote (tensors only): a state dict, bare or under
    "state_dict" or "model". Beginnings that all names share ("module.") are taken off.

    Raises InputError when the file is missing, larger than MAX_BYTES, cut off, or holds no tensors.
    """
    _check_size(path)
    reader = _read_safetensors if path.suffix == ".safetensors" else _read_torch
    try:
        value = reader(path)
    except EdgeReidError:
        raise
    except (pickle.UnpicklingError, EOFError) as error:
        raise InputError(
            f"{path} cannot be read: it is cut off, or holds more than tensors and plain values."
        ) from error
    except Exception as error:  # a damaged pickle raises whatever its damage leads to
        raise InputError(f"{path} cannot be read: {_first_line(error)}.") from error
    state = next((value[k] for k in _CONTAINERS if isinstance(value.get(k), dict)), value)
    named = all(isinstance(k, str) and _printable(k) for k in state)
    if len(state) > _ENTRIES or not named:
        raise InputError(f"{path} holds names that are not those of layers, or too many of them.")
    tensors = {k: v for k, v in state.items() if _is_plain(v)}
    if not tensors:
        raise InputError(f"{path} holds no weights: a state dict (names and tensors) is needed.")
    return WeightsFile(_without_prefix(tensors), tuple(k for k in state if k not in tensors))


def _check_size(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"{path} is no file: --pretrained takes a file or 'torchvision'.")
    size = path.stat().st_size
    if zipfile.is_zipfile(path):  # torch.save's format; what is in it may be compressed
        try:
            with zipfile.ZipFile(path) as archive:
                size = max(size, sum(entry.file_size for entry in archive.infolist()))
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            raise InputError(f"{path} is a damaged archive: {_first_line(error)}.") from error
    if size > MAX_BYTES:
        limit = MAX_BYTES / 2**30
        raise InputError(f"{path} holds {size / 2**30:.1f} GiB: at most {limit:g} GiB are read.")


def _read_safetensors(path: Path) -> dict[Any, Any]:
    return dict(load_file(path))


def _read_torch(path: Path) -> dict[Any, Any]:
    value = torch.load(path, map_location="cpu", weights_only=True)
    if not isinstance(value, dict):
        raise InputError(
            f"{path} holds a {type(value).__name__}: a state dict (names and tensors) is needed."
        )
    return value


def _is_plain(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and value.device.type == "cpu"
        and not (value.is_quantized or value.is_complex())
    )


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            return _without_prefix({k.removeprefix(prefix): v for k, v in state.items()})
    return state


def _printable(name: str) -> bool:
    return 0 < len(name) <= _NAME_LENGTH and name.isprintable()


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:200].rstrip(".") if text else type(error).__name__
