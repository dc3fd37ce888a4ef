"""Is a quantised engine still a re-identification network? Checked before a bundle is written."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import InputError
from edgereid.export.parity import Run, cosines, in_batches
from edgereid.retrieval.centred import centred_cosines, unit_rows
from edgereid.retrieval.certificate import certify

MIN_CENTRED_COSINE = 0.5
MIN_SPREAD = 0.25
MIN_BATCH_COSINE = 0.99
MIN_VARIATION = 1e-3  # spread of a network's own features, relative to their length
LARGE, ODD, SINGLES = 16, 3, 8  # batch sizes; images that are run one by one


class CollapseError(InputError):
    """A quantised engine that no longer tells images apart as the float network does."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """A quantised engine beside the float network, on the same images without labels.

    Best matches are those of each crop among the others. ``certified``: it certainly stays, whoever
    is in the gallery's place, as the embeddings moved less than it leads; ``certified_mixed``: in
    a gallery of the float network's embeddings; ``kept``: it did stay.
    """

    centred_cosine: float  # mean over the images, after removing the mean embedding
    spread: float  # of the embeddings about their mean, relative to the float network's
    batch_cosine: float  # worst image, over batch sizes and orders
    crops: int
    certified: float
    certified_mixed: float
    kept: float

    def to_json(self) -> dict[str, float]:
        return asdict(self)

    def require(self, what: str) -> None:
        """Raise CollapseError when the engine collapsed, InputError when it depends on the
        batch."""
        if self.spread < MIN_SPREAD:
            raise CollapseError(
                f"{what} has collapsed: its embeddings spread {self.spread:.3f} times as far as "
                f"the float network's (at least {MIN_SPREAD}); try other calibration images "
                "or another --method."
            )
        if self.centred_cosine < MIN_CENTRED_COSINE:
            raise CollapseError(
                f"{what} has lost the float network's embeddings: centred cosine "
                f"{self.centred_cosine:.3f} (at least {MIN_CENTRED_COSINE}); "
                "try other calibration images or another --method."
            )
        if self.batch_cosine < MIN_BATCH_COSINE:
            raise InputError(
                f"{what} gives one image another embedding in another batch: cosine "
                f"{self.batch_cosine:.4f} (at least {MIN_BATCH_COSINE})."
            )


def spread(features: NDArray[np.floating]) -> float:
    """Root mean squared distance of the rows from their mean."""
    x = features.astype(np.float64)
    return float(np.sqrt(((x - x.mean(axis=0)) ** 2).sum(axis=1).mean()))


def require_varied(features: NDArray[np.floating], what: str) -> None:
    """Raise InputError when features are not finite or hardly depend on the image: then no
    comparison with them would say anything."""
    if not np.isfinite(features).all():
        raise InputError(f"{what} gives NaN or infinity: check its weights.")
    size = float(np.linalg.norm(features.astype(np.float64), axis=1).mean())
    if spread(features) <= MIN_VARIATION * size:
        raise InputError(
            f"{what} gives nearly the same embedding for every image: are its weights trained?"
        )


def measure_agreement(
    run: Run, images: NDArray[np.float32], reference: NDArray[np.float32]
) -> Agreement:
    """Compare ``run`` with the float network's ``reference`` (N, D) on ``images``, in large
    batches, and the first of them one by one, in an odd batch and in another order."""
    large = in_batches(run, images[::-1], LARGE)[::-1]
    few = images[:SINGLES]
    turned = np.roll(np.arange(len(few)), 1)
    others = [in_batches(run, few, 1), in_batches(run, few[turned], ODD)[np.argsort(turned)]]
    if not np.isfinite(large).all():
        raise InputError("the quantised engine gives NaN or infinity.")
    certificate = certify((reference, None), (large, None), "cosine")
    return Agreement(
        centred_cosine=float(centred_cosines(reference, large).mean()),
        spread=spread(unit_rows(large)) / max(spread(unit_rows(reference)), 1e-30),
        batch_cosine=min(float(cosines(other, large[: len(few)]).min()) for other in others),
        crops=len(images),
        certified=certificate.certified,
        certified_mixed=certificate.certified_mixed,
        kept=certificate.kept,
    )
