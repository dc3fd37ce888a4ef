"""Which images form which batch: a pure function of (seed, epoch), so that a run can be resumed.

NumPy only; a batch is an array of indices into the list of training images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import InputError

Batch = NDArray[np.int64]

_STREAM = 0x5A3B1E  # keeps the sampler's random numbers apart from the augmentation's


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng((seed, epoch, _STREAM))


def shuffled_batches(images: int, batch_size: int, seed: int, epoch: int) -> list[Batch]:
    """All images in random order, cut into batches; the last incomplete one is dropped.

    Raises InputError when there are fewer images than one batch needs.
    """
    if images < batch_size:
        raise InputError(f"{images} training images do not fill one batch of {batch_size}.")
    order = _generator(seed, epoch).permutation(images)
    last = images - images % batch_size
    return [order[i : i + batch_size] for i in range(0, last, batch_size)]


def identity_batches(
    labels: Sequence[int] | NDArray[np.int64], identities: int, images: int, seed: int, epoch: int
) -> list[Batch]:
    """Batches of ``identities`` different people with ``images`` images each (P x K).

    Every image is visited at least once an epoch. A person's images are cut into groups of K; an
    incomplete group is filled with the person's other images (a person with fewer than K repeats
    them). People with more groups left are drawn more often, so that all end at about the same
    time; the last batches are filled with people drawn again.

    Raises InputError when there are fewer than ``identities`` people.
    """
    members = _members(np.asarray(labels, dtype=np.int64))
    if len(members) < identities:
        raise InputError(
            f"the training images show {len(members)} people: a batch of {identities} people needs "
            f"at least that many. Set identities={len(members)} or less."
        )
    rng = _generator(seed, epoch)
    groups = [_groups(m, images, rng) for m in members]
    batches: list[Batch] = []
    while any(groups):
        chosen = _choose(np.array([len(g) for g in groups]), identities, rng)
        rows = [groups[i].pop() if groups[i] else _draw(members[i], images, rng) for i in chosen]
        batches.append(np.concatenate(rows))
    return batches


def _members(labels: Batch) -> list[Batch]:
    """The image indices of every person, people in ascending order of label."""
    order = np.argsort(labels, kind="stable")
    _, starts = np.unique(labels[order], return_index=True)
    return np.split(order, starts[1:])


def _groups(members: Batch, images: int, rng: np.random.Generator) -> list[Batch]:
    """A person's images in random order, in groups of exactly ``images``."""
    order = rng.permutation(members)
    missing = -len(order) % images
    if missing:
        others = order[: len(order) - len(order) % images]  # not in the incomplete group
        pool = others if len(others) >= missing else order
        filler = rng.choice(pool, missing, replace=len(pool) < missing)
        order = np.concatenate([order, filler])
    return list(order.reshape(-1, images))


def _draw(members: Batch, images: int, rng: np.random.Generator) -> Batch:
    return rng.choice(members, images, replace=len(members) < images)


def _choose(left: Batch, identities: int, rng: np.random.Generator) -> Batch:
    """``identities`` different people: by the groups they have left, then anybody."""
    with_work = np.flatnonzero(left)
    take = min(identities, len(with_work))
    chosen = rng.choice(with_work, take, replace=False, p=left[with_work] / left.sum())
    others = np.setdiff1d(np.arange(len(left)), chosen)
    return np.concatenate([chosen, rng.choice(others, identities - take, replace=False)])
