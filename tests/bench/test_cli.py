"""The command: flags to options, files, exit codes."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edgereid.bench.options import BenchOptions
from edgereid.bench.result import BenchResult, read_result
from edgereid.cli import bench
from edgereid.errors import InputError, UsageError


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    bench.configure(parser)
    return parser.parse_args(list(words))


def test_flags_become_options() -> None:
    words = "b --data d --batch 16,1,16 --threads 2 --max-map-drop 0.3 --runtime openvino --trust"
    options = bench.options_of(parse(*words.split(), "--min-count", "7", "--seed", "3"))
    assert options.batches == (1, 16)
    assert options.paths == (Path("b"),)
    assert (options.threads, options.max_map_drop, options.budget_required) == (2, 0.3, True)
    assert (options.runtimes, options.trust) == (("openvino",), True)
    assert (options.latency.min_count, options.latency.seed) == (7, 3)
    assert options.latency.min_time_s == 3.0


def test_quick_is_a_set_of_defaults_that_flags_overrule() -> None:
    quick = bench.options_of(parse("b", "--quick", "--min-time", "2")).latency
    assert (quick.min_time_s, quick.min_count, quick.max_time_s) == (2.0, 20, 8.0)
    zero = bench.options_of(parse("b", "--min-time", "0")).latency
    assert zero.min_time_s == 0.0


@pytest.mark.parametrize(
    "words", [["b", "--batch", "x"], ["b", "--batch", "0"], ["b", "--max-map-drop", "1"]]
)
def test_impossible_flags_are_refused(words: list[str]) -> None:
    with pytest.raises(UsageError):
        bench.options_of(parse(*words))


@pytest.mark.parametrize(
    ("path", "out"),
    [
        ("bundle", "bundle.bench.json"),
        ("bundle/engine.xml", "bundle.bench.json"),
        ("bare.onnx", "bare.onnx.bench.json"),
    ],
)
def test_the_result_stands_beside_what_was_measured(tmp_path: Path, path: str, out: str) -> None:
    (tmp_path / "bundle").mkdir()
    for name in ("bundle/manifest.json", "bundle/engine.xml", "bare.onnx"):
        (tmp_path / name).write_text("")
    assert bench.default_out(tmp_path / path) == tmp_path / out


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The command on a result made before; gives exit code and the options it measured with."""

    def run(result: BenchResult, *words: str) -> tuple[int, list[BenchOptions]]:
        seen: list[BenchOptions] = []

        def measured(options: BenchOptions) -> BenchResult:
            seen.append(options)
            return result

        monkeypatch.setattr("edgereid.bench.run.run_bench", measured)
        return bench.run(parse(str(tmp_path / "bundle"), *words)), seen

    return run


def test_the_table_goes_to_standard_output_and_the_rest_to_files(
    command: Any, usual: BenchResult, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _ = command(usual, "--html", str(tmp_path / "page.html"))
    printed = capsys.readouterr()
    assert code == 0
    assert "SHIP dslnet-int8/engine.xml" in printed.out
    assert read_result(tmp_path / "bundle.bench.json") == usual
    assert "bundle.bench.json" in printed.err
    assert (tmp_path / "page.html").is_file()


def test_json_prints_one_object_and_nothing_else(
    command: Any, usual: BenchResult, capsys: pytest.CaptureFixture[str]
) -> None:
    command(usual, "--json")
    printed = json.loads(capsys.readouterr().out)
    assert printed["verdict"]["exit_code"] == 0
    assert printed["verdict"]["standings"]["OpenVINO INT8"]["ship_at"] == [1, 16]
    assert printed["rows"][0]["latency"]["1"]["summary"]["p50_ms"] == pytest.approx(15.0)
    assert printed["result_file"].endswith("bundle.bench.json")


def test_a_broken_budget_is_exit_code_1_and_still_writes_everything(
    command: Any, make_result: Any, row_spec: Any, tmp_path: Path
) -> None:
    specs = [
        row_spec("float", "onnxruntime", "f32", {1: 9.0}),
        row_spec("INT8", "openvino", "int8", {1: 3.0}, drop=0.9),
    ]
    code, _ = command(make_result(specs), "--html", str(tmp_path / "page.html"))
    assert code == 1
    assert (tmp_path / "bundle.bench.json").is_file()
    assert (tmp_path / "page.html").is_file()


@pytest.mark.parametrize("flag", ["--out", "--html"])
def test_an_output_that_cannot_be_a_file_is_refused_before_measuring(
    command: Any, usual: BenchResult, tmp_path: Path, flag: str
) -> None:
    with pytest.raises(UsageError, match="folder"):
        command(usual, flag, str(tmp_path))


def test_a_path_that_does_not_exist_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        bench.run(parse(str(tmp_path / "nothing")))


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['edgereid', 'bench', '--help']\n"
        "from edgereid.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'onnx', 'onnxruntime', 'openvino', 'matplotlib'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "--max-map-drop" in done.stdout
