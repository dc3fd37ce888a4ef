"""Energy from made-up system folders, a made-up NVML and meters whose law is known."""

from __future__ import annotations

import sys
import types
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.bench.candidates import Candidate
from edgereid.bench.codec import decode, encode
from edgereid.bench.energy import passes, window
from edgereid.bench.energy.ina3221 import ina3221
from edgereid.bench.energy.meters import ENERGY, POWER, Found
from edgereid.bench.energy.nvml import nvml
from edgereid.bench.energy.passes import EnergyOptions, engines_energy
from edgereid.bench.energy.rapl import rapl
from edgereid.bench.energy.report import EnergyReport, EngineEnergy, measure_energies
from edgereid.bench.energy.table import energy_text
from edgereid.bench.energy.window import (
    Energy,
    Window,
    energy_notes,
    find_meters,
    joules_of_counter,
    joules_of_power,
    measure_energy,
    measure_idle,
)
from edgereid.bench.latency import Runner
from edgereid.bench.opening import Opened
from edgereid.errors import UsageError
from edgereid.images import Preprocessing


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def zone(name: str, label: str, microjoules: int = 5_000_000) -> dict[str, str]:
    folder = f"sys/class/powercap/{name}"
    return {
        f"{folder}/name": f"{label}\n",
        f"{folder}/energy_uj": f"{microjoules}\n",
        f"{folder}/max_energy_range_uj": "262143328850\n",
    }


def chip(number: int, rails: dict[int, tuple[str, int, int]]) -> dict[str, str]:
    """Rails by channel: label, mV, mA."""
    folder = f"sys/class/hwmon/hwmon{number}"
    files = {f"{folder}/name": "ina3221\n"}
    for channel, (label, millivolts, milliamperes) in rails.items():
        files[f"{folder}/in{channel}_label"] = f"{label}\n"
        files[f"{folder}/in{channel}_input"] = f"{millivolts}\n"
        files[f"{folder}/curr{channel}_input"] = f"{milliamperes}\n"
    return files


# --- arithmetic ---------------------------------------------------------------------------------

gaps = st.lists(st.floats(1e-4, 10), min_size=1, max_size=60)


def times_of(steps: list[float]) -> list[float]:
    return [0.0, *np.cumsum(steps).tolist()]


@given(gaps, st.floats(0, 500))
def test_constant_power_is_power_times_time_however_the_readings_come(
    steps: list[float], watts: float
) -> None:
    readings = [(t, watts) for t in times_of(steps)]
    assert joules_of_power(readings) == pytest.approx(watts * readings[-1][0])


@given(gaps, st.floats(-20, 20), st.floats(0, 100))
def test_linear_power_is_integrated_exactly_however_the_readings_come(
    steps: list[float], slope: float, start: float
) -> None:
    readings = [(t, start + slope * t) for t in times_of(steps)]
    end = readings[-1][0]
    exact = start * end + slope * end**2 / 2
    assert joules_of_power(readings) == pytest.approx(exact, rel=1e-9, abs=1e-9)


@given(gaps, st.data())
def test_two_windows_are_as_much_as_both_together(steps: list[float], data: Any) -> None:
    times = times_of(steps)
    watts = data.draw(st.lists(st.floats(0, 100), min_size=len(times), max_size=len(times)))
    readings = list(zip(times, watts, strict=True))
    cut = data.draw(st.integers(0, len(readings) - 1))
    parts = joules_of_power(readings[: cut + 1]) + joules_of_power(readings[cut:])
    assert parts == pytest.approx(joules_of_power(readings))


def test_sampling_a_wave_comes_close_to_its_integral() -> None:
    times = np.sort(np.random.default_rng(0).uniform(0, 10, 2000))
    readings = [(float(t), 20 + 5 * np.sin(t)) for t in [0.0, *times, 10.0]]
    assert joules_of_power(readings) == pytest.approx(200 + 5 * (1 - np.cos(10)), rel=1e-4)


@given(st.lists(st.floats(0, 50), min_size=1, max_size=40), st.floats(0, 99))
def test_a_counter_that_wraps_counts_what_one_that_does_not_counts(
    steps: list[float], start: float
) -> None:
    plain = times_of(steps)
    wrapped = [(float(i), (start + value) % 100) for i, value in enumerate(plain)]
    assert joules_of_counter(wrapped, 100.0) == pytest.approx(plain[-1], abs=1e-6)


def test_a_counter_without_a_wrap_must_not_fall() -> None:
    with pytest.raises(ValueError, match="fell from 5 to 3"):
        joules_of_counter([(0, 5), (1, 3)], None)


# --- windows ------------------------------------------------------------------------------------


@dataclass
class Clock:
    """Seconds that pass only when somebody says so."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Law:
    """A meter that follows a law of time."""

    clock: Clock
    law: Any
    kind: str = POWER
    wraps_at: float | None = None
    name: str = "a meter"
    covers: str = "a board"
    dies_at: float = float("inf")

    def read(self) -> float:
        if self.clock.now >= self.dies_at:
            raise FileNotFoundError("gone")
        return float(self.law(self.clock.now))


def watched(meter: Law, seconds: list[float], embeddings: int = 0, **more: Any) -> Energy:
    """A window over the meter, read at its start and after each of ``seconds``."""
    with Window([meter], interval_s=60, clock=meter.clock) as window:
        for step in seconds[:-1]:
            meter.clock.now += step
            window.sample()
        meter.clock.now += seconds[-1]
    return window.result(embeddings, **more)[0]


def test_joules_per_embedding_include_idle_power_which_is_reported_beside() -> None:
    idle = watched(Law(Clock(), lambda t: 4.0), [0.5] * 4)
    assert idle.watts == pytest.approx(4.0)
    busy = watched(Law(Clock(), lambda t: 10.0), [0.5] * 8, embeddings=100, idle=[idle])
    assert busy.joules == pytest.approx(40.0)
    assert busy.joules_per_embedding == pytest.approx(0.4)
    assert busy.idle_watts == pytest.approx(4.0)
    assert busy.absent is None


def test_a_counter_is_read_at_both_ends_and_its_wraps_are_seen() -> None:
    meter = Law(Clock(), lambda t: (90 + 7 * t) % 100, kind=ENERGY, wraps_at=100.0)
    found = watched(meter, [10.0, 10.0, 10.0], embeddings=7)
    assert found.joules == pytest.approx(210.0)
    assert found.joules_per_embedding == pytest.approx(30.0)
    assert found.watts == pytest.approx(7.0)


@pytest.mark.parametrize(
    ("meter", "steps", "reason"),
    [
        (Law(Clock(), lambda t: 5.0, dies_at=1.5), [1.0, 1.0, 1.0], "lost after 2 readings: gone"),
        (Law(Clock(), lambda t: 5.0), [1.0], "2 readings in this window, 5 are needed"),
        (Law(Clock(), lambda t: 9.0, kind=ENERGY), [1.0, 1.0], "the counter did not move"),
        (Law(Clock(), lambda t: -t, kind=ENERGY), [1.0], "has no wrap"),
    ],
)
def test_what_cannot_be_measured_is_absent_with_a_reason_never_zero(
    meter: Law, steps: list[float], reason: str
) -> None:
    found = watched(meter, steps, embeddings=10)
    assert (found.joules, found.watts, found.joules_per_embedding) == (None, None, None)
    assert reason in str(found.absent)


def test_one_meter_that_is_lost_takes_no_other_along() -> None:
    clock = Clock()
    good = Law(clock, lambda t: 2.0, name="good")
    bad = Law(clock, lambda t: 2.0, name="bad", dies_at=1.0)
    with Window([bad, good], interval_s=60, clock=clock) as window:
        for _ in range(6):
            clock.now += 1.0
            window.sample()
    lost, kept = window.result()
    assert lost.absent
    assert kept.joules == pytest.approx(12.0)


def test_the_thread_reads_while_the_work_runs_and_stops_with_it() -> None:
    import threading
    import time

    meter = Law(Clock(), lambda t: 3.0)
    found = Found((meter,))

    def work() -> int:
        while len(window_readings) < 8:
            time.sleep(0.005)
        return 5

    window_readings: list[float] = []
    meter.law = lambda t: window_readings.append(t) or 3.0
    (result,) = measure_energy(work, found, interval_s=0.001)
    assert result.readings >= 9
    assert result.watts == pytest.approx(3.0)
    assert not [t for t in threading.enumerate() if t.name == "energy"]


def test_an_error_of_the_work_stops_the_thread_and_passes() -> None:
    import threading

    with pytest.raises(KeyError), Window([Law(Clock(), lambda t: 3.0)], interval_s=0.001):
        raise KeyError("the work's own")
    assert not [t for t in threading.enumerate() if t.name == "energy"]


def test_without_a_meter_nothing_runs() -> None:
    def never() -> int:
        raise AssertionError

    assert measure_energy(never, Found()) == ()
    assert measure_idle(Found(), seconds=3600) == ()
    runner: Runner[int] = Runner("a", lambda _: never(), [0])
    assert engines_energy([runner], 1, Found()) == [()]


@pytest.mark.parametrize("interval", [0.0, -1.0, 61.0])
def test_an_impossible_interval_is_refused(interval: float) -> None:
    with pytest.raises(UsageError):
        Window([], interval_s=interval)
    with pytest.raises(UsageError):
        EnergyOptions(window_s=-1)


# --- a pass over engines ------------------------------------------------------------------------


@dataclass
class Plant:
    """A machine: 2 W idle; each engine draws more while it runs. Time passes by runs only."""

    clock: Clock = field(default_factory=Clock)
    watts: float = 2.0
    joules: float = 0.0

    def pass_time(self, seconds: float, watts: float) -> None:
        self.clock.now += seconds
        self.joules += watts * seconds

    def engine(self, seconds: float, watts: float) -> Any:
        return lambda _: self.pass_time(seconds, watts)


def test_each_engine_has_its_own_joules_per_embedding(monkeypatch: pytest.MonkeyPatch) -> None:
    plant = Plant()
    meter = Law(plant.clock, lambda t: plant.joules, kind=ENERGY)
    monkeypatch.setattr(
        window, "time", types.SimpleNamespace(sleep=lambda s: plant.pass_time(s, 2.0))
    )
    whole = window.Window
    monkeypatch.setattr(window, "Window", lambda m, i: whole(m, i, plant.clock))
    runners: list[Runner[int]] = [
        Runner("slow", plant.engine(0.5, 12.0), [0]),
        Runner("fast", plant.engine(0.1, 20.0), [0]),
    ]
    options = EnergyOptions(window_s=5.0, settle_s=1.0, idle_s=2.0, interval_s=60)
    results = engines_energy(
        runners, 4, Found((meter,)), options, lambda: int(plant.clock.now * 1e9)
    )
    per_embedding = [r[0].joules_per_embedding for r in results]
    assert per_embedding == [pytest.approx(12 * 0.5 / 4), pytest.approx(20 * 0.1 / 4)]
    assert [r[0].idle_watts for r in results] == [pytest.approx(2.0)] * 2
    assert passes.EnergyOptions().window_s > 0


# --- RAPL ---------------------------------------------------------------------------------------


def test_rapl_zones_are_found_by_name_and_counted_once(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        {
            **zone("intel-rapl:0", "package-0"),
            **zone("intel-rapl:0:0", "core"),
            **zone("intel-rapl:0:1", "dram", 7_500_000),
            **zone("intel-rapl:1", "psys"),
            **zone("intel-rapl-mmio:0", "package-0"),
            "sys/class/powercap/intel-rapl/enabled": "1\n",
        },
    )
    found = rapl(root)
    names = ["RAPL package-0", "RAPL package-0 core", "RAPL package-0 dram", "RAPL psys"]
    assert [m.name for m in found.meters] == names
    assert found.absent == ()
    assert all(m.kind == ENERGY and m.covers != "unknown" for m in found.meters)
    assert [m.read() for m in found.meters] == [5.0, 5.0, 7.5, 5.0]
    assert found.meters[0].wraps_at == pytest.approx(262143.32885)


def test_rapl_that_only_root_may_read_says_so_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write(tmp_path, zone("intel-rapl:0", "package-0"))
    real = Path.read_text

    def guarded(self: Path, *args: Any, **more: Any) -> str:
        if self.name == "energy_uj":
            raise PermissionError(13, "Permission denied", str(self))
        return real(self, *args, **more)

    monkeypatch.setattr(Path, "read_text", guarded)
    found = rapl(root)
    assert found.meters == ()
    (reason,) = found.absent
    assert "root only" in reason
    assert "RAPL package-0" in reason
    assert "\n" not in reason


def test_a_rapl_counter_that_vanishes_within_the_window_is_absent(tmp_path: Path) -> None:
    root = write(tmp_path, zone("intel-rapl:0", "package-0"))
    found = rapl(root)
    with Window(found.meters, interval_s=60) as window:
        (root / "sys/class/powercap/intel-rapl:0/energy_uj").unlink()
    assert "lost after 1 readings" in str(window.result()[0].absent)


def test_a_rapl_counter_wraps_at_the_range_its_file_tells(tmp_path: Path) -> None:
    file = "sys/class/powercap/intel-rapl:0/energy_uj"
    root = write(tmp_path, zone("intel-rapl:0", "package-0", 262_143_000_000))
    with Window(rapl(root).meters, interval_s=60) as window:
        write(root, {file: "1671150\n"})  # 0.32885 J to the end of the range, then 1.67115 J
    assert window.result()[0].joules == pytest.approx(2.0)


# --- INA3221 ------------------------------------------------------------------------------------


def test_rails_of_a_jetson_are_volts_times_amperes_by_name(tmp_path: Path) -> None:
    rails = {1: ("VDD_IN", 5_000, 1_200), 2: ("VDD_CPU_GPU_CV", 5_000, 400), 3: ("NC", 0, 0)}
    root = write(tmp_path, {**chip(1, rails), "sys/class/hwmon/hwmon0/name": "nvme\n"})
    found = ina3221(root)
    assert [(m.name, m.read()) for m in found.meters] == [
        ("INA3221 VDD_IN", pytest.approx(6.0)),
        ("INA3221 VDD_CPU_GPU_CV", pytest.approx(2.0)),
    ]
    assert found.meters[0].covers == "the whole module"
    assert found.absent == ()


def test_rails_that_are_off_or_unreadable_are_absent(tmp_path: Path) -> None:
    files = chip(2, {1: ("VDD_IN", 5_000, 1_000), 2: ("VDD_SOC", 5_000, 1_000)})
    folder = "sys/class/hwmon/hwmon2"
    files |= {f"{folder}/in1_enable": "0\n", f"{folder}/curr2_input": "lots\n"}
    found = ina3221(write(tmp_path, {**files, f"{folder}/in3_label": "VDD_X\n"}))
    assert found.meters == ()
    assert [reason.partition(":")[0] for reason in found.absent] == [
        "INA3221 VDD_IN", "INA3221 VDD_SOC", "INA3221 VDD_X",
    ]  # fmt: skip


# --- NVML ---------------------------------------------------------------------------------------


class NVMLError(Exception):
    pass


def fake_nvml(**changes: Any) -> types.ModuleType:
    module = types.ModuleType("pynvml")
    calls = {
        "NVMLError": NVMLError,
        "nvmlInit": lambda: None,
        "nvmlDeviceGetCount": lambda: 1,
        "nvmlDeviceGetHandleByIndex": lambda i: f"gpu{i}",
        "nvmlDeviceGetTotalEnergyConsumption": lambda handle: 123_000,
        "nvmlDeviceGetPowerUsage": lambda handle: 70_000,
        **changes,
    }
    for name, value in calls.items():
        setattr(module, name, value)
    return module


def refuse(*_: Any) -> Any:
    raise NVMLError("Not Supported")


@pytest.fixture
def pynvml(monkeypatch: pytest.MonkeyPatch) -> Any:
    return lambda **changes: monkeypatch.setitem(sys.modules, "pynvml", fake_nvml(**changes))


def test_a_gpu_that_counts_energy_is_read_in_joules(pynvml: Any) -> None:
    pynvml()
    (meter,) = nvml().meters
    assert (meter.kind, meter.read(), meter.name) == (ENERGY, 123.0, "NVML GPU 0")


def test_a_gpu_that_only_tells_its_power_is_read_in_watts(pynvml: Any) -> None:
    pynvml(nvmlDeviceGetTotalEnergyConsumption=refuse)
    (meter,) = nvml().meters
    assert (meter.kind, meter.read()) == (POWER, 70.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"nvmlInit": refuse}, "no NVIDIA driver answers"),
        ({"nvmlDeviceGetCount": lambda: 0}, "knows no GPU"),
        (
            {
                "nvmlDeviceGetTotalEnergyConsumption": refuse,
                "nvmlDeviceGetPowerUsage": refuse,
            },
            "Not Supported",
        ),
    ],
)
def test_a_gpu_that_tells_nothing_is_absent(pynvml: Any, changes: Any, reason: str) -> None:
    pynvml(**changes)
    found = nvml()
    assert found.meters == ()
    assert reason in found.absent[0]


def test_an_error_of_nvml_within_the_window_makes_the_gpu_absent(pynvml: Any) -> None:
    answers = iter([1000.0, 1000.0])

    def tell(_: Any) -> float:
        try:
            return next(answers)
        except StopIteration:
            raise NVMLError("GPU is lost") from None

    pynvml(nvmlDeviceGetTotalEnergyConsumption=tell)
    with Window(nvml().meters, interval_s=60) as window:
        pass
    assert "GPU is lost" in str(window.result()[0].absent)


# --- all together -------------------------------------------------------------------------------


def test_a_machine_without_meters_says_of_each_kind_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = find_meters(tmp_path)
    assert found.meters == ()
    assert [reason.partition(":")[0] for reason in found.absent] == ["RAPL", "INA3221", "NVML"]
    (note,) = energy_notes(found)
    assert note.startswith("energy is absent: RAPL")


def test_meters_of_all_kinds_stand_side_by_side(tmp_path: Path, pynvml: Any) -> None:
    pynvml()
    root = write(tmp_path, {**zone("intel-rapl:0", "package-0"), **chip(0, {1: ("VDD_IN", 1, 1)})})
    names = [m.name for m in find_meters(root).meters]
    assert names == ["RAPL package-0", "INA3221 VDD_IN", "NVML GPU 0"]
    assert "RAPL package-0 (the processor's socket" in energy_notes(find_meters(root))[0]


# --- a bench ------------------------------------------------------------------------------------


def opened(fake_engine: Any, clock: Any, label: str, ms: float, batch: int | None) -> Opened:
    engine = fake_engine("onnxruntime", "f32", clock, ms, batch=batch)
    candidate = Candidate(Path("a.onnx"), "", None, None, None, True, True, None)
    return Opened(label, label, "f32", candidate, engine, Preprocessing(64, 32), 1, 1.0, 1.0, None)


def test_a_bench_has_a_row_for_each_engine_and_batch_size_it_takes(
    fake_engine: Any, clock: Any
) -> None:
    law = Law(Clock(), lambda _: clock.now / 1e9 * 5, kind=ENERGY)  # 5 W while an engine runs
    options = EnergyOptions(window_s=0.1, settle_s=0.01, idle_s=0.0, interval_s=60)
    engines = [
        opened(fake_engine, clock, "any", 2.0, None),
        opened(fake_engine, clock, "four", 1.0, 4),
    ]
    report = measure_energies(engines, (1, 4), None, 0, options, Found((law,)), clock)
    found = {(r.label, r.batch): r.meters[0].joules_per_embedding for r in report.engines}
    assert found == {
        ("any", 1): pytest.approx(0.010),
        ("any", 4): pytest.approx(0.010),
        ("four", 4): pytest.approx(0.005),
    }
    table = energy_text(report)
    assert "mJ/embedding" in table
    assert "10.0" in table
    assert "a meter (a board)" in table


def test_a_bench_without_meters_says_so_and_runs_nothing(fake_engine: Any, clock: Any) -> None:
    engines = [opened(fake_engine, clock, "any", 2.0, None)]
    before = clock.now
    report = measure_energies(engines, (1,), None, found=Found(absent=("RAPL: no zone",)))
    assert clock.now == before
    assert report.engines == ()
    assert energy_text(report) == "- energy is absent: RAPL: no zone"


def test_an_absent_meter_has_its_reason_in_the_table_and_no_number() -> None:
    lost = Energy("m", "c", None, None, 1, None, None, "lost after 1 readings: gone")
    row = energy_text(EnergyReport((EngineEnergy("k", "engine", 1, (lost,)),), ())).splitlines()[2]
    assert "absent: lost after 1 readings: gone" in row
    assert row.split()[-4:] == ["-"] * 4


def test_a_report_goes_through_the_result_file_unchanged() -> None:
    whole = Energy("m", "c", 2.0, 4.0, 9, 0.25, 0.01)
    lost = Energy("n", "c", None, None, 1, None, None, "gone")
    report = EnergyReport((EngineEnergy("k", "engine", 16, (whole, lost)),), ("a note",))
    assert decode(EnergyReport, encode(report)) == report
