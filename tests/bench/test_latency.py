"""The harness against laws of latency that are known, under a clock that only they move."""

from __future__ import annotations

import gc
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from edgereid.bench.latency import (
    LatencyOptions,
    Runner,
    balanced_orders,
    measure,
)
from edgereid.bench.stats import speed_ratio, summarise
from edgereid.errors import UsageError

MS = 1_000_000
SHORT = LatencyOptions(min_time_s=0.2, min_count=20, max_time_s=30.0)


def constant(ms: float) -> Any:
    return lambda call: int(ms * MS)


def test_the_delays_of_the_law_are_the_samples_to_the_nanosecond(clock: Any, law: Any) -> None:
    slow, fast = law(clock, constant(7)), law(clock, constant(3))
    a, b = measure([Runner("a", slow, [0]), Runner("b", fast, [0])], SHORT, clock)
    assert set(a.all_ns) == {7 * MS}
    assert set(b.all_ns) == {3 * MS}
    assert speed_ratio(a.rounds_ns, b.rounds_ns).value == pytest.approx(7 / 3)


def test_every_call_after_the_warm_up_is_kept_in_order(clock: Any, law: Any) -> None:
    rising = law(clock, lambda call: (call + 1) * MS // 10)
    (samples,) = measure([Runner("a", rising, [0])], SHORT, clock)
    kept = [*samples.warmup_ns, *samples.lead_in_ns, *samples.all_ns]
    assert sorted(kept) == [(k + 1) * MS // 10 for k in range(len(rising.seen))]
    assert list(samples.all_ns) == sorted(samples.all_ns)


@pytest.mark.parametrize("ms", [0.5, 40.0])
def test_the_warm_up_lasts_both_the_time_and_the_runs(clock: Any, law: Any, ms: float) -> None:
    (samples,) = measure([Runner("a", law(clock, constant(ms)), [0])], SHORT, clock)
    assert len(samples.warmup_ns) >= 10
    assert sum(samples.warmup_ns) >= 200 * MS
    one_less = samples.warmup_ns[:-1]
    assert len(one_less) < 10 or sum(one_less) < 200 * MS


@pytest.mark.parametrize(
    ("options", "ms"),
    [
        (LatencyOptions(min_time_s=1.0, min_count=10), 2.0),  # the time decides
        (LatencyOptions(min_time_s=0.1, min_count=300), 2.0),  # the count decides
        (LatencyOptions(min_time_s=0.1, min_count=2, min_rounds=25), 2.0),  # the rounds decide
        (LatencyOptions(min_time_s=0.1, min_count=30, max_time_s=1000), 400.0),
    ],
)
def test_every_engine_reaches_time_count_and_rounds(
    clock: Any, law: Any, options: LatencyOptions, ms: float
) -> None:
    runners = [Runner(str(k), law(clock, constant(k * ms)), [0]) for k in (1, 2, 3)]
    for samples in measure(runners, options, clock):
        assert samples.stopped_by == "goal"
        assert sum(samples.all_ns) >= options.min_time_s * 1e9
        assert len(samples.all_ns) >= options.min_count
        assert len(samples.rounds_ns) >= options.min_rounds


def test_it_stops_with_the_round_in_which_the_last_engine_is_done(clock: Any, law: Any) -> None:
    options = LatencyOptions(min_time_s=0.0, min_count=50, min_rounds=1, max_time_s=1000)
    (samples,) = measure([Runner("a", law(clock, constant(60)), [0])], options, clock)
    before_last = sum(len(block) for block in samples.rounds_ns[:-1])
    assert before_last < 50 <= len(samples.all_ns)


def test_the_time_limit_ends_it_and_says_so(clock: Any, law: Any) -> None:
    options = LatencyOptions(min_time_s=0.1, min_count=100, max_time_s=5.0)
    slow = Runner("slow", law(clock, constant(500)), [0])
    fast = Runner("fast", law(clock, constant(5)), [0])
    start = clock()
    a, b = measure([slow, fast], options, clock)
    assert (a.stopped_by, b.stopped_by) == ("time limit", "goal")
    assert 0 < len(a.all_ns) < 100
    assert len(a.rounds_ns) == len(b.rounds_ns)
    warm_up = sum(a.warmup_ns) + sum(b.warmup_ns)
    assert clock() - start - warm_up < 5.0 * 1e9 + 1e9  # the limit, and the last round


def test_even_without_time_every_engine_has_one_round(clock: Any, law: Any) -> None:
    options = LatencyOptions(max_time_s=0.0)
    runners = [Runner(str(k), law(clock, constant(30)), [0]) for k in range(3)]
    assert all(len(s.rounds_ns) == 1 for s in measure(runners, options, clock))


@pytest.mark.parametrize("n", range(1, 9))
def test_each_engine_follows_each_other_equally_often(n: int) -> None:
    orders = balanced_orders(n)
    assert all(sorted(order) == list(range(n)) for order in orders)
    follows = Counter(pair for order in orders for pair in pairwise(order))
    assert len(follows) == n * (n - 1)
    assert len(set(follows.values())) <= 1
    places = Counter((place, who) for order in orders for place, who in enumerate(order))
    assert len(set(places.values())) == 1


def test_engines_take_turns_within_every_round(clock: Any, law: Any) -> None:
    diary: list[str] = []
    names = "abc"
    runners = [Runner(n, law(clock, constant(60), n, diary), [0]) for n in names]
    first, *_ = measure(runners, SHORT, clock)
    turns = diary[10 * len(names) :]  # after the warm-up of ten runs each
    blocks = [name for k, name in enumerate(turns) if k == 0 or turns[k - 1] != name]
    assert len(first.rounds_ns) >= 8
    assert Counter(turns)["a"] == Counter(turns)["b"] == Counter(turns)["c"]
    assert {"ab", "ac", "ba", "bc", "ca", "cb"} == {x + y for x, y in pairwise(blocks)}


def test_the_seed_sets_the_order_and_nothing_else(clock: Any, law: Any) -> None:
    def order(seed: int) -> list[str]:
        diary: list[str] = []
        runners = [Runner(n, law(clock, constant(60), n, diary), [0]) for n in "abcd"]
        measure(runners, LatencyOptions(min_time_s=0.1, min_count=10, seed=seed), clock)
        return diary

    assert order(1) == order(1)
    assert order(1) != order(2)


def test_buffers_are_rotated_without_a_break(clock: Any, law: Any) -> None:
    engine = law(clock, constant(4))
    measure([Runner("a", engine, ["w", "x", "y", "z"])], SHORT, clock)
    assert engine.seen == [("w", "x", "y", "z")[k % 4] for k in range(len(engine.seen))]


def test_the_first_run_of_a_block_is_a_lead_in_for_fast_engines_only(clock: Any, law: Any) -> None:
    fast = Runner("fast", law(clock, constant(24)), [0])  # a block is 100 ms
    slow = Runner("slow", law(clock, constant(26)), [0])
    a, b = measure([fast, slow], SHORT, clock)
    assert len(a.lead_in_ns) == len(a.rounds_ns)
    assert b.lead_in_ns == ()


def test_a_lead_in_keeps_what_a_neighbour_leaves_behind_out_of_the_samples(clock: Any) -> None:
    last: list[str] = []

    def engine(name: str) -> Any:
        def run(buffer: int) -> None:
            clock.advance(2 * MS if last[-1:] == [name] else 3 * MS)  # cold after the other's turn
            last.append(name)

        return run

    runners = [Runner(n, engine(n), [0]) for n in "ab"]
    for samples in measure(runners, SHORT, clock):
        assert set(samples.all_ns) == {2 * MS}
        assert 3 * MS in samples.lead_in_ns


def test_the_collector_rests_meanwhile_and_works_again_after_an_error(clock: Any) -> None:
    seen = []

    def broken(buffer: int) -> None:
        seen.append(gc.isenabled())
        raise RuntimeError

    with pytest.raises(RuntimeError):
        measure([Runner("a", broken, [0])], SHORT, clock)
    assert seen == [False]
    assert gc.isenabled()


def test_a_known_distribution_gives_its_own_percentiles(clock: Any, law: Any) -> None:
    bimodal = law(clock, lambda call: (1 if call % 20 else 9) * MS)  # one run in twenty takes 9 ms
    options = LatencyOptions(min_time_s=1.0, min_count=4000, max_time_s=60)
    (samples,) = measure([Runner("a", bimodal, [0])], options, clock)
    summary = summarise(samples.all_ns, 1)
    assert summary.p50_ms == summary.tail_ms[90] == 1.0
    assert summary.tail_ms[99] == 9.0
    assert summary.mean_ms == pytest.approx(1.4, rel=0.03)


@pytest.mark.parametrize(
    "arguments",
    [{"min_count": 0}, {"min_time_s": -1.0}, {"max_time_s": 1e9}, {"warmup_runs": 0}],
)
def test_impossible_options_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        LatencyOptions(**arguments)


def test_no_engine_and_no_input_are_refused(clock: Any) -> None:
    with pytest.raises(UsageError, match="no engine"):
        measure([], SHORT, clock)
    with pytest.raises(UsageError, match="no input"):
        Runner("a", print, [])
