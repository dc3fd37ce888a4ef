"""bench, eval, gate and show on a plan in a bundle: the same doors as for every other engine."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from trt_fakes import Failures, Fake, installed

from edgereid.bench.phases import DETAIL, PARTS, RUNS
from edgereid.bench.result import read_result
from edgereid.bundle import Manifest, describe_file, write_manifest
from edgereid.cli.main import main
from edgereid.images import Preprocessing

SHORT = ["--quick", "--min-time", "0", "--max-time", "0.2", "--batch", "3"]
QUICK = ["--quick", "--min-time", "0", "--min-count", "3", "--max-time", "1", "--batch", "1,3"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("commands") / "data"
    flags = ["--ids", "6", "--test-ids", "4", "--cameras", "2", "--workers", "1"]
    assert main(["synth", str(root), *flags]) == 0
    return root


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


@pytest.fixture
def fake() -> Iterator[Fake]:
    """One release: which one makes no difference to the commands, and a bench takes seconds."""
    with installed("10.3") as one:
        yield one
        assert one.allocated() == []
        assert one.alive() == []


@pytest.fixture
def bundle(fake: Fake, sample: Any, tmp_path: Path) -> Path:
    """The sample as float ONNX and as a plan, as `edgereid export` and `build` leave them."""
    return bundle_in(tmp_path / "net-int8", sample)


def bundle_in(folder: Path, sample: Any) -> Path:
    folder.mkdir()
    sample.write_onnx(folder / "model.onnx")
    sample.write_plan(folder / "engine.plan")
    files = (
        describe_file(folder / "model.onnx", "float", None, "f32"),
        describe_file(folder / "engine.plan", "engine", "tensorrt", "int8"),
    )
    write_manifest(folder, Manifest("sample", 16, Preprocessing(32, 16), files))
    return folder


Says = Callable[..., Any]


@pytest.fixture
def says(capsys: pytest.CaptureFixture[str]) -> Says:
    """Run a command with --json and give what it prints."""

    def run(*words: Any, code: int = 0) -> Any:
        capsys.readouterr()
        got = main([str(w) for w in (*words, "--json")])
        out, err = capsys.readouterr()
        assert got == code, err
        return json.loads(out)

    return run


def test_bench_times_a_plan_beside_its_float_network(
    bundle: Path, data: Path, tmp_path: Path, says: Says
) -> None:
    out = tmp_path / "result.json"
    says("bench", bundle / "engine.plan", "--data", data, "--out", out, *QUICK)
    result = read_result(out)
    reference, row = result.rows[0], result.rows[-1]
    assert (reference.label, row.label) == ("ONNX Runtime FP32", "TensorRT INT8")
    assert (row.runtime, row.precision, row.runs_as) == ("tensorrt", "int8", "int8")
    assert row.details["device"] == "Orin"
    assert row.details["cuda_graph"]["batches"]
    assert set(row.latency) == {1, 3}
    assert row.accuracy is not None
    assert reference.accuracy is not None
    assert row.accuracy.mean_ap == pytest.approx(reference.accuracy.mean_ap)
    for batch in ("1", "3"):  # raw, one number a run
        phases = row.details[DETAIL][batch]
        assert all(len(phases[part]) == RUNS for part in PARTS)
        assert min(phases["compute"]) > 0
    assert DETAIL not in reference.details


def test_the_table_of_bench_tells_where_the_time_goes_on_the_gpu(
    bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["bench", str(bundle), "--out", str(tmp_path / "r.json"), *SHORT]
    assert main([*argv, "--runtime", "tensorrt"]) == 0
    out = capsys.readouterr().out
    assert "TensorRT INT8" in out
    assert "- TensorRT INT8 at batch 3, us: copy in " in out
    assert "enqueue (host)" in out


def test_bench_says_when_a_plan_ran_without_a_cuda_graph(
    sample: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = Failures(cuda={"cudaStreamBeginCapture": "cudaErrorStreamCaptureUnsupported"})
    with installed("10.3", failures=failures):
        bundle = bundle_in(tmp_path / "net-int8", sample)
        argv = ["bench", str(bundle), "--out", str(tmp_path / "r.json"), *SHORT]
        assert main([*argv, "--runtime", "tensorrt"]) == 0
    assert "TensorRT INT8 ran without a CUDA graph: cudaStreamBeginCapture: cudaError" in " ".join(
        capsys.readouterr().out.split()
    )


def test_cuda_graphs_are_left_out_of_tensorrts_rows_by_choice(
    bundle: Path, tmp_path: Path, says: Says
) -> None:
    out = tmp_path / "result.json"
    says("bench", bundle, "--out", out, "--cuda-graph", "off", *SHORT)
    rows = {row.runtime: row for row in read_result(out).rows}
    assert "onnxruntime" in rows  # it has no such choice, and runs as ever
    assert rows["tensorrt"].details["cuda_graph"] == {"batches": [], "without": "not wanted"}


def test_a_cuda_graph_that_was_asked_for_is_an_error_where_it_cannot_be_had(
    sample: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = Failures(cuda={"cudaStreamBeginCapture": "cudaErrorStreamCaptureUnsupported"})
    with installed("10.3", failures=failures):
        bundle = bundle_in(tmp_path / "net-int8", sample)
        argv = ["bench", str(bundle / "engine.plan"), "--cuda-graph", "on", *SHORT]
        assert main([*argv, "--out", str(tmp_path / "r.json")]) == 3
        assert "cannot be captured as a CUDA graph" in capsys.readouterr().err
        argv[1] = str(bundle / "model.onnx")
        assert main([*argv, "--out", str(tmp_path / "r.json"), "--runtime", "onnxruntime"]) == 2
        assert "leave --cuda-graph out" in capsys.readouterr().err


def test_a_plan_alone_is_benched_with_trust_only(
    fake: Fake, sample: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = sample.write_plan(tmp_path / "alone.plan")
    out = tmp_path / "result.json"
    assert main(["bench", str(path), "--out", str(out), *SHORT]) == 5
    assert "native code and no manifest vouches" in capsys.readouterr().err
    assert main(["bench", str(path), "--out", str(out), "--trust", *SHORT]) == 0
    (row,) = read_result(out).rows
    assert (row.label, row.precision) == ("TensorRT of unknown precision", "unknown")


def test_eval_measures_a_plan_like_its_float_network(bundle: Path, data: Path, says: Says) -> None:
    found = {
        name: says("eval", bundle / name, "--data", data, "--threads", 1)["rows"][0]
        for name in ("model.onnx", "engine.plan")
    }
    plan, reference = found["engine.plan"], found["model.onnx"]
    assert (plan["label"], plan["runs_as"]) == ("TensorRT INT8", "int8")
    assert plan["images_run"] == reference["images_run"] > 16  # several batches
    assert plan["map"] == pytest.approx(reference["map"])
    assert plan["cmc"] == reference["cmc"]


def test_gate_and_show_take_a_plan(bundle: Path, data: Path, tmp_path: Path, says: Says) -> None:
    flags = ("--data", data, "--threads", 1)
    verdict = says("gate", bundle / "engine.plan", *flags, code=2)  # too few persons to decide
    assert verdict["candidate"]["label"] == "TensorRT INT8"
    assert verdict["reference"]["label"] == "ONNX Runtime FP32"
    shown = says("show", bundle, "--out", tmp_path / "page.html", *flags)
    assert [e["file"] for e in shown["engines"]] == ["net-int8/model.onnx", "net-int8/engine.plan"]


def test_a_bundle_benches_without_tensorrt_and_says_what_was_left_out(
    sample: Any, tmp_path: Path
) -> None:
    with installed("10.3"):
        bundle = bundle_in(tmp_path / "net-int8", sample)
    out = tmp_path / "result.json"
    with installed("10.3", gpu=False):
        assert main(["bench", str(bundle), "--out", str(out), *SHORT]) == 0
    (left,) = read_result(out).left_out
    assert left.label.startswith("TensorRT INT8")
    assert "needs an NVIDIA GPU with its driver" in left.reason
