"""How far a build is, and how Ctrl-C ends it: arithmetic and signals, no TensorRT."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.export.tensorrt.monitor import Phases, bar, interruptible


def test_a_phase_within_a_step_counts_as_its_part_of_that_step() -> None:
    phases = Phases()
    phases.start("build", None, 4)
    assert phases.share == 0.0
    phases.step("build", 0)
    assert phases.share == 0.25
    phases.start("tactics", "build", 10)
    phases.step("tactics", 4)
    assert phases.share == pytest.approx(0.25 + 0.5 / 4)
    phases.start("one tactic", "tactics", 2)
    phases.step("one tactic", 0)
    assert phases.share == pytest.approx(0.25 + (5.5 / 10) / 4)
    phases.finish("one tactic")
    phases.finish("tactics")
    phases.step("build", 1)
    assert phases.share == 0.5
    phases.finish("build")
    assert phases.share == 1.0


names = st.sampled_from("abcd")
events = st.lists(
    st.tuples(st.just("start"), names, st.none() | names, st.integers(-1, 5))
    | st.tuples(st.just("step"), names, st.integers(-1, 9))
    | st.tuples(st.just("finish"), names),
    max_size=40,
)


@given(events)
def test_whatever_is_reported_the_share_stays_within_0_to_1_and_never_falls(
    events: list[tuple[str, ...]],
) -> None:
    phases, before = Phases(), 0.0
    for what, *values in events:
        getattr(phases, what)(*values)
        assert before <= phases.share <= 1.0
        before = phases.share


def test_without_a_terminal_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    with bar("building") as draw:
        draw(0.5)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("can_stop", [True, False])
def test_ctrl_c_leaves_a_mark_and_is_raised_behind_the_block(
    can_stop: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT)
    marks = []

    def work() -> None:
        with interruptible(can_stop) as state:
            marks.append(state.asked)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)
            marks.append(state.asked)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert marks == [False, True]
    assert signal.getsignal(signal.SIGINT) is before
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert ("cannot stop a build" in said) == (not can_stop)


def test_an_error_within_the_block_passes_and_the_handler_is_put_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ValueError, match="ours"), interruptible(True):
        raise ValueError("ours")
    assert signal.getsignal(signal.SIGINT) is before


def test_in_another_thread_signals_are_left_alone() -> None:
    seen = []

    def work() -> None:
        with interruptible(True) as state:
            seen.append((state.asked, signal.getsignal(signal.SIGINT)))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


SECOND_PRESS = """
import os, signal, time
from edgereid.export.tensorrt.monitor import interruptible
with interruptible(False):
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(30)
"""


def test_a_second_ctrl_c_ends_the_process_at_once() -> None:
    done = subprocess.run([sys.executable, "-c", SECOND_PRESS], capture_output=True, timeout=60)
    assert done.returncode == -signal.SIGINT
