"""``edgereid baseline`` on result files."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgereid.bench.baseline.commit import Commit, current
from edgereid.bench.baseline.record import fingerprint, records_of
from edgereid.bench.result import BenchResult, write_result
from edgereid.cli.main import main
from edgereid.errors import UsageError


def git(folder: Path, *arguments: str) -> str:
    flags = ["-c", "user.name=a", "-c", "user.email=a@b"]
    done = subprocess.run(
        ["git", *flags, *arguments], cwd=folder, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    (folder / "file").write_text("1")
    git(folder, "init", "--quiet")
    git(folder, "add", "file")
    git(folder, "commit", "--quiet", "-m", "first")
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def results(usual: BenchResult, checkout: Path) -> Callable[[int], list[str]]:
    """Files of so many runs, a minute apart, all alike."""

    def write(count: int) -> list[str]:
        names = []
        for i in range(count):
            created = f"2026-01-02T03:{i:02}:05+00:00"
            write_result(checkout / f"{i}.bench.json", replace(usual, created=created))
            names.append(f"{i}.bench.json")
        return names

    return write


def test_save_then_compare(
    results: Callable[[int], list[str]], checkout: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    *earlier, last = results(5)
    assert main(["baseline", "save", *earlier]) == 0
    assert f"24 records of commit {git(checkout, 'rev-parse', 'HEAD')[:12]}" in (
        capsys.readouterr().out
    )
    assert main(["baseline", "compare", last]) == 0
    out = capsys.readouterr().out
    assert "NO CHANGE beyond noise" in out
    assert "latency, batch 16" in out
    assert "mAP" in out


def test_a_result_that_is_slower_is_exit_code_1(
    results: Callable[[int], list[str]],
    checkout: Path,
    make_result: Any,
    usual: BenchResult,
    capsys: pytest.CaptureFixture[str],
) -> None:
    *earlier, last = results(5)
    assert main(["baseline", "save", *earlier, "--json"]) == 0
    saved = json.loads(capsys.readouterr().out)
    assert len(saved["saved"]) == 24
    slow = json.loads((checkout / last).read_text())
    row = next(r for r in slow["rows"] if r["label"] == "OpenVINO INT8")
    samples = row["latency"]["1"]["samples"]
    samples["rounds_ns"] = [[int(1.5 * v) for v in block] for block in samples["rounds_ns"]]
    (checkout / last).write_text(json.dumps(slow))
    assert main(["baseline", "compare", last, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    worse = [f for f in found["findings"] if f["outcome"] == "worse"]
    assert [(f["engine"], f["measure"]) for f in worse] == [("OpenVINO INT8", "latency, batch 1")]
    assert worse[0]["change"] == pytest.approx(50, abs=0.5)


def test_the_commit_is_gits_and_says_whether_files_differ(checkout: Path) -> None:
    head = git(checkout, "rev-parse", "HEAD")
    assert current(checkout) == Commit(head, False)
    (checkout / "file").write_text("2")
    assert current(checkout) == Commit(head, True)


def test_without_a_checkout_a_commit_must_be_named(
    results: Callable[[int], list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (name,) = results(1)
    file = str(Path(name).resolve())
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    with pytest.raises(UsageError, match="--commit"):
        current(elsewhere)
    assert main(["baseline", "save", file]) == 2
    assert main(["baseline", "save", file, "--commit", "v1.2"]) == 0
    assert list(elsewhere.rglob("*-v1.2-*.json"))


def test_reference_rows_have_no_reference(usual: BenchResult) -> None:
    records = {r.engine.label: r for r in records_of(usual, Commit("c", None))}
    assert records["ONNX Runtime FP32"].reference is None
    int8 = records["OpenVINO INT8"]
    assert int8.reference is not None
    assert int8.reference.label == "ONNX Runtime FP32"
    assert len(int8.latency[16].engine_ns) == len(int8.latency[16].reference_ns) == 12


def test_a_record_names_no_host(usual: BenchResult) -> None:
    usual = replace(usual, machine=replace(usual.machine, host="secret-host"))
    assert "secret-host" not in json.dumps(
        [r.to_json() for r in records_of(usual, Commit("c", None))]
    )


def test_the_machine_is_its_processor_and_not_its_name(usual: BenchResult) -> None:
    machine = usual.machine
    same = replace(machine, host="other", os="Linux 7", packages={}, python="3.12")
    assert fingerprint(machine) == fingerprint(same)
    assert fingerprint(machine) != fingerprint(replace(machine, usable_cpus=7))
    assert fingerprint(machine) != fingerprint(replace(machine, architecture="aarch64"))


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["compare", "none.json"], 3, "none.json"),
        (["compare", "file"], 3, "no result of `edgereid bench`"),
        (["save", "file"], 3, "no result of `edgereid bench`"),
        (["save", "0.bench.json", "--commit", "../x"], 2, "--commit"),
        (["save", "0.bench.json", "--folder", "file"], 6, "no folder"),
        (["compare", "0.bench.json", "--last", "0"], 2, "--last"),
        (["compare", "0.bench.json", "--level", "2"], 2, "--level"),
        (["compare", "0.bench.json", "--against", "abc"], 2, "abc"),
        (["compare", "damaged.json"], 3, "without a sample"),
    ],
)
def test_what_cannot_be_is_one_line_and_an_exit_code(
    results: Callable[[int], list[str]],
    checkout: Path,
    arguments: list[str],
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (name,) = results(1)
    damaged = json.loads(Path(name).read_text())
    damaged["rows"][1]["latency"]["1"]["samples"]["rounds_ns"][0] = []
    Path("damaged.json").write_text(json.dumps(damaged))
    assert main(["baseline", *arguments]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("edgereid: error: ")
    assert err.count("\n") == 1
    assert message in err
