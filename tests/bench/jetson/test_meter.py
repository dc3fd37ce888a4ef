"""The meter on a made-up ``tegrastats``, a real child process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from edgereid.bench.energy.meters import POWER
from edgereid.bench.energy.window import FINDERS, Window
from edgereid.bench.jetson import meter
from edgereid.bench.jetson.meter import Tegrastats, TegrastatsRail, tegrastats

JETSON = {"proc/device-tree/compatible": "nvidia,p3701\0nvidia,tegra234\0"}
LINE = "RAM 1/2MB GPU@40C VDD_IN 4000mW/4100mW VDD_SOC 1500mW/1400mW NC 0mW/0mW"


def program(*lines: str, then: str = "sleep 0.02; done") -> str:
    """Prints the arguments it was given, then the lines again and again."""
    said = "; ".join(f"echo '{line}'" for line in lines)
    return f'#!/bin/sh\necho "$*" >&2\nwhile :; do {said or ":"}; {then}\n'


def child(tmp_path: Path, text: str, **options: Any) -> Tegrastats:
    path = tmp_path / "tegrastats"
    path.write_text(text)
    path.chmod(0o755)
    return Tegrastats(path, **options)


def wait_until(condition: Any, seconds: float = 5.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it does not come to pass"
        time.sleep(0.01)


def test_it_is_among_the_finders_after_the_chips_own_files() -> None:
    names = [f.__name__ for f in FINDERS]
    assert names.index("ina3221") < names.index("tegrastats")


def test_rails_are_meters_of_power_in_watts(tree: Any) -> None:
    found = tegrastats(tree({**JETSON, "usr/bin/tegrastats": program(LINE)}))
    assert found.absent == ()
    module, soc = found.meters
    assert (module.name, module.covers, module.kind) == (
        "tegrastats VDD_IN", "the whole module", POWER,
    )  # fmt: skip
    assert (soc.name, soc.covers) == ("tegrastats VDD_SOC", "this rail")
    assert (module.read(), soc.read()) == (4.0, 1.5)


def test_a_window_integrates_constant_power_to_power_times_time(tree: Any) -> None:
    found = tegrastats(tree({**JETSON, "usr/bin/tegrastats": program(LINE)}))
    with Window(found.meters, interval_s=0.02) as window:
        time.sleep(0.3)
    module, _ = window.result(embeddings=10)
    assert module.joules is not None
    assert module.seconds is not None
    assert module.joules == pytest.approx(4.0 * module.seconds)
    assert module.watts == pytest.approx(4.0)


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"usr/bin/tegrastats": program(LINE)},  # a program of that name on a PC
        {
            **JETSON,
            "usr/bin/tegrastats": program(LINE),
            "sys/class/hwmon/hwmon0/name": "ina3221",
            "sys/class/hwmon/hwmon0/in1_label": "VDD_IN",
            "sys/class/hwmon/hwmon0/in1_input": "5000",
            "sys/class/hwmon/hwmon0/curr1_input": "800",
        },
    ],
)
def test_elsewhere_and_where_the_chips_can_be_read_it_is_not_used(
    tree: Any, files: dict[str, str]
) -> None:
    found = tegrastats(tree(files))
    assert (found.meters, found.absent) == ((), ())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "is not there"),
        (program("RAM 1/2MB GPU@40C"), "prints no power"),
        ("#!/bin/sh\nexit 3\n", "ended with exit code 3"),
        ("#!/bin/sh\nprintf 'VDD_IN 4000mW/41'\n", "ended with exit code 0"),
        ("no program", "Exec format error"),
    ],
)
def test_a_program_that_tells_nothing_is_absent_with_a_reason(
    tree: Any, text: str | None, reason: str
) -> None:
    root = tree(JETSON if text is None else {**JETSON, "usr/bin/tegrastats": text})
    found = tegrastats(root)
    assert found.meters == ()
    assert reason in found.absent[0]
    assert found.absent[0].startswith("tegrastats") or text == "no program"


def test_it_ends_when_nobody_reads_and_begins_again_when_somebody_does(tmp_path: Path) -> None:
    source = child(tmp_path, program(LINE), idle_s=0.1)
    assert not source.running
    assert source.latest().rails
    assert source.running
    wait_until(lambda: not source.running)
    assert source.latest().rails
    assert source.running
    wait_until(lambda: not source.running)


def test_a_program_that_falls_silent_is_no_meter_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "STALE_S", 0.05)
    source = child(tmp_path, f"#!/bin/sh\necho '{LINE}'\nexec sleep 2\n")
    assert source.latest().rails
    time.sleep(0.1)
    with pytest.raises(OSError, match="no new line"):
        source.latest()


def test_a_program_that_prints_nothing_is_not_waited_for_forever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meter, "PATIENCE_S", 0.05)
    source = child(tmp_path, "#!/bin/sh\nexec sleep 2\n")
    with pytest.raises(OSError, match="no line within"):
        source.latest()


def test_a_rail_that_a_line_lacks_is_an_error_not_zero(tmp_path: Path) -> None:
    source = child(tmp_path, program(LINE), idle_s=0.1)
    with pytest.raises(OSError, match="has no VDD_GONE"):
        TegrastatsRail("VDD_GONE", source).read()
