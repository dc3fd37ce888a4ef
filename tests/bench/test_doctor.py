"""The doctor on made-up machines and packages: every reason is told, every command is exact."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from edgereid.bench.doctor import packages as rooms
from edgereid.bench.doctor.device import World, device_warnings, gpus, processor
from edgereid.bench.doctor.needs import PURPOSES, Environment
from edgereid.bench.doctor.packages import (
    ABSENT,
    BROKEN,
    OK,
    OLD,
    PACKAGES,
    Found,
    Package,
    look_at,
    look_at_all,
    release,
)
from edgereid.bench.doctor.probe import look
from edgereid.bench.doctor.report import text
from edgereid.bench.doctor.run import examine
from edgereid.cli import doctor as command
from edgereid.cli import main as cli
from edgereid.errors import UsageError

ROOT = Path(__file__).parents[2]
OPEN, CLOSED = Environment(own=False, closed=False), Environment(own=True, closed=True)


def world(root: Path, smi: str | None = None) -> World:
    """A machine with, or without, an nvidia-smi that answers so."""

    def ask(words: Sequence[str]) -> str:
        if smi is None or smi == "broken":
            raise OSError("nvidia-smi ended with exit code 9")
        return smi

    return World(root, root, lambda name: None if smi is None else f"/usr/bin/{name}", ask)


def found(*usable: str, **states: str) -> dict[str, Found]:
    states = {k.replace("_", "-"): v for k, v in states.items()}
    return {
        name: Found(p, OK, "1.2.3")
        if name in usable
        else Found(p, states.get(name, ABSENT), "1.2.3", reason="it crashed")
        for name, p in PACKAGES.items()
    }


def write(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return root


def jetson(root: Path, release: str = "R36 (release), REVISION: 4.3") -> Path:
    return write(
        root,
        {
            "proc/device-tree/model": "NVIDIA Jetson Orin Nano\0",
            "proc/device-tree/compatible": "nvidia,p3768\0nvidia,tegra234\0",
            "etc/nv_tegra_release": f"# {release}, GCID: 1\n",
            "var/lib/nvpmodel/status": "pmode:0000\n",
            "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN >\n",
        },
    )


# --- packages -----------------------------------------------------------------------------------


def test_the_table_agrees_with_what_the_project_declares_and_tests() -> None:
    declared = (ROOT / "pyproject.toml").read_text()
    pinned: dict[str, set[str]] = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if match := re.match(r"([\w.-]+)==([^;\s]+)", line):
            pinned.setdefault(match[1], set()).add(match[2])
    for name, package in PACKAGES.items():
        if package.tested:
            assert set(package.tested) == pinned[name], name
            assert package.minimum in re.findall(rf'"{name}>=([\w.]+)["; ]', declared), name


def test_every_purpose_needs_packages_of_the_table_and_the_command_line_knows_it() -> None:
    for purpose in PURPOSES.values():
        assert {*purpose.all_of, *purpose.any_of} <= set(PACKAGES)
    assert tuple(PURPOSES) == command.PURPOSES


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a package of one module with this source."""
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])

    def make(source: str, minimum: str | None = None) -> Package:
        (tmp_path / "fickle_runtime.py").write_text(source)
        return Package("fickle-runtime", ("fickle_runtime",), minimum)

    return make


@pytest.mark.parametrize(
    ("source", "state", "said"),
    [
        ("__version__ = '1.5'", OK, "1.5; not tested with any version"),
        ("__version__ = '0.9.1'", OLD, "0.9.1 is too old: 1.2 is needed"),
        ("__version__ = 'git'", OK, "git; not tested"),
        ("import os; os.abort()", BROKEN, "ends the process with signal 6"),
        ("import os; os._exit(7)", BROKEN, "ends the process with exit code 7"),
        ("import os; os._exit(0)", BROKEN, "importing it ends the process"),
        ("print('[1]'); raise RuntimeError('no\\ndriver')", BROKEN, "RuntimeError: no driver"),
        ("import libgone_xyz", BROKEN, "libgone_xyz is missing"),
        ("import time; time.sleep(30)", BROKEN, "takes longer than 1 s"),
        ("raise SystemExit(0)", BROKEN, "importing it ends the process"),
    ],
)
def test_a_package_that_misbehaves_is_a_line_and_not_the_end(
    package: Any, source: str, state: str, said: str
) -> None:
    result = look_at(package(source, "1.2"), timeout_s=1.0 if "sleep" in source else 30.0)
    fact = result.fact()
    assert result.state == state
    assert said in (fact.value or fact.absent or "")
    assert (fact.value is None) == (state != OK)
    assert "fickle_runtime" not in sys.modules


@pytest.mark.parametrize(
    ("version", "said"),
    [("2.12.1+cu130", "tested"), ("2.6.0", "not tested (tested: 2.12.1)")],
)
def test_a_version_is_told_to_be_tested_or_which_one_is(version: str, said: str) -> None:
    value = Found(PACKAGES["torch"], OK, version, ("sees no GPU",)).fact().value
    assert value == f"{version}; {said}; sees no GPU"


def test_a_package_that_is_not_there_is_absent() -> None:
    assert look_at(Package("nowhere-at-all", ("nowhere_at_all",))).state == ABSENT


def test_an_absent_part_of_a_package_is_absence_and_another_name_is_tried() -> None:
    assert look(["json.nothing"]) == {"error": None}
    assert look(["json.nothing", "json"])["says"] == []


def test_installed_packages_are_found_with_the_version_of_their_metadata() -> None:
    result = look_at_all([PACKAGES["numpy"], PACKAGES["pillow"]])
    assert result["numpy"].version == metadata.version("numpy")
    assert result["pillow"].usable


@pytest.mark.parametrize(
    ("version", "numbers"),
    [("2.12.1+cu130", (2, 12, 1)), ("1.20rc1", (1, 20)), ("8.5.2.2", (8, 5, 2, 2)), ("git", ())],
)
def test_a_version_is_its_leading_numbers(version: str, numbers: tuple[int, ...]) -> None:
    assert release(version) == numbers


@pytest.mark.parametrize(
    ("version", "minimum", "older"),
    [("2.6", "2.6", False), ("2.6.0", "2.6", False), ("2.6", "2.6.0", False),
     ("2.10", "2.9", False), ("2.5.9", "2.6", True), ("2", "2.0.1", True), ("git", "2.6", False)],
)  # fmt: skip
def test_versions_are_compared_by_their_numbers(version: str, minimum: str, older: bool) -> None:
    assert rooms._older(version, minimum) == older


# --- device -------------------------------------------------------------------------------------


def test_a_machine_that_tells_nothing_has_a_reason_for_everything(tmp_path: Path) -> None:
    report = examine(world=world(tmp_path), look=found, environment=OPEN)
    for section in report.sections:
        for fact in section.facts:
            assert fact.value or fact.absent, fact
    said = text(report)
    assert "no NVIDIA driver is loaded" in said
    assert "nvidia-smi" in said
    assert "Jetson\n" not in said
    assert "RAPL" in said


def test_arithmetic_is_told_by_the_features_that_make_it_fast(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/cpuinfo": "processor : 0\nFeatures : asimd asimddp i8mm\n"})
    facts = {f.name: f for f in processor(world(root)).facts}
    assert facts["INT8 arithmetic"].value == "asimddp, i8mm"
    assert facts["bf16 arithmetic"].value is None
    assert "none of avx512_bf16" in str(facts["bf16 arithmetic"].absent)


@pytest.mark.parametrize(
    ("smi", "driver", "there", "said"),
    [
        ("NVIDIA H200, 143771 MiB, 570.1, 9.0\n", "", True, "compute capability 9.0"),
        ("", "", False, "it lists no GPU"),
        ("broken", "", False, "exit code 9"),
        ("broken", "NVRM version: 570.1\nGCC", True, "NVRM version: 570.1"),
        (None, "", False, "not installed"),
        ("nonsense\n", "", True, "not understood: nonsense"),
    ],
)
def test_gpus_are_told_or_why_not(
    tmp_path: Path, smi: str | None, driver: str, there: bool, said: str
) -> None:
    root = write(tmp_path, {"proc/driver/nvidia/version": driver} if driver else {})
    section, is_there = gpus(world(root, smi))
    assert is_there == there
    assert said in str(section)


def test_what_may_spoil_a_measurement_is_a_warning(tmp_path: Path) -> None:
    cpu0 = "sys/devices/system/cpu/cpu0"
    root = write(
        tmp_path,
        {
            f"{cpu0}/cpufreq/scaling_governor": "schedutil",
            f"{cpu0}/thermal_throttle/core_throttle_count": "4",
            "proc/meminfo": "MemTotal: 2000000 kB\nMemAvailable: 500000 kB\n",
            "sys/class/thermal/cooling_device0/type": "cpufreq-cpu0",
            "sys/class/thermal/cooling_device0/cur_state": "3",
        },
    )
    said = " | ".join(device_warnings(world(root)))
    for part in ("governor is schedutil", "core 4 times", "0.5 GiB of memory", "cooling slows"):
        assert part in said


# --- what to do ---------------------------------------------------------------------------------

CORE = ("numpy", "pillow")


@pytest.mark.parametrize(
    ("purpose", "usable", "lacks"),
    [
        ("bench", (*CORE, "openvino"), []),
        ("bench", CORE, ["a runtime"]),
        ("bench", ("openvino",), ["numpy", "pillow"]),
        ("train", (*CORE, "torch", "torchvision", "safetensors", "fvcore"), []),
        ("train", (*CORE, "torch", "torchvision"), ["safetensors", "fvcore"]),
        ("export", (*CORE, "torch", "onnx", "onnxscript", "onnxruntime"), ["safetensors"]),
        ("tensorrt", (*CORE, "tensorrt", "cuda-python", "onnx"), ["an NVIDIA GPU"]),
        ("tensorrt", (*CORE, "tensorrt", "cuda-python"), ["onnx", "an NVIDIA GPU"]),
        ("tensorrt", CORE, ["tensorrt", "cuda-python", "onnx", "an NVIDIA GPU"]),
    ],
)
def test_what_a_purpose_lacks_is_told(
    tmp_path: Path, purpose: str, usable: tuple[str, ...], lacks: list[str]
) -> None:
    report = examine(purpose, world(tmp_path), lambda: found(*usable), OPEN)
    assert [sentence.partition(":")[0] for sentence in report.lacking] == lacks
    packages_lack = [x for x in lacks if x != "an NVIDIA GPU"]
    assert bool(report.to_do) == bool(packages_lack)


def test_a_package_that_crashes_is_lacking_with_its_reason(tmp_path: Path) -> None:
    usable = (*CORE, "torch", "torchvision", "safetensors")
    report = examine("train", world(tmp_path), lambda: found(*usable, fvcore=BROKEN), OPEN)
    assert report.lacking == ("fvcore: 1.2.3 is installed and cannot be used: it crashed",)
    assert [t.commands for t in report.to_do] == [('pip install "edgereid[train]"',)]


def test_a_jetson_gets_tensorrt_from_jetpack_and_the_bindings_of_its_cuda(tmp_path: Path) -> None:
    report = examine("tensorrt", world(jetson(tmp_path)), lambda: found(*CORE), OPEN)
    (task,) = report.to_do
    assert task.commands == (
        "sudo apt-get update",
        "sudo apt-get install nvidia-jetpack",
        'pip install "cuda-python>=12.6,<13"',
        "pip install onnx",
    )
    assert any("power mode 15W" in w and "nvpmodel -m 2" in w for w in report.warnings)
    said = text(report)
    assert "6.2 by its release; nvidia-jetpack is not installed" in said
    assert "tegra234" in said


def test_jetpack_7_gets_the_bindings_of_cuda_13(tmp_path: Path) -> None:
    root = jetson(tmp_path, "R39 (release), REVISION: 2.0")
    report = examine("tensorrt", world(root), lambda: found(*CORE, "tensorrt", "onnx"), OPEN)
    assert report.to_do[0].commands == ('pip install "cuda-python>=13,<14"',)


def test_an_environment_that_is_closed_to_apts_packages_is_told(tmp_path: Path) -> None:
    report = examine("tensorrt", world(jetson(tmp_path)), lambda: found(*CORE), CLOSED)
    apt, venv = report.to_do[0].commands[1:3]
    assert apt == "sudo apt-get install nvidia-jetpack"
    assert "--system-site-packages" in venv


def test_installed_tensorrt_that_a_closed_environment_hides_is_not_installed_again(
    tmp_path: Path,
) -> None:
    status = "Package: nvidia-jetpack\nStatus: install ok installed\nVersion: 6.2.1+b38\n"
    root = write(jetson(tmp_path), {"var/lib/dpkg/status": status})
    report = examine("tensorrt", world(root), lambda: found(*CORE, "onnx"), CLOSED)
    venv, bindings = report.to_do[0].commands
    assert venv.startswith("python3 -m venv --system-site-packages")
    assert bindings.startswith("pip install")


def test_a_jetson_is_no_place_to_train_unless_asked(tmp_path: Path) -> None:
    report = examine(None, world(jetson(tmp_path)), found, OPEN)
    assert [t.why for t in report.to_do] == [
        "to bench an engine",
        "to build and run TensorRT engines",
    ]
    assert report.lacking == ()


def test_a_pc_without_a_gpu_is_not_told_to_install_tensorrt(tmp_path: Path) -> None:
    why = [t.why for t in examine(None, world(tmp_path), found, OPEN).to_do]
    assert why == ["to export and quantize", "to bench an engine", "to train and profile"]
    card = examine(None, world(tmp_path, "T4, 1 MiB, 1, 7.5"), found, OPEN)
    assert card.to_do[-1].commands == (
        'pip install "edgereid[tensorrt]"',
        "pip install cuda-python",
        "pip install onnx",
    )


def test_what_is_there_is_not_installed_again(tmp_path: Path) -> None:
    card = world(tmp_path, "T4, 1 MiB, 1, 7.5")
    report = examine("tensorrt", card, lambda: found(*CORE, "cuda-python", "onnx"), OPEN)
    assert report.to_do[0].commands == ('pip install "edgereid[tensorrt]"',)


def test_nothing_to_do_is_said(tmp_path: Path) -> None:
    report = examine("bench", world(tmp_path), lambda: found(*PACKAGES), OPEN)
    said = text(report)
    assert "lacking for bench\n  - nothing: everything is there" in said
    assert said.endswith("to do\n  nothing\n")


def test_an_unknown_purpose_is_wrong_use(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Known: export, bench, train, tensorrt"):
        examine("cook", world(tmp_path), found, OPEN)


def test_this_environment_knows_whether_it_is_closed() -> None:
    present = Environment.present()
    assert present.own == (sys.prefix != sys.base_prefix)
    assert present.own or not present.closed


# --- the command --------------------------------------------------------------------------------


def test_the_command_prints_one_json_object_and_its_exit_code_is_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for purpose, usable, code in (
        ("bench", (*CORE, "openvino"), 0),
        ("bench", CORE, 1),
        (None, (), 0),
    ):
        report = examine(purpose, world(tmp_path), lambda usable=usable: found(*usable), OPEN)
        monkeypatch.setattr(
            "edgereid.bench.doctor.run.examine", lambda purpose, report=report: report
        )
        words = ["doctor", *(["--for", purpose] if purpose else [])]
        assert cli.main([*words, "--json"]) == code
        out, err = capsys.readouterr()
        printed = json.loads(out)
        assert printed["kind"] == "edgereid-doctor"
        assert (printed["for"], bool(printed["lacking"])) == (purpose, bool(code))
        assert err == ""
        assert cli.main(words) == code
        assert "to do" in capsys.readouterr().out


def test_the_real_machine_can_be_examined(monkeypatch: pytest.MonkeyPatch) -> None:
    few = {k: PACKAGES[k] for k in CORE}
    rest = {k: v for k, v in found().items() if k not in few}
    report = examine("bench", look=lambda: {**rest, **look_at_all(list(few.values()))})
    assert {s.title for s in report.sections} >= {"device", "packages", "GPU", "power meters"}
    assert report.lacking
    assert replace(report, purpose=None).to_json()["for"] is None
