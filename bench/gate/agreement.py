"""How alike two engines' features of the same images are, and whether the candidate's input is
prepared as its network expects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.gate.result import FAIL, PASS, Check
from edgereid.evaluation.extract import Extraction, extract_paths
from edgereid.evaluation.subject import Subject
from edgereid.images import INTERPOLATIONS, Preprocessing

Floats = NDArray[np.float32]

NAME, PREPROCESSING = "agreement", "preprocessing"
#: Mean centred cosine. Good INT8 engines reach 0.97 and more; ranges of another network, damaged
#: weights or exchanged colours give 0.8 and less.
LEAST = 0.9
#: Images run under other preparations, which are called better when they leave this share of the
#: disagreement at most.
IMAGES = 64
BETTER = 0.8
_MEANS = {
    "mean 0, std 1": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "mean 0.5, std 0.5": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "ImageNet's mean and std": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}


def centred_cosines(a: Floats, b: Floats) -> NDArray[np.float64]:
    """The cosine of each row of ``a`` (N, D) with that of ``b`` after the mean row of each is
    removed; 1 where the rows are equal. Cosines without that flatter: different people have 0.8."""
    x, y = (v - v.mean(axis=0) for v in (a.astype(np.float64), b.astype(np.float64)))
    norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    found = np.divide((x * y).sum(axis=1), norms, out=np.zeros(len(x)), where=norms > 0)
    return np.where((a == b).all(axis=1), 1.0, found)


def agreement(reference: Floats, candidate: Floats) -> Check:
    """Whether the candidate's features (N, D) lie where the reference's do."""
    if reference.shape[1] != candidate.shape[1]:
        return Check(
            NAME,
            FAIL,
            f"features of {candidate.shape[1]} numbers cannot be compared with a gallery of "
            f"{reference.shape[1]}: both must come from one network",
        )
    found = centred_cosines(reference, candidate)
    mean, worst = float(found.mean()), float(found.min())
    return Check(
        NAME,
        PASS if mean >= LEAST else FAIL,
        f"centred cosine of the two engines' features: mean {mean:.4f} (at least {LEAST}), worst "
        f"image {worst:.4f}, {len(found):,} images",
        {"mean": mean, "worst": worst, "images": len(found)},
    )


def alternatives(own: Preprocessing, reference: Preprocessing) -> dict[str, Preprocessing]:
    """Preparations that are taken for one another, other than ``own``; of its size and type. An
    engine that takes bytes normalises by itself: there the filter of the resize is what is left."""
    if own.input == "uint8":
        others = (replace(own, interpolation=name) for name in INTERPOLATIONS)
        return {f"{p.interpolation} resizing": p for p in others if p != own}
    swapped = "BGR" if own.color == "RGB" else "RGB"
    found = {
        "as the reference's": replace(
            reference, height=own.height, width=own.width, input=own.input
        ),
        f"{swapped} for {own.color}": replace(own, color=swapped),
    }
    for name, (mean, std) in _MEANS.items():
        found[name] = replace(own, mean=mean, std=std)
    return {name: p for name, p in found.items() if p != own}


def preprocessing_check(
    candidate: Subject,
    reference: Preprocessing,
    paths: Sequence[Path],
    wanted: Floats,
    extraction: Extraction,
) -> Check:
    """Whether the candidate agrees best with the reference when its images are prepared as its
    manifest says. ``wanted`` (N, D): the reference's features of ``paths``."""

    def distance(preprocessing: Preprocessing) -> float:
        subject = replace(candidate, preprocessing=preprocessing)
        got = extract_paths(subject, paths, extraction, "preprocessing")
        return 1.0 - float(centred_cosines(wanted, got).mean())

    own = distance(candidate.preprocessing)
    others = {
        name: distance(p) for name, p in alternatives(candidate.preprocessing, reference).items()
    }
    best = min(others, key=lambda name: others[name])
    details = {"own": 1.0 - own, **{name: 1.0 - d for name, d in others.items()}}
    if others[best] < BETTER * own:
        return Check(
            PREPROCESSING,
            FAIL,
            f"the candidate agrees with the reference to {1 - own:.4f} as its preprocessing is "
            f"stated, but to {1 - others[best]:.4f} with {best}: its network expects another "
            "one, or was damaged",
            details,
        )
    return Check(
        PREPROCESSING,
        PASS,
        f"of {len(details)} preparations the stated one agrees best with the reference "
        f"({1 - own:.4f}, next {1 - others[best]:.4f})",
        details,
    )
