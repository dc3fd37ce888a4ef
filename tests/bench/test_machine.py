"""The machine's state from made-up system folders: what is absent is absent, never zero."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgereid.bench.machine import Reading, State, machine, state, state_warnings

CPUINFO = """processor\t: 0
model name\t: A Processor @ 2.60GHz
cpu MHz\t\t: 2600.000
flags\t\t: fpu sse2 avx avx2 avx512f avx512_vnni amx_int8 secret_feature

processor\t: 1
model name\t: A Processor @ 2.60GHz
cpu MHz\t\t: 2601.500
"""


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_an_empty_system_reports_everything_as_absent_with_a_reason(tmp_path: Path) -> None:
    found, now = machine(tmp_path), state(tmp_path)
    for reading in (
        found.features, found.governor, found.memory, found.accelerator, found.cpu_quota,
        found.power_mode, now.clocks, now.temperatures, now.load, now.memory_available,
        now.throttled, now.cooling, now.clock_limits, now.device_clocks,
    ):  # fmt: skip
        assert reading.value is None
        assert reading.absent


def test_a_full_system_is_read(tmp_path: Path) -> None:
    cpu0 = "sys/devices/system/cpu/cpu0/cpufreq"
    root = write(
        tmp_path,
        {
            "proc/cpuinfo": CPUINFO,
            "proc/meminfo": "MemTotal:  1000 kB\nMemAvailable:   400 kB\n",
            "proc/loadavg": "0.25 0.50 0.75 1/100 4242\n",
            "proc/driver/nvidia/version": "NVRM version: 550.54\nGCC version\n",
            f"{cpu0}/scaling_governor": "powersave\n",
            f"{cpu0}/scaling_cur_freq": "1800000\n",
            "sys/devices/system/cpu/cpu1/cpufreq/scaling_cur_freq": "2400000\n",
            "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
            "sys/class/thermal/thermal_zone0/temp": "47500\n",
            "sys/fs/cgroup/cpu.max": "150000 100000\n",
        },
    )
    found, now = machine(root), state(root)
    assert found.cpu == Reading("A Processor @ 2.60GHz")
    assert found.features == Reading(["avx", "avx2", "avx512f", "avx512_vnni", "amx_int8"])
    assert found.governor == Reading("powersave")
    assert found.memory == Reading(1_024_000)
    assert found.accelerator == Reading("NVRM version: 550.54")
    assert found.cpu_quota == Reading(1.5)
    assert now.clocks == Reading([1800.0, 2400.0])
    assert now.temperatures == Reading({"thermal_zone0 cpu-thermal": 47.5})
    assert now.load == Reading([0.25, 0.5, 0.75])
    assert now.memory_available == Reading(409_600)


def test_without_cpufreq_the_clock_is_the_one_cpuinfo_states(tmp_path: Path) -> None:
    assert state(write(tmp_path, {"proc/cpuinfo": CPUINFO})).clocks == Reading([2600.0, 2601.5])


def test_an_arm_board_is_named_by_its_device_tree(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/cpuinfo": "processor : 0\nFeatures : fp asimd asimddp i8mm\n",
            "proc/device-tree/model": "Jetson Orin Nano\0",
        },
    )
    assert machine(root).cpu == Reading("Jetson Orin Nano")
    assert machine(root).features == Reading(["asimd", "asimddp", "i8mm"])


def test_files_of_nonsense_are_absent_with_a_reason(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            "proc/loadavg": "busy\n",
            "proc/meminfo": "nothing here\n",
            "sys/fs/cgroup/cpu.max": "lots\n",
            "sys/class/thermal/thermal_zone0/temp": "warm\n",
        },
    )
    found, now = machine(root), state(root)
    for reading in (now.load, now.temperatures, now.memory_available, found.cpu_quota):
        assert reading.value is None
        assert reading.absent


def test_no_quota_is_said_to_be_none(tmp_path: Path) -> None:
    root = write(tmp_path, {"sys/fs/cgroup/cpu.max": "max 100000\n"})
    assert machine(root).cpu_quota == Reading(None, "no limit is set")


def test_packages_that_are_not_installed_have_no_version(tmp_path: Path) -> None:
    packages = machine(tmp_path).packages
    assert packages["numpy"]
    assert None not in [packages["pillow"]]
    assert all(version is None or version for version in packages.values())


def _state(load: float, clock: float) -> State:
    absent = Reading(None, "-")
    return State(Reading([clock]), absent, Reading([load, 0.0, 0.0]), absent)


def test_a_busy_machine_and_a_moving_clock_are_warned_of() -> None:
    assert state_warnings(_state(0.1, 2000), _state(2.0, 2010), 2) == []
    (busy,) = state_warnings(_state(1.7, 2000), _state(2.0, 2000), 2)
    assert "busy" in busy
    (moved,) = state_warnings(_state(0.1, 3000), _state(2.0, 2000), 2)
    assert "3000 to 2000 MHz" in moved


HOT = {
    "sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count": "3\n",
    "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count": "4\n",
    "sys/devices/system/cpu/cpu0/thermal_throttle/package_throttle_count": "0\n",
    "sys/class/thermal/cooling_device0/type": "Processor\n",
    "sys/class/thermal/cooling_device0/cur_state": "0\n",
    "sys/class/thermal/cooling_device1/type": "pwm-fan\n",
    "sys/class/thermal/cooling_device1/cur_state": "3\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1510400\n",
    "sys/class/devfreq/17000000.gpu/cur_freq": "624750000\n",
    "var/lib/nvpmodel/status": "pmode:0002 fmode:fanNull\n",
}


def test_throttling_cooling_limits_and_power_mode_are_read(tmp_path: Path) -> None:
    root = write(tmp_path, HOT)
    now = state(root)
    assert now.throttled == Reading({"core": 7, "package": 0})
    assert now.cooling == Reading({"cooling_device0 Processor": 0})
    assert now.clock_limits == Reading({"cpu0": 1510.4})
    assert now.device_clocks == Reading({"17000000.gpu": 624.75})
    assert machine(root).power_mode == Reading("pmode:0002 fmode:fanNull")


@pytest.mark.parametrize(
    ("file", "text", "warning"),
    [
        (
            "sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count",
            "9\n",
            "the processor throttled while measured (core 5 times)",
        ),
        (
            "sys/class/thermal/cooling_device0/cur_state",
            "2\n",
            "cooling slows the machine: cooling_device0 Processor",
        ),
        (
            "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq",
            "998400\n",
            "the highest clock allowed moved (cpu0: 1510 to 998 MHz)",
        ),
    ],
)
def test_a_machine_that_heat_or_a_limit_slowed_is_warned_of(
    tmp_path: Path, file: str, text: str, warning: str
) -> None:
    before = state(write(tmp_path, HOT))
    assert state_warnings(before, state(tmp_path), 2) == []
    (found,) = state_warnings(before, state(write(tmp_path, {file: text})), 2)
    assert found.startswith(warning)


def test_throttling_before_the_measurement_is_no_warning(tmp_path: Path) -> None:
    before, after = state(tmp_path), state(write(tmp_path, HOT))
    assert state_warnings(before, after, 2) == []


def test_absent_state_gives_no_warning(tmp_path: Path) -> None:
    assert state_warnings(state(tmp_path), state(tmp_path), 2) == []
