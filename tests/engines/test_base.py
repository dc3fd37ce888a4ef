"""The checks of the base class, with backends that misbehave, and what all runtimes share."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edgereid.cpus import _quota, usable_cpus
from edgereid.engines.base import Engine, EngineInfo, TensorSpec
from edgereid.engines.vendor import one_line
from edgereid.errors import InputError, IntegrityError


class Fake(Engine):
    """An engine that gives what it is told to."""

    def __init__(self, out: NDArray[np.float32] | Exception) -> None:
        super().__init__()
        self.inputs = (TensorSpec("images", (None, 3, 4, 2)),)
        self.outputs = (TensorSpec("features", (None, 5)),)
        self.info = EngineInfo("fake", "f32", 1, "1")
        self.out = out
        self.released = 0

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if isinstance(self.out, Exception):
            raise self.out
        return self.out

    def _release(self) -> None:
        self.released += 1


BATCH = np.ones((2, 3, 4, 2), np.float32)
GOOD = np.ones((2, 5), np.float32)


def with_bad(value: float) -> NDArray[np.float32]:
    out = GOOD.copy()
    out[1, 3] = value
    return out


@pytest.mark.parametrize(
    ("out", "message"),
    [
        (with_bad(np.nan), "NaN or infinity for 1 of 2"),
        (with_bad(-np.inf), "NaN or infinity for 1 of 2"),
        (GOOD[:1], r"gave \(1, 5\) float32 for 2 images"),
        (GOOD[:, :4], "gave 4 numbers an image, 5 promised"),
        (GOOD[..., None], r"gave \(2, 5, 1\)"),
        (GOOD.astype(np.float64), "float64"),
        (RuntimeError("line one\nline two"), "fake engine failed on a batch of 2: line one; line"),
        (MemoryError(), "failed on a batch of 2: MemoryError"),
    ],
)
def test_what_a_backend_gives_is_checked(
    out: NDArray[np.float32] | Exception, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        Fake(out).run(BATCH)


def test_our_own_errors_and_ctrl_c_pass_unchanged() -> None:
    with pytest.raises(IntegrityError, match="as it is"):
        Fake(IntegrityError("as it is")).run(BATCH)

    class Interrupted(Fake):
        def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Interrupted(GOOD).run(BATCH)


def test_a_good_result_comes_through_and_the_engine_is_released_once() -> None:
    with Fake(GOOD) as engine:
        assert engine.run(BATCH) is GOOD
        assert engine.input_size == (4, 2)
        engine.close()
    assert isinstance(engine, Fake)
    assert engine.released == 1


@pytest.mark.parametrize(
    ("message", "line"),
    [
        (
            "Exception from src/core.cpp:84:\nCheck 'x == y' failed at src/a.cpp:219:\n"
            "Error parsing start element tag at offset 3\n\n",
            "Error parsing start element tag at offset 3",
        ),
        (
            "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF : Load failed:Protobuf parsing failed.",
            "Load failed:Protobuf parsing failed.",
        ),
        ("", "RuntimeError"),
        ("x" * 1000, "x" * 237 + "..."),
    ],
)
def test_a_runtimes_message_is_cut_down_to_its_reason(message: str, line: str) -> None:
    assert one_line(RuntimeError(message)) == line


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("50000 100000\n", 1),
        ("max 100000\n", 2**31),
        ("", 2**31),
        ("a b", 2**31),
        (None, 2**31),
    ],
)
def test_the_quota_of_a_container_limits_the_processors(
    tmp_path: Path, text: str | None, expected: int
) -> None:
    path = tmp_path / "cpu.max"
    if text is not None:
        path.write_text(text)
    assert _quota(path) == expected
    assert usable_cpus() >= 1
