"""Thresholds against brute force on the raw values; deciding leaves the histogram unchanged."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edgereid.calibration.histogram import HALF, Histogram
from edgereid.calibration.scheme import INT8, SCHEMES, UINT8, UINT8_AFFINE, Range, Scheme
from edgereid.calibration.thresholds import METHODS, Decision, threshold
from edgereid.errors import InputError, UsageError

RNG = np.random.default_rng(3)
NORMAL = RNG.normal(size=40_000).astype(np.float32)
LONG_TAIL = RNG.laplace(size=40_000).astype(np.float32) ** 3
RELU = np.maximum(RNG.normal(size=40_000), 0).astype(np.float32)
LOPSIDED = np.concatenate([NORMAL * 0.1, RELU * 3]).astype(np.float32)


def of(values: NDArray[np.float32]) -> Histogram:
    h = Histogram("t")
    h.add(values)
    return h


def error(values: NDArray[np.float32], scheme: Scheme, covered: Range) -> float:
    return float(((scheme.fake_quantize(values, covered) - values) ** 2).mean())


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: s.name)
def test_deciding_changes_no_histogram_and_stays_within_what_was_seen(
    method: str, scheme: Scheme
) -> None:
    h = of(RELU if scheme is UINT8 else LONG_TAIL)
    before = (h.exponent, h.low, h.high, h.count, h.counts.tobytes())
    covered = threshold(h, Decision(method), scheme)
    assert (h.exponent, h.low, h.high, h.count, h.counts.tobytes()) == before
    assert h.low <= covered.low <= 0 <= covered.high <= h.high
    assert threshold(h, Decision(method), scheme) == covered


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=lambda s: s.name)
def test_minmax_is_what_was_seen(scheme: Scheme) -> None:
    assert threshold(of(RELU), Decision("minmax"), scheme) == Range(0.0, float(RELU.max()))
    above = of(RELU + np.float32(2))
    assert threshold(above, Decision("minmax"), scheme).low == 0.0


@pytest.mark.parametrize("percent", [90.0, 99.0, 99.9, 100.0])
def test_percentile_is_that_of_the_magnitudes_to_one_bin(percent: float) -> None:
    h = of(LONG_TAIL)
    covered = threshold(h, Decision("percentile", percent), INT8)
    exact = np.quantile(np.abs(LONG_TAIL), percent / 100, method="inverted_cdf")
    wanted = min(exact, h.high), max(-exact, h.low)
    assert covered.high == pytest.approx(wanted[0], abs=h.width)
    assert covered.low == pytest.approx(wanted[1], abs=h.width)


def test_an_affine_percentile_cuts_half_from_each_end() -> None:
    h = of(LOPSIDED)
    covered = threshold(h, Decision("percentile", 99.0), UINT8_AFFINE)
    assert covered.low == pytest.approx(np.quantile(LOPSIDED, 0.005), abs=h.width)
    assert covered.high == pytest.approx(np.quantile(LOPSIDED, 0.995), abs=h.width)


@pytest.mark.parametrize(
    ("values", "scheme"),
    [
        (NORMAL, INT8),
        (LONG_TAIL, INT8),
        (LONG_TAIL, UINT8_AFFINE),
        (LOPSIDED, UINT8_AFFINE),
        (RELU, UINT8),
        (RELU, INT8),
    ],
)
def test_mse_is_as_good_as_the_best_of_many_clips_on_the_values_themselves(
    values: NDArray[np.float32], scheme: Scheme
) -> None:
    chosen = error(values, scheme, threshold(of(values), Decision("mse"), scheme))
    low, high = min(float(values.min()), 0.0), float(values.max())
    peak = max(-low, high)
    best = min(
        error(
            values,
            scheme,
            Range(max(low, -s * peak), min(high, s * peak))
            if scheme.symmetric
            else Range(s * low, s * high),
        )
        for s in np.linspace(0.05, 1, 400)
    )
    assert chosen <= best * 1.03
    assert chosen <= error(values, scheme, Range(low, high))


def brute_force_entropy(magnitudes: NDArray[np.float64], levels: int, step: int) -> int:
    """The clip, in bins, with the least KL divergence, written with loops."""
    counts = magnitudes.copy()
    counts[0] = min(counts[0], counts[1])
    last = max(i for i, c in enumerate(counts) if c) + 1
    best, least = last, np.inf
    for n in [*range(levels, last, step), last]:
        p = list(counts[:n])
        p[-1] += sum(counts[n:])
        q = [0.0] * n
        for level in range(levels):
            first, end = -(-level * n // levels), -(-(level + 1) * n // levels)
            bins = [b for b in range(first, end) if counts[b] > 0]
            for b in bins:
                q[b] = sum(counts[i] for i in bins) / len(bins)
        total_p, total_q = sum(p), sum(q)
        divergence = sum(
            a / total_p * np.log((a / total_p) / max(b / total_q, 1e-12))
            for a, b in zip(p, q, strict=True)
            if a > 0
        )
        if divergence < least:
            best, least = n, divergence
    return best


def test_entropy_is_the_least_divergence_by_brute_force() -> None:
    values = np.clip(RNG.laplace(size=3000), -8.5, 8.5).astype(np.float32)
    h = of(values)
    magnitudes = (h.counts[HALF:] + h.counts[HALF - 1 :: -1]).astype(np.float64)
    clip = brute_force_entropy(magnitudes, 128, 8) * h.width
    covered = threshold(h, Decision("entropy"), INT8)
    assert covered == Range(max(-clip, h.low), min(clip, h.high))


def test_entropy_cuts_a_long_tail_and_is_not_moved_by_zeros() -> None:
    tail = np.abs(LONG_TAIL)
    sparse = np.concatenate([tail, np.zeros(10**6, np.float32)])
    covered = threshold(of(tail), Decision("entropy"), UINT8)
    assert covered.high < 0.9 * tail.max()
    assert threshold(of(sparse), Decision("entropy"), UINT8) == covered


def test_a_tensor_of_zeros_has_a_range_by_every_method() -> None:
    for method in METHODS:
        for scheme in SCHEMES.values():
            h = of(np.zeros(10, np.float32))
            assert threshold(h, Decision(method), scheme) == Range(0.0, 0.0)


@pytest.mark.parametrize(
    ("make", "error_class", "message"),
    [
        (
            lambda: Decision("max"),
            UsageError,
            "'max': minmax, average, percentile, entropy, mse, auto",
        ),
        (lambda: Decision("percentile", 101.0), UsageError, "101.0"),
        (lambda: Decision("percentile", 50.0), UsageError, "50.0"),
        (lambda: threshold(Histogram("t"), Decision(), INT8), InputError, "'t' was never seen"),
        (lambda: threshold(of(NORMAL), Decision(), UINT8), UsageError, "negative values"),
        (lambda: threshold(of(NORMAL), Decision("auto"), INT8), UsageError, "compares embeddings"),
    ],
)
def test_what_cannot_be_decided_is_said(make, error_class, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(error_class, match=message):
        make()
