"""Each release of the fake TensorRT, and engines on it that leave nothing behind."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from trt_fakes import RELEASES, Fake, installed

from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine

TRUST = EngineOptions(trust=True)


@pytest.fixture(scope="module", autouse=True)
def _quick_collections() -> Iterator[None]:
    """The fakes look for leaks by collecting garbage: what was there before need not be looked at
    again and again."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(params=RELEASES)
def fake(request: pytest.FixtureRequest) -> Iterator[Fake]:
    """Each release on a Jetson; nothing may be misused, and nothing may be left behind."""
    with installed(request.param) as one:
        yield one
        assert one.allocated() == []
        assert one.alive() == []


@pytest.fixture
def opened(fake: Fake, sample: Any, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """``opened(profiles, options)`` opens a plan of the sample; it is closed at the end."""
    engines: list[Any] = []

    def make(
        profiles: Any = ((1, 4, 8),),
        options: EngineOptions = TRUST,
        **network: Any,
    ) -> Any:
        path = sample.write_plan(tmp_path / "engine.plan", profiles, **network)
        engines.append(open_engine(path, options))
        return engines[-1]

    yield make
    while engines:
        engines.pop().close()
