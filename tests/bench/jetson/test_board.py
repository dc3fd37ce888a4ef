"""Boards from made-up file systems: releases, power modes, clocks; what is absent has a reason."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.bench.jetson.board import (
    Board,
    ClockRange,
    board,
    board_notes,
    chip_note,
    is_jetson,
    release_in,
)
from edgereid.bench.jetson.power_mode import PowerMode, answered, modes_in, power_mode
from edgereid.bench.jetson.releases import CHIPS, GENERATION, JETPACK, jetpack_of
from edgereid.bench.machine_files import Reading

ORIN = "nvidia,p3768-0000+p3767-0005\0nvidia,p3767-0005\0nvidia,tegra234\0"
RELEASE = (
    "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64, "
    "DATE: Wed Jan  8 01:49:37 UTC 2025\n# KERNEL_VARIANT: oot\nTARGET_USERSPACE_LIB_DIR=nvidia\n"
)
CONF = """\
< PARAM TYPE=FILE NAME=CPU_ONLINE >
CORE_0 /sys/devices/system/cpu/cpu0/online

# MAXN is the NONE power model to release all constraints
< POWER_MODEL ID=0 NAME=15W >
CPU_ONLINE CORE_0 1
< POWER_MODEL ID=1 NAME=25W >
< POWER_MODEL ID=2 NAME=MAXN_SUPER >
< PM_CONFIG DEFAULT=1 >
"""
CPU = "sys/devices/system/cpu"
DPKG = """\
Package: libc6
Version: 2.35

Package: nvidia-jetpack
Status: install ok installed
Depends: nvidia-jetpack-runtime (= 6.2.1+b38)
Version: 6.2.1+b38
Description: NVIDIA Jetpack Meta Package

Package: nvidia-l4t-core
Status: install ok installed
Version: 36.4.3-20250107174145
"""


def orin(**changes: str | None) -> dict[str, str]:
    files: dict[str, str | None] = {
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit\0",
        "proc/device-tree/compatible": ORIN,
        "etc/nv_tegra_release": RELEASE,
        "etc/nvpmodel.conf": CONF,
        "var/lib/nvpmodel/status": "pmode:0001\n",
        f"{CPU}/cpu0/cpufreq/scaling_min_freq": "729600\n",
        f"{CPU}/cpu0/cpufreq/scaling_max_freq": "1344000\n",
        f"{CPU}/cpu10/cpufreq/scaling_min_freq": "1344000\n",
        f"{CPU}/cpu10/cpufreq/scaling_max_freq": "1344000\n",
        "sys/class/devfreq/17000000.gpu/min_freq": "306000000\n",
        "sys/class/devfreq/17000000.gpu/max_freq": "306000000\n",
        "sys/class/devfreq/15340000.vic/min_freq": "1\n",
        "sys/class/devfreq/15340000.vic/max_freq": "2\n",
        "sys/class/thermal/thermal_zone0/type": "cpu-thermal\n",
        "sys/class/thermal/thermal_zone0/temp": "51562\n",
        "sys/class/thermal/cooling_device0/type": "gpu-throttle-alert\n",
        "sys/class/thermal/cooling_device0/cur_state": "0\n",
        "sys/class/thermal/cooling_device1/type": "pwm-fan\n",
        "sys/class/thermal/cooling_device1/cur_state": "2\n",
        "sys/class/hwmon/hwmon1/oc1_event_cnt": "0\n",
    }
    files.update({k.replace("__", "/"): v for k, v in changes.items()})
    return {name: text for name, text in files.items() if text is not None}


def of(tree: Any, **changes: str | None) -> Board:
    found = board(tree(orin(**changes)))
    assert found is not None
    return found


def test_another_machine_is_no_jetson(tree: Any) -> None:
    root = tree({"proc/device-tree/compatible": "raspberrypi,4-model-b\0brcm,bcm2711\0"})
    assert not is_jetson(root)
    assert board(root) is None


def test_a_board_is_read_as_a_whole(tree: Any) -> None:
    found = of(tree)
    assert found.model.value == "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit"
    assert found.chip == Reading("tegra234")
    assert "compute capability 8.7" in chip_note(found)
    assert found.l4t == Reading("36.4.3")
    assert found.jetpack == Reading("6.2")
    assert found.power_mode == Reading(PowerMode(1, "25W", (2, "MAXN_SUPER")))
    assert found.clocks.value == (
        ClockRange("cpu0", 729.6, 1344.0),
        ClockRange("cpu10", 1344.0, 1344.0),
        ClockRange("17000000.gpu", 306.0, 306.0),
    )
    assert found.temperatures.value == {"thermal_zone0 cpu-thermal": 51.562}
    assert found.alerts.value == {"gpu-throttle-alert": 0}


def test_a_jetson_that_tells_nothing_but_its_chip_has_a_reason_for_everything(tree: Any) -> None:
    found = board(tree({"proc/device-tree/compatible": ORIN}))
    assert found is not None
    for name in Board.__slots__:
        reading = getattr(found, name)
        if name != "chip":
            assert reading.value is None, name
            assert reading.absent, name
    assert board_notes(found) == []


def test_the_state_is_judged_with_what_to_do(tree: Any) -> None:
    mode, clocks = board_notes(of(tree))
    assert "power mode 25W limits the clocks" in mode
    assert "sudo nvpmodel -m 2" in mode
    assert clocks.startswith("clocks are not locked (cpu0): sudo jetson_clocks")


def test_locked_clocks_without_limits_are_not_worth_a_note(tree: Any) -> None:
    files = orin(**{f"{CPU}/cpu0/cpufreq/scaling_min_freq": "1344000"})
    files["var/lib/nvpmodel/status"] = "pmode:0002 fmode:quiet"
    found = board(tree(files))
    assert found is not None
    assert board_notes(found) == []


def test_heat_and_current_that_slow_the_board_are_told(tree: Any) -> None:
    files = orin()
    files["sys/class/thermal/cooling_device0/cur_state"] = "1"
    files["sys/class/hwmon/hwmon1/oc1_event_cnt"] = "3"
    found = board(tree(files))
    assert found is not None
    heat, current = board_notes(found)[-2:]
    assert "gpu-throttle-alert" in heat
    assert "oc1 3 times" in current


@pytest.mark.parametrize(
    ("line", "release"),
    [
        (RELEASE, "36.4.3"),
        ("# R32 (release), REVISION: 7.1, GCID: 29818004, BOARD: t210ref, EABI: aarch64", "32.7.1"),
        ("# R35 (release), REVISION: 4.1, GCID: 33958178, BOARD: t186ref", "35.4.1"),
        ("# R38 (release), REVISION: 2.0, GCID: 41844464, BOARD: generic", "38.2.0"),
        ("# R39 (release), REVISION: 2.1, GCID: 46758480, BOARD: generic", "39.2.1"),
        ("# R34 (release), REVISION: 1, GCID: 1", "34.1.0"),
        ("R36 (release), REVISION: 4.3", "36.4.3"),
    ],
)
def test_a_release_is_read_from_its_line(line: str, release: str) -> None:
    assert release_in(line) == release


@given(st.text(max_size=60))
def test_no_release_file_is_too_strange(text: str) -> None:
    try:
        found = release_in(text)
    except ValueError:
        return
    assert all(part.isdigit() for part in found.split("."))


def test_without_the_release_file_the_core_package_tells(tree: Any) -> None:
    found = of(tree, **{"etc/nv_tegra_release": None, "var/lib/dpkg/status": DPKG})
    assert found.l4t == Reading("36.4.3")


def test_the_installed_package_knows_its_jetpack_better_than_the_table(tree: Any) -> None:
    assert of(tree, **{"var/lib/dpkg/status": DPKG}).jetpack == Reading("6.2.1")


@pytest.mark.parametrize(
    "status",
    [
        "Package: x\nStatus: install ok installed\nDepends: nvidia-jetpack\nVersion: 9\n",
        "Package: nvidia-jetpack\nStatus: deinstall ok config-files\nVersion: 9\n",
        "Package: nvidia-jetpack\n\nPackage: y\nStatus: install ok installed\nVersion: 9\n",
        "Package: nvidia-jetpack-dev\nStatus: install ok installed\nVersion: 9\n",
    ],
)
def test_a_package_that_is_only_named_or_was_removed_is_not_installed(
    tree: Any, status: str
) -> None:
    assert of(tree, **{"var/lib/dpkg/status": status}).jetpack == Reading("6.2")


@pytest.mark.parametrize(
    ("l4t", "jetpack"),
    [
        ("36.4.3", "6.2"),
        ("36.4.7", "6.x"),
        ("35.4.1", "5.1.2"),
        ("32.9.9", "4.x"),
        ("99.1.0", None),
    ],
)
def test_a_release_outside_the_table_tells_only_the_generation(
    l4t: str, jetpack: str | None
) -> None:
    assert jetpack_of(l4t) == jetpack


def test_the_table_of_releases_agrees_with_itself() -> None:
    for l4t, jetpack in JETPACK.items():
        assert len(l4t.split(".")) == 3
        assert GENERATION[l4t.partition(".")[0]] == jetpack.partition(".")[0]
    order = sorted(JETPACK, key=lambda v: [int(n) for n in v.split(".")])
    versions = [[int(n) for n in JETPACK[v].split()[0].split(".")] for v in order]
    assert versions == sorted(versions)
    assert {c.compute for c in CHIPS.values()} == {"5.3", "6.2", "7.2", "8.7", "11.0"}


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("NV Power Mode: MAXN\n0\n", (0, "MAXN")),
        ("NV Fan Mode:quiet\nNV Power Mode: MODE_15W_6CORE\n2\n", (2, "MODE_15W_6CORE")),
        ("NVPM WARN: fan mode is not set!\nNV Power Mode: 25W\n1\n", (1, "25W")),
        (
            "NVPM VERB: parsing done for /etc/nvpmodel.conf\nNVPM VERB: Current mode: NV Power "
            "Mode: 25W\n1\nNVPM VERB: PARAM CPU_ONLINE: ARG CORE_0: PATH /sys/x: REAL_VAL: 1\n",
            (1, "25W"),
        ),
    ],
)
def test_the_answer_of_nvpmodel_is_understood(text: str, mode: tuple[int, str]) -> None:
    assert answered(text) == mode


@given(st.text(alphabet="NV Power Mode:\n0123MAX", max_size=60) | st.text(max_size=60))
def test_no_answer_of_nvpmodel_is_too_strange(text: str) -> None:
    modes_in(text)
    try:
        number, name = answered(text)
    except ValueError:
        return
    assert str(number) in text.replace("0", "") or number == 0 or str(number) in text
    assert name in text


def test_without_a_status_nvpmodel_itself_is_asked(tree: Any) -> None:
    program = "#!/bin/sh\necho 'NV Power Mode: 15W'\necho 0\n"
    root = tree({"usr/sbin/nvpmodel": program, "etc/nvpmodel.conf": CONF})
    assert power_mode(root) == Reading(PowerMode(0, "15W", (2, "MAXN_SUPER")))


@pytest.mark.parametrize(
    ("program", "reason"),
    [("#!/bin/sh\nexit 3\n", "exit code 3"), ("#!/bin/sh\necho no\n", "names no mode")],
)
def test_an_nvpmodel_that_does_not_answer_is_told(tree: Any, program: str, reason: str) -> None:
    found = power_mode(tree({"usr/sbin/nvpmodel": program}))
    assert found.value is None
    assert reason in str(found.absent)


def test_a_mode_that_the_configuration_does_not_name_has_no_name(tree: Any) -> None:
    found = power_mode(tree({"var/lib/nvpmodel/status": "pmode:0007"}))
    assert found == Reading(PowerMode(7, None, None))
    assert not found.value.limited
