"""The other scenarios, whole runs of the command, files and the printed section."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgereid.bench.codec import decode, encode
from edgereid.bench.latency import LatencyOptions, Runner
from edgereid.bench.options import BenchOptions
from edgereid.bench.process import peak_resident_bytes
from edgereid.bench.result import BenchResult, read_result, without_samples, write_result
from edgereid.bench.run import run_bench
from edgereid.bench.scenarios.offline import Pool, run_offline
from edgereid.bench.scenarios.options import NAMES, ScenarioOptions, ServerOptions
from edgereid.bench.scenarios.result import Scenarios
from edgereid.bench.scenarios.run import submitter
from edgereid.bench.scenarios.start import Order, run_starts, spawn
from edgereid.bench.scenarios.streams import Contender, run_streams
from edgereid.bench.scenarios.table import text
from edgereid.bench.stats import summarise
from edgereid.bench.table import text as whole_text
from edgereid.bench.verdict import judge
from edgereid.cli import bench as command
from edgereid.engines.base import Engine, EngineInfo, EngineOptions, TensorSpec
from edgereid.errors import InputError, UsageError
from edgereid.images import Preprocessing

MS = 1_000_000
SHORT = LatencyOptions(
    warmup_s=0.0, warmup_runs=1, min_time_s=0.1, min_count=10, max_time_s=1e4, block_s=0.02
)


class LawfulEngine(Engine):
    """Takes ``base + images * each`` ms by a timeline, divided by the threads it was given."""

    def __init__(
        self, timeline: Any, base: float, each: float, threads: int = 1, batch: int | None = None
    ) -> None:
        super().__init__()
        self.inputs = (TensorSpec("images", (batch, 3, 64, 32)),)
        self.outputs = (TensorSpec("features", (batch, 4)),)
        self.info = EngineInfo("onnxruntime", "f32", threads, "1")
        self.timeline, self.base, self.each = timeline, base, each

    def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        ms = self.base + len(batch) * self.each
        self.timeline.now += int(ms * MS / self.info.threads)
        return np.ones((len(batch), 4), dtype=np.float32)


def test_streams_measure_until_their_percentile_is_supported(laws: Any) -> None:
    timeline = laws.timeline()
    images = [np.zeros((8, 3, 64, 32), dtype=np.float32)]
    contenders = [
        Contender(key, Runner(key, LawfulEngine(timeline, base, 1.0).run, images), "slow")
        for key, base in (("slow", 8.0), ("fast", 0.0))
    ]
    found = run_streams(contenders, 8, 99, SHORT, timeline)
    assert found["slow"].value_ms == pytest.approx(16.0)
    assert found["fast"].value_ms == pytest.approx(8.0)
    assert found["fast"].summary.count >= 1000
    assert found["fast"].ratio is not None
    assert found["fast"].ratio.value == pytest.approx(2.0)


def test_a_stream_cut_short_states_no_percentile(laws: Any) -> None:
    timeline = laws.timeline()
    images = [np.zeros((1, 3, 64, 32), dtype=np.float32)]
    engine = Contender("a", Runner("a", LawfulEngine(timeline, 9.0, 1.0).run, images), None)
    found = run_streams([engine], 1, 90, replace(SHORT, max_time_s=0.5), timeline)["a"]
    assert found.summary.count < 100
    assert found.value_ms is None


def test_offline_finds_the_images_a_second_of_each_batch_size_and_the_best(laws: Any) -> None:
    timeline = laws.timeline()
    engine = LawfulEngine(timeline, 6.0, 1.0)
    images = np.zeros((32, 3, 64, 32), dtype=np.float32)
    (found,) = run_offline(
        [Pool("a", engine.run, images, (1, 4, 16, 32, 64))], SHORT, timeline
    ).values()
    rates = {b: t.images_per_s for b, t in found.by_batch.items()}
    assert rates == {b: pytest.approx(1e3 * b / (6 + b)) for b in (1, 4, 16, 32)}
    assert (found.best, found.enough) == (32, 32)
    t = found.by_batch[4]
    assert t.low == t.high == pytest.approx(t.images_per_s)


def test_the_smallest_batch_that_is_as_fast_within_the_noise_is_named(laws: Any) -> None:
    timeline, generator = laws.timeline(), np.random.default_rng(0)

    def run(images: NDArray[np.float32]) -> None:
        timeline.now += int(MS * len(images) * generator.uniform(0.9, 1.1))

    pool = Pool("a", run, np.zeros((32, 1), dtype=np.float32), (1, 8, 16))
    (found,) = run_offline([pool], SHORT, timeline).values()
    assert found.enough == 1 or found.enough <= found.best


def test_what_does_not_fill_a_batch_is_neither_run_nor_counted(laws: Any) -> None:
    timeline, seen = laws.timeline(), []

    def run(images: NDArray[np.float32]) -> None:
        seen.append(len(images))
        timeline.now += 5 * MS

    pool = Pool("a", run, np.zeros((10, 1), dtype=np.float32), (4,))
    (found,) = run_offline([pool], SHORT, timeline).values()
    assert set(seen) == {4}
    assert found.by_batch[4].images == 8
    assert found.by_batch[4].images_per_s == pytest.approx(800)


def test_the_server_is_fed_crop_after_crop_around_and_around() -> None:
    seen: list[list[float]] = []
    submit = submitter(lambda x: seen.append(x.ravel().tolist()), np.arange(5.0, dtype="f4"))
    for count in (2, 2, 2, 1):
        submit(count)
    assert seen == [[0.0, 1.0], [2.0, 3.0], [0.0, 1.0], [2.0]]


def test_starts_take_turns_and_their_medians_are_reported() -> None:
    order = Order.of("/a", "onnxruntime", None, 1, False, None, Preprocessing(64, 32))
    times = iter(range(100))
    seen: list[str] = []

    def fake(order: Order) -> dict[str, float | None]:
        seen.append(order.path)
        n = next(times)
        return {
            "import_ms": n, "load_ms": n, "first_ms": 9.0, "steady_ms": 1.0,
            "process_bytes": 100, "engine_bytes": None, "peak_bytes": 300,
        }  # fmt: skip

    found = run_starts({"a": order, "b": replace(order, path="/b")}, fake, runs=3)
    assert seen == ["/a", "/b"] * 3
    assert (found["a"].load_ms, found["b"].load_ms) == (2, 3)
    assert (found["a"].process_bytes, found["a"].engine_bytes) == (100, None)


def _tiny_onnx(path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("x", kind, ["N", 3, 16, 8])],
        [helper.make_tensor_value_info("m", kind, ["N", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(path))


def test_a_process_of_its_own_reports_its_start(tmp_path: Path) -> None:
    path = tmp_path / "tiny.onnx"
    _tiny_onnx(path)
    order = Order.of(str(path), "onnxruntime", None, 1, False, None, Preprocessing(16, 8))
    report = spawn(order)
    assert all(report[name] for name in ("import_ms", "load_ms", "first_ms", "steady_ms"))
    process, peak = report["process_bytes"], report["peak_bytes"]
    assert process is None or peak is None or 0 < process <= peak


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    missing = str(tmp_path / "none.onnx")
    order = Order.of(missing, "onnxruntime", None, 1, False, None, Preprocessing(16, 8))
    with pytest.raises(InputError, match=r"process of its own: .*does not exist"):
        spawn(order)


@pytest.fixture
def whole(laws: Any, tmp_path: Path) -> Any:
    """A whole bench run of two engines in simulated time, with scenarios."""
    timeline = laws.timeline()
    for name in ("a.onnx", "b.onnx"):
        (tmp_path / name).write_bytes(name.encode())

    def opener(path: Path, options: EngineOptions, runtime: str | None) -> Engine:
        base = {"a.onnx": 8.0, "b.onnx": 2.0}[path.name]
        fixed = 4 if path.name == "b.onnx" and fixed_batch else None
        return LawfulEngine(timeline, base, 2.0, options.threads or 1, fixed)

    fixed_batch = False

    def run(fixed: bool = False, **changes: Any) -> BenchResult:
        nonlocal fixed_batch
        fixed_batch = fixed
        given: dict[str, Any] = {
            "names": NAMES[:4],
            "server": ServerOptions(60.0, 90, trial_s=20, verify_s=10),
            **changes,
        }
        scenarios = ScenarioOptions(**given)
        options = BenchOptions(
            (tmp_path / "a.onnx", tmp_path / "b.onnx"),
            batches=(1, 4),
            latency=replace(SHORT, min_count=20),
            scenarios=scenarios,
        )
        return run_bench(options, opener, timeline, wait=timeline.wait)

    return run


def _scenarios(result: BenchResult) -> Scenarios:
    assert result.scenarios is not None
    return result.scenarios


def test_a_whole_run_finds_the_laws_of_its_engines(whole: Any) -> None:
    result = whole(threads=(1, 2))
    slow, fast = _scenarios(result).rows
    assert slow.single_stream.value_ms == pytest.approx(10.0)
    assert fast.single_stream.ratio.value == pytest.approx(2.5)
    assert fast.multi_stream.value_ms == pytest.approx(18.0)
    assert fast.offline.best == 4
    assert fast.offline.by_batch[4].images_per_s == pytest.approx(400)
    assert 0 < slow.server.rate_per_s < 100 <= fast.server.rate_per_s < 250
    for row in (slow, fast):
        assert row.server.holds_at <= row.server.breaks_at
        assert row.server.verification[-1].quantile_ms <= 60.0
    found = {(s.label, s.threads, s.batch): s for s in _scenarios(result).threads}
    assert len(found) == 2 * 2 * 2
    for (_, threads, _), setting in found.items():
        if threads == 2:
            assert setting.ratio.value == pytest.approx(2.0)


def test_engines_of_a_fixed_batch_size_sit_out_what_they_cannot_do(whole: Any) -> None:
    result = whole(fixed=True)
    _, fixed = _scenarios(result).rows
    assert fixed.single_stream is fixed.multi_stream is fixed.server is None
    assert set(fixed.offline.by_batch) == {4}
    assert len(_scenarios(result).left_out) == 3
    assert "takes batches of 4 only" in text(_scenarios(result))


def test_the_section_names_every_scenario_and_the_file_brings_it_back(
    whole: Any, tmp_path: Path
) -> None:
    result = whole(threads=(1, 2))
    printed = whole_text(result, judge(result), [])
    for word in ("single-stream", "p90", "multi-stream", "offline", "server", "threads"):
        assert word in printed
    write_result(tmp_path / "r.json", result)
    assert read_result(tmp_path / "r.json") == result
    shown = json.dumps(without_samples(result.to_json()))
    assert "rounds_ns" not in shown
    assert '"rate_per_s"' in shown


def test_an_unsupported_percentile_is_not_printed(whole: Any) -> None:
    result = whole(names=("multi-stream",))
    row = _scenarios(result).rows[0]
    few = tuple(row.multi_stream.samples.all_ns[:50])
    cut = replace(row, multi_stream=replace(row.multi_stream, summary=summarise(few, 8)))
    printed = text(Scenarios(("multi-stream",), (cut,)))
    assert "p99 needs 1,000 queries" in printed
    assert " - " in printed


def test_files_of_before_the_scenarios_are_still_read(usual_json: dict[str, Any]) -> None:
    old = dict(usual_json)
    del old["scenarios"]
    for row in old["rows"]:
        for latency in row["latency"].values():
            del latency["summary"]["intervals_ms"]
    back = decode(BenchResult, old)
    assert back.scenarios is None
    assert back.rows[0].latency[1].summary.intervals_ms == {}
    assert judge(back).exit_code == 0


@pytest.fixture
def usual_json(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.dumps(encode(request.getfixturevalue("usual"))))
    return found


def _parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return parser.parse_args(["b", *words])


def test_flags_become_scenario_options() -> None:
    words = "--scenario server,offline --latency-bound 50 --percentile 95 --max-batch 4"
    options = command.options_of(_parse(*words.split(), "--thread-sweep", "2,1")).scenarios
    assert options == ScenarioOptions(
        ("server", "offline"), server=ServerOptions(50.0, 95, 4), threads=(1, 2)
    )
    assert command.options_of(_parse()).scenarios is None
    assert command.options_of(_parse("--batches", "2,1")).batches == (1, 2)


@pytest.mark.parametrize(
    "words",
    [
        ["--scenario", "server"],
        ["--scenario", "unknown"],
        ["--scenario", ""],
        ["--scenario", "server", "--latency-bound", "0"],
        ["--scenario", "server", "--latency-bound", "50", "--percentile", "98"],
        ["--scenario", "server", "--latency-bound", "50", "--server-time", "0"],
        ["--scenario", "server", "--latency-bound", "50", "--max-batch", "0"],
        ["--scenario", "offline", "--pool", "0"],
        ["--scenario", "multi-stream", "--frame", "0"],
        ["--thread-sweep", "0"],
        ["--thread-sweep", "x"],
    ],
)
def test_impossible_flags_are_refused(words: list[str]) -> None:
    with pytest.raises(UsageError):
        command.options_of(_parse(*words))


def test_the_peak_is_that_of_this_process_and_not_of_its_parent(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t 5 kB\n")
    assert peak_resident_bytes(status) == 2048 * 1024
    assert (peak_resident_bytes(tmp_path / "none") or 1) > 0
