"""What repairs, or training with quantisation, hand to the Q/DQ writer: integers and biases.

They belong to one float model and one target, and lie beside the model as ``mended-TARGET.npz``:
whoever quantises that model for that target, with whatever layers kept in float, takes them along.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.table import CalibrationTable
from edgereid.errors import InputError
from edgereid.export.placement import Placement
from edgereid.export.policy import PlacementPolicy
from edgereid.export.qdq import quantize
from edgereid.export.repair.bias import with_shifted_biases
from edgereid.export.weight_codes import WeightCodes
from edgereid.files import write_bytes

_MOST_BYTES = 1 << 32  # of a file's arrays: four times the largest network of the papers
_KINDS = ("integers", "scale", "shift")


@dataclass(frozen=True, slots=True)
class Mended:
    """``codes`` by initializer; ``shifts`` by node: what its bias is changed by (float32, a number
    a channel)."""

    codes: Mapping[str, WeightCodes] = field(default_factory=dict)
    shifts: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)

    def quantize(
        self,
        model: Any,
        table: CalibrationTable,
        policy: PlacementPolicy,
        keep: Collection[str] = (),
    ) -> tuple[Any, Placement]:
        """``edgereid.export.qdq.quantize`` with these weights and biases. A node in ``keep`` has
        its own of both. Raises InputError when they are of another model."""
        nodes = {node.name: node for node in model.graph.node}
        for name in self.shifts:
            if name not in nodes:
                raise InputError(f"a bias of node {name!r} was mended, which the model lacks.")
        shifts = {name: shift for name, shift in self.shifts.items() if name not in keep}
        kept = {name for node in keep if node in nodes for name in nodes[node].input}
        codes = {name: code for name, code in self.codes.items() if name not in kept}
        shifted = with_shifted_biases(model, shifts) if shifts else model
        return quantize(shifted, table, policy, keep, codes)


def mended_file(directory: Path, target: str) -> Path:
    """Where the repairs of a target lie, if there are any."""
    return directory / f"mended-{target}.npz"


def save_mended(mended: Mended, path: Path) -> None:
    """Write a file; the same content always gives the same bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in _arrays(mended).items():
            data = io.BytesIO()
            np.lib.format.write_array(data, array, allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy")  # its date is fixed
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, data.getvalue())
    write_bytes(path, buffer.getvalue())


def _arrays(mended: Mended) -> dict[str, NDArray[Any]]:
    """The arrays by ``KIND:AXIS:NAME``."""
    found: dict[str, NDArray[Any]] = {}
    for name, code in sorted(mended.codes.items()):
        found[f"integers:{code.axis}:{name}"] = code.integers
        found[f"scale:{code.axis}:{name}"] = code.scale
    for name, shift in sorted(mended.shifts.items()):
        found[f"shift:0:{name}"] = shift
    return found


def load_mended(directory: Path, target: str) -> Mended:
    """The repairs that lie beside ``directory``'s model; none where there is no file.

    Raises InputError when the file is damaged, too large or no such file.
    """
    path = mended_file(directory, target)
    if not path.is_file():
        return Mended()
    try:
        return _parse(path)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} cannot be read: {error}.") from error


def _parse(path: Path) -> Mended:
    with zipfile.ZipFile(path) as archive:
        size = sum(entry.file_size for entry in archive.infolist())
    if size > _MOST_BYTES:
        raise ValueError(f"{size:,} bytes of arrays; {_MOST_BYTES:,} are allowed")
    parts: dict[tuple[str, int, str], NDArray[Any]] = {}
    with np.load(path, allow_pickle=False) as file:
        for key in file.files:
            kind, axis, name = key.split(":", 2)
            if kind not in _KINDS:
                raise ValueError(f"an array {key!r}")
            parts[kind, int(axis), name] = file[key]
    codes = {
        name: WeightCodes(array, parts["scale", axis, name], axis)
        for (kind, axis, name), array in parts.items()
        if kind == "integers"
    }
    shifts = {name: array for (kind, _, name), array in parts.items() if kind == "shift"}
    for name, shift in shifts.items():
        if shift.dtype != np.float32 or shift.ndim != 1 or not np.isfinite(shift).all():
            raise ValueError(f"the bias of {name!r} is changed by {shift.dtype} {shift.shape}")
    return Mended(codes, shifts)


def quantize_stored(
    directory: Path,
    target: str,
    model: Any,
    table: CalibrationTable,
    policy: PlacementPolicy,
    keep: Collection[str] = (),
) -> tuple[Any, Placement]:
    """Quantise ``model``, the float one of ``directory``, with the repairs that lie beside it."""
    return load_mended(directory, target).quantize(model, table, policy, keep)
