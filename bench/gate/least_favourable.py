"""Bounds of a drop in Rank-1: exact tests in the least favourable family, with people unmet.

Rank-1 changes in few queries, so nothing normal is near. To test a drop of ``r``, the people seen
are reweighted to the likeliest population whose drop is ``r`` (nonparametric tilting: B. Efron,
"Nonparametric standard errors and confidence intervals", Canad. J. Statist. 1981; T. DiCiccio and
J. Romano, "Nonparametric confidence limits by resampling methods and least favorable families",
Internat. Statist. Rev. 1990), to which people nobody has met may belong: those who lose (or gain)
all their queries (J. Honda and A. Takemura, "An asymptotically optimal bandit algorithm for bounded
support models", COLT 2010). The p-value is how often samples of that population show what was seen,
or less. Where nobody changes at all it is (1 - r)^people, the exact binomial one of C. Clopper and
E. Pearson, "The use of confidence or fiducial limits", Biometrika 1934. It is exact for that one
population: the true one is another, so error rates are nominal to within simulation only
(``benchmarks/gate_errors.py``; they rise where every change takes all queries of a person).

What a person loses is a whole number of queries, so the law of the sum over all people is the
n-fold convolution of the law of one person: a power of its Fourier transform. Nothing is random.
"""

from __future__ import annotations

from math import ceil, floor, sqrt

import numpy as np

from edgereid.bench.gate.pairs import Floats, Pairs

#: To which bounds are found, as a share: 0.001 points.
PRECISION = 1e-5
MOST_PEOPLE = 1_000_000


def p_within(pairs: Pairs, budget: float, people: int | None = None) -> float:
    """How likely a drop as small as the one seen is when the true one is ``budget`` (0..1).

    ``people``: as if so many had been seen with the same shares; None: those seen.
    """
    return _p_value(np.rint(pairs.sums), pairs, budget, people)


def p_beyond(pairs: Pairs, budget: float, people: int | None = None) -> float:
    """How likely a drop as large as the one seen is when the true one is ``budget``."""
    return _p_value(-np.rint(pairs.sums), pairs, -budget, people)


def _p_value(lost: Floats, pairs: Pairs, budget: float, people: int | None) -> float:
    """P(sum of ``lost`` <= what was seen) in the likeliest population that loses ``budget``.

    ``lost`` (people,): queries lost by each, whole numbers.
    """
    size = float(pairs.counts.mean())
    mean = budget * size  # queries lost by a person, if the budget is what is lost
    if lost.mean() >= mean:
        return 1.0
    values, seen = np.unique(lost, return_counts=True)
    share, excess, worst = seen / len(lost), values - mean, float(values.max())
    # People nobody has met lose all their queries, and have as many as others; of people seen who
    # lost more than that, there may be more.
    unmet, often = np.unique(pairs.counts, return_counts=True)
    if worst > size:
        unmet, often = np.array([worst]), np.array([1])
    weights = share / (1 - _tilt(excess, share, max(size, worst) - mean) * excess)
    rest = max(0.0, 1 - float(weights.sum()))
    support = np.concatenate([values, unmet])
    law = np.concatenate([weights, rest * often / often.sum()])
    n = len(lost) if people is None else people
    return _tail(support, law / law.sum(), n, floor(float(lost.mean()) * n + 1e-9))


def _tilt(excess: Floats, share: Floats, largest: float) -> float:
    """The multiplier of the empirical likelihood: maximises sum(share * log(1 - tilt * excess))
    over 0 <= tilt <= 1 / largest, which is concave; bisection on its derivative."""
    low, high = 0.0, (1 - 1e-12) / largest

    def falls(tilt: float) -> bool:
        return bool((share * excess / (1 - tilt * excess)).sum() > 0)

    if not falls(high):
        return high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if falls(middle) else (middle, high)
    return low


def _tail(support: Floats, law: Floats, n: int, bound: int) -> float:
    """P(sum of ``n`` draws <= ``bound``) for whole numbers ``support`` with chances ``law``."""
    mean = float(support @ law)
    spread = sqrt(max(0.0, float(support**2 @ law) - mean**2) * n)
    reach = 40 + 12 * spread + 40 * float(np.ptp(support))  # beyond it nothing of 1e-12 is left
    size = 1 << ceil(np.log2(2 * reach))
    frequency = 2 * np.pi * np.arange(size // 2 + 1) / size
    centre = round(mean * n)
    one = np.exp(-1j * np.outer(frequency, support)) @ law
    total = np.fft.irfft(one**n * np.exp(1j * frequency * (centre - size // 2)), size)
    upto = bound - centre + size // 2
    return float(np.clip(total[: max(0, upto + 1)].sum(), 0.0, 1.0))


def bounds(pairs: Pairs, pass_level: float, fail_level: float) -> tuple[float, float]:
    """The lower bound of error rate ``fail_level`` and the upper one of ``pass_level``: the drops
    at which the tests turn, in -1..1."""
    high, top = pairs.drop, 1.0
    while top - high > PRECISION:
        middle = (high + top) / 2
        if p_within(pairs, middle) <= pass_level:
            top = middle
        else:
            high = middle
    low, bottom = pairs.drop, -1.0
    while low - bottom > PRECISION:
        middle = (low + bottom) / 2
        if p_beyond(pairs, middle) <= fail_level:
            bottom = middle
        else:
            low = middle
    return bottom, top


def needed(pairs: Pairs, pass_level: float, fail_level: float, budget: float) -> int | None:
    """People that would settle it if they behaved as those seen; None: no number up to a million
    would."""
    inside = pairs.drop <= budget
    test, level = (p_within, pass_level) if inside else (p_beyond, fail_level)
    few, many = pairs.people, 2 * pairs.people
    while test(pairs, budget, many) > level:
        few, many = many, 2 * many
        if many > MOST_PEOPLE:
            return None
    while many - few > max(1, few // 100):
        middle = (few + many) // 2
        if test(pairs, budget, middle) <= level:
            many = middle
        else:
            few = middle
    return many
