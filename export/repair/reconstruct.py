"""Rounding weights so that the layer's output stays, not each weight: min ||(W - Ŵ) X||².

One column of weights is rounded after another, and what its rounding costs is made up for by the
columns that are still free: Frantar et al., "GPTQ" (2022), after Hassibi's optimal brain surgeon.
It is computed as what it equals, Babai's nearest plane in the lattice of X's Cholesky factor (Chen
et al., "The Geometry of LLM Quantization", 2025), which needs no inverse.
The objective is that of AdaRound (Nagel et al., "Up or Down? Adaptive Rounding for Post-Training
Quantization", 2020), without its relaxation and its gradient descent. On DSLNet coordinate descent
over single integers alone found a loss between nearest and this, and after this nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.scheme import INT8

DAMPING = 0.01  # of the mean of the diagonal, as in GPTQ
_BLOCK = 64  # columns whose errors reach those further on together, as one product

Float = NDArray[np.float64]


def loss(error: Float, gram: Float) -> float:
    """The sum of squares of the output's error: ``error`` (groups, rows, inputs), ``gram`` the sum
    of x x^T over the columns x, (groups, inputs, inputs)."""
    return float(np.einsum("grk,gkl,grl->", error, gram, error, optimize=True))


def reconstruct(weights: Float, scale: Float, gram: Float) -> NDArray[np.int8]:
    """Integers (groups, rows, inputs) for ``weights`` of that shape on ``scale`` (groups, rows).

    ``gram`` as for ``loss``. Deterministic; by row never worse on the damped ``gram`` than the
    nearest integers.
    """
    parts = zip(weights, scale[..., None], gram, strict=True)
    return np.stack([_group(*part) for part in parts]).astype(np.int8)


def _levels(weights: Float, scale: Float) -> Float:
    return np.clip(np.rint(weights / scale), -INT8.qmax, INT8.qmax)


def _group(weights: Float, scale: Float, gram: Float) -> Float:
    """One group: weights (rows, inputs), scale (rows, 1). The smallest diagonal comes first, as
    columns are rounded from the last one on."""
    diagonal = np.diag(gram)
    order = np.argsort(diagonal, kind="stable")
    w = weights[:, order]
    damped = gram[np.ix_(order, order)]
    # At least tiny, so that inputs that are always zero do no harm.
    damped[np.diag_indices_from(damped)] += max(DAMPING * diagonal.mean(), 1e-12)
    factor = np.asarray(np.linalg.cholesky(damped), np.float64)  # times W - Ŵ: what is lost
    nearest = _levels(w, scale)
    found = _nearest_plane(w, scale, factor)
    better = _lost(found, w, scale, factor) < _lost(nearest, w, scale, factor)
    levels = np.empty_like(w)
    levels[:, order] = np.where(better, found, nearest)
    return levels


def _lost(levels: Float, weights: Float, scale: Float, factor: Float) -> Float:
    """By row, the squared error at the output: (rows, 1)."""
    error = (weights - levels * scale) @ factor
    return np.asarray(np.square(error).sum(axis=1, keepdims=True), np.float64)


def _nearest_plane(weights: Float, scale: Float, factor: Float) -> Float:
    """Levels (rows, inputs), from the last column on; each makes up for errors that were made."""
    levels, errors = np.empty_like(weights), np.zeros_like(weights)
    for start in reversed(range(0, weights.shape[1], _BLOCK)):
        end = min(start + _BLOCK, weights.shape[1])
        carried = errors[:, end:] @ factor[end:, start:end]
        for k in reversed(range(start, end)):
            inside = errors[:, k + 1 : end] @ factor[k + 1 : end, k]
            wanted = weights[:, k] + (carried[:, k - start] + inside) / factor[k, k]
            levels[:, k] = _levels(wanted, scale[:, 0])
            errors[:, k] = weights[:, k] - levels[:, k] * scale[:, 0]
    return levels
