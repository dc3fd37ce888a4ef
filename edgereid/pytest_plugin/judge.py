"""An engine judged within a test."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from edgereid.errors import EdgeReidError
from edgereid.pytest_plugin.settings import UNDECIDED, Settings, missing

if TYPE_CHECKING:
    from edgereid.bench.gate.result import GateResult
    from edgereid.data.types import ReidDataset

#: A judged test carries the verdict in one line under this name (JUnit XML shows it, too).
PROPERTY = "edgereid_gate"


def assert_accuracy_preserved(
    engine: Path | str,
    reference: Path | str | None,
    dataset: Path | str | ReidDataset,
    max_map_drop: float | None = 0.5,
    max_rank1_drop: float | None = 0.5,
    max_latency_ratio: float | None = None,
    *,
    layout: str | None = None,
    threads: int | None = None,
    trust: bool = False,
    undecided: str = "fail",
    cache: Path | str | None = None,
    no_cache: bool = False,
) -> GateResult:
    """Fail the test unless ``engine`` keeps within the budgets of ``reference`` on ``dataset``.

    ``reference`` None: the float network of the engine's own bundle. Budgets in points of mAP and
    Rank-1 and as a ratio of times, None: not judged. ``undecided``: what happens when there are not
    enough queries to tell: "fail", "skip" or "xfail". Features are kept in ``cache`` (default: the
    user's), so that the reference is run once. Returns what the gate found when it passed.
    """
    __tracebackhide__ = True
    if undecided not in UNDECIDED:
        fail(f"undecided {undecided!r}: {', '.join(UNDECIDED)} are allowed.")
    settings = Settings(
        layout=layout,
        reference=None if reference is None else Path(reference),
        max_map_drop=max_map_drop,
        max_rank1_drop=max_rank1_drop,
        max_latency_ratio=max_latency_ratio,
        threads=threads,
        cache=None if cache is None else Path(cache),
        no_cache=no_cache,
    )
    result = _judge(Path(engine), dataset, settings, trust)
    _conclude(result, undecided)
    return result


@dataclass(frozen=True, slots=True)
class AccuracyAssertion:
    """``assert_accuracy_preserved`` with what is not given taken from pytest's configuration."""

    settings: Settings
    properties: list[tuple[str, object]]

    def __call__(
        self,
        engine: Path | str,
        reference: Path | str | None = None,
        dataset: Path | str | ReidDataset | None = None,
        max_map_drop: float | None = None,
        max_rank1_drop: float | None = None,
        max_latency_ratio: float | None = None,
        trust: bool = False,
    ) -> GateResult:
        """Judge ``engine``; what is None is as configured. See the function of this name."""
        __tracebackhide__ = True
        given: dict[str, Any] = {
            "reference": None if reference is None else Path(reference),
            "max_map_drop": max_map_drop,
            "max_rank1_drop": max_rank1_drop,
            "max_latency_ratio": max_latency_ratio,
        }
        settings = replace(self.settings, **{k: v for k, v in given.items() if v is not None})
        data = settings.data if dataset is None else dataset
        if data is None:
            fail(missing("data"))
        result = _judge(Path(engine), data, settings, trust)
        self.properties.append((PROPERTY, line(result)))
        _conclude(result, settings.undecided)
        return result


def _judge(
    engine: Path, data: Path | str | ReidDataset, settings: Settings, trust: bool
) -> GateResult:
    """What the gate finds; what is wrong with the arguments fails the test in one line."""
    __tracebackhide__ = True
    from edgereid.bench.gate.options import Budget, GateOptions
    from edgereid.bench.gate.run import run_gate

    folder, loaded = (Path(data), None) if isinstance(data, str | Path) else (data.root, data)
    s = settings
    try:
        options = GateOptions(
            candidate=engine,
            reference=s.reference,
            data=folder,
            budget=Budget(s.max_map_drop, s.max_rank1_drop, s.max_latency_ratio),
            layout=s.layout,
            threads=s.threads,
            trust=trust,
            cache=s.cache,
            no_cache=s.no_cache,
        )
        return run_gate(options, dataset=loaded)
    except EdgeReidError as error:
        fail(str(error))


def line(result: GateResult) -> str:
    """ "pass: lost mAP +0.12 points (budget 0.5), ..."."""
    parts = [f"{m.name} {m.drop:+.2f} {m.unit} (budget {m.budget:g})" for m in result.measures]
    return f"{result.verdict}: lost {', '.join(parts)}"


def _conclude(result: GateResult, undecided: str) -> None:
    """Pass, or end the test with the gate's own report."""
    __tracebackhide__ = True
    from edgereid.bench.gate.report import text

    if result.exit_code == 0:
        return
    if result.verdict == "undecided" and undecided == "skip":
        pytest.skip(f"edgereid: {line(result)}")
    if result.verdict == "undecided" and undecided == "xfail":
        pytest.xfail(f"edgereid: {line(result)}")
    pytest.fail(text(result), pytrace=False)


def fail(message: str) -> NoReturn:
    """End the test with one line and no traceback: what is wrong is not in the test's code."""
    __tracebackhide__ = True
    pytest.fail(f"edgereid: error: {' '.join(message.split())}", pytrace=False)
