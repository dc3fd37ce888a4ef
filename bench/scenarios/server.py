"""Server: single crops arrive at random (Poisson) and each must be answered within a bound.

MLPerf Inference's server scenario (V. J. Reddi et al., "MLPerf Inference Benchmark", ISCA 2020):
the result is the highest rate at which a percentile of the latencies is within the bound.
"""

from __future__ import annotations

from collections.abc import Callable

from edgereid.bench.intervals import CONFIDENCE
from edgereid.bench.scenarios.options import ServerOptions
from edgereid.bench.scenarios.predict import predict, service_times
from edgereid.bench.scenarios.result import Server, Trial
from edgereid.bench.scenarios.search import broke, held, search
from edgereid.bench.scenarios.trial import Bench, Bound, run_trial, verify

FIRST_SHARE = 0.9  # of the rate that a simulation predicts
VERIFICATIONS = 4
STEP_DOWN = 0.95  # when the rate found does not hold in the longer run


def _silent(trial: Trial) -> None:
    pass


def run_server(
    bench: Bench, options: ServerOptions, tell: Callable[[Trial], None] = _silent
) -> Server:
    """Find the highest rate that holds the bound, then confirm it by a longer run. ``tell`` hears
    of every trial when it is over.

    The chance that the true rate is outside of ``holds_at`` to ``breaks_at`` is shared out over
    all trials, so that it is at most ``1 - CONFIDENCE`` together.
    """
    bound = Bound(options.percentile, options.bound_ms)
    error = (1 - CONFIDENCE) / options.max_trials

    def trial(rate: float, number: int) -> Trial:
        found = run_trial(bench, bound, rate, options.trial_s, error, options.seed + number)
        tell(found)
        return found

    guess = FIRST_SHARE * predict(service_times(bench), bound)
    trials = search(trial, guess, options.tolerance, options.max_trials)
    low = held(trials)
    confirmed = [] if low is None else _confirm(bench, bound, low, options)
    rate = confirmed[-1].rate_per_s if confirmed and _within(confirmed[-1], bound) else None
    return Server(
        bound_ms=bound.ms,
        percentile=bound.percentile,
        max_batch=bench.max_batch,
        confidence=CONFIDENCE,
        rate_per_s=rate,
        holds_at=low,
        breaks_at=broke(trials),
        trials=tuple(trials),
        verification=tuple(confirmed),
    )


def _within(trial: Trial, bound: Bound) -> bool:
    """Whether the percentile, as measured, is within the bound."""
    return trial.quantile_ms is not None and trial.quantile_ms <= bound.ms


def _confirm(bench: Bench, bound: Bound, rate: float, options: ServerOptions) -> list[Trial]:
    """Longer runs, from ``rate`` downwards until one is within the bound."""
    runs: list[Trial] = []
    for attempt in range(VERIFICATIONS):
        seed = options.seed + options.max_trials + attempt
        error = (1 - CONFIDENCE) / 2
        runs.append(verify(bench, bound, rate, options.verify_s, error, seed))
        if _within(runs[-1], bound):
            break
        rate *= STEP_DOWN
    return runs
