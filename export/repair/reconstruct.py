"""Rounding weights so that the layer's output stays, not each weight: min ||(W - Ŵ) X||².

One column of weights is rounded after another, and what its rounding costs is made up for by the
columns that are still free: Frantar et al., "GPTQ" (2022), after Hassibi's optimal brain surgeon.
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
    nearest = _levels(weights, scale[..., None])
    damped = gram + _damping(gram)
    found = np.stack([_feedback(w, s, g) for w, s, g in zip(weights, scale, damped, strict=True)])
    better = _better(found, nearest, weights, scale, damped)
    return np.where(better, found, nearest).astype(np.int8)


def _damping(gram: Float) -> Float:
    """A multiple of the identity; at least tiny, so that inputs that are always zero do no harm."""
    size = gram.shape[-1]
    mean = np.trace(gram, axis1=1, axis2=2) / size
    amount: Float = np.maximum(DAMPING * mean, 1e-12)[:, None, None] * np.eye(size)
    return amount


def _levels(weights: Float, scale: Float) -> Float:
    return np.clip(np.rint(weights / scale), -INT8.qmax, INT8.qmax)


def _better(a: Float, b: Float, weights: Float, scale: Float, gram: Float) -> NDArray[np.bool_]:
    """By row, whether the levels ``a`` lose less than ``b``: (groups, rows, 1)."""
    losses = []
    for levels in (a, b):
        error = levels * scale[..., None] - weights
        losses.append((error @ gram * error).sum(axis=-1, keepdims=True))
    return np.asarray(losses[0] < losses[1])


def _feedback(weights: Float, scale: Float, gram: Float) -> Float:
    """GPTQ of one group: (rows, inputs), the largest diagonal first."""
    order = np.argsort(-np.diag(gram), kind="stable")
    w = weights[:, order]
    inverse = np.linalg.inv(gram[np.ix_(order, order)])
    upper = np.linalg.cholesky((inverse + inverse.T) / 2).T
    levels = np.empty_like(w)
    for start in range(0, w.shape[1], _BLOCK):
        end = min(start + _BLOCK, w.shape[1])
        errors = np.zeros((len(w), end - start))
        for k in range(start, end):
            levels[:, k] = _levels(w[:, k], scale)
            errors[:, k - start] = (w[:, k] - levels[:, k] * scale) / upper[k, k]
            w[:, k + 1 : end] -= np.outer(errors[:, k - start], upper[k, k + 1 : end])
        w[:, end:] -= errors @ upper[start:end, end:]
    back = np.empty_like(levels)
    back[:, order] = levels
    return back
