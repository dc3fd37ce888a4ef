"""A few of the calibration images, for what cannot look at all: the same ones in any order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import InputError


@dataclass(slots=True)
class Sample:
    """Keeps the ``size`` images with the least SHA-256 of those that pass: a choice as good as
    drawn that depends neither on their order nor on the size of the batches."""

    size: int
    kept: dict[bytes, NDArray[np.float32]] = field(default_factory=dict)

    def passing(self, batches: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
        """The batches (N, 3, H, W) as they are, looked at on their way."""
        for batch in batches:
            for image in batch if self.size else ():
                self._consider(image)
            yield batch

    def _consider(self, image: NDArray[np.float32]) -> None:
        key = hashlib.sha256(np.ascontiguousarray(image).data).digest()
        if len(self.kept) == self.size and key >= max(self.kept):
            return
        self.kept[key] = image.copy()
        if len(self.kept) > self.size:
            del self.kept[max(self.kept)]

    def images(self) -> NDArray[np.float32]:
        """(M, 3, H, W), at most ``size``, each once; raises InputError when none has passed."""
        if not self.kept:
            raise InputError("no calibration image was given: at least one is needed.")
        return np.stack([self.kept[key] for key in sorted(self.kept)])
