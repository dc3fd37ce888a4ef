"""The fakes against what the real bindings of each release were seen to do."""

from __future__ import annotations

import json

import pytest
from trt_behaviour import EXPRESSIONS, RECORD, outcomes
from trt_fakes import RELEASES, installed


@pytest.mark.parametrize("release", RELEASES)
def test_the_fake_does_what_the_real_bindings_do_without_a_gpu(release: str) -> None:
    recorded = json.loads(RECORD.read_text(encoding="utf-8"))[release]
    assert set(recorded) == set(EXPRESSIONS)
    with installed(release, gpu=False) as fake:
        played = outcomes(fake.trt)
    different = {e: (recorded[e], played[e]) for e in EXPRESSIONS if recorded[e] != played[e]}
    assert not different
