"""Whole runs: fakes whose rates are known under a clock that only they move, and real runtimes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.bench.latency import LatencyOptions
from edgereid.bench.roofline.bandwidth import CACHE, DRAM, Stream
from edgereid.bench.roofline.engine import Roofs, graph_of
from edgereid.bench.roofline.layers import Profile, ProfileOptions, RuntimeLayer, profiler_of
from edgereid.bench.roofline.options import RooflineOptions
from edgereid.bench.roofline.result import Band, Peak, Rate, RooflineResult
from edgereid.bench.roofline.run import run_roofline
from edgereid.cpus import usable_cpus
from edgereid.engines.base import EngineOptions
from edgereid.errors import InputError, UsageError

pytest.importorskip("onnx")
SHORT = LatencyOptions(min_time_s=0.1, min_count=3, warmup_s=0.0, warmup_runs=1, max_time_s=60.0)
#: Milliseconds a run of a probe, by (runtime, precision).
PROBE_MS = {
    ("onnxruntime", "f32"): 12.0,
    ("onnxruntime", "int8"): 6.0,
    ("openvino", "f32"): 10.0,
    ("openvino", "bf16"): 5.0,
    ("openvino", "int8"): 2.5,
}
CONVOLUTIONS = 1024 * 27 * 256 + 2 * 1024 * 9 * 256**2  # MACs of a probe
STREAM_BYTES, STREAM_MS = 10_000_000, 1.0  # 10 GB/s
ENGINE_MS = 0.5


@pytest.fixture
def roofline(clock: Any, fake_engine: Any, small_file: Any) -> Any:
    """Run on the small network with every time known. numpy, which knows no clock of ours, is
    left out by asking for one thread more than there is."""

    def opener(path: Path, options: EngineOptions, runtime: str | None) -> Any:
        runtime = runtime or "onnxruntime"
        if path.name.startswith("probe"):
            precision = "int8" if path.stem.endswith("q") else options.precision or "f32"
            ms = PROBE_MS[runtime, precision]
            return fake_engine(runtime, precision, clock, ms, size=(32, 32))
        return fake_engine(runtime, "int8" if "int8" in path.name else "f32", clock, ENGINE_MS)

    def make_streams(threads: int, pool: Any) -> list[Stream]:
        run = lambda _: clock.advance(int(STREAM_MS * 1e6))  # noqa: E731
        return [Stream(DRAM, "copy", STREAM_BYTES, 2**20, run, "")]

    def profilers(runtime: str) -> Any:
        def profile(path: Path, options: EngineOptions, batches: Any, wanted: Any) -> Profile:
            layers = (
                RuntimeLayer("block/conv", "Conv", 0.2, "f32", ("block/conv",), 4, 4, 4, 1),
                RuntimeLayer("Reorder", "Reorder", 0.1, "f32", (), 4, 4, 4, 1_000_000),
                RuntimeLayer("head", "Gemm", 0.0, "f32", ("head",), 4, 4, 4, 1),
            )
            return Profile(layers, wanted.runs, 0.4)

        return profile if runtime == "onnxruntime" else None

    def run(names: Sequence[str] = ("small.onnx",), **changes: Any) -> RooflineResult:
        paths = tuple(small_file(name, int8="int8" in name) for name in names)
        paths = changes.pop("paths", paths)
        options = RooflineOptions(paths, threads=usable_cpus() + 1, latency=SHORT)
        return run_roofline(
            replace(options, **changes), opener, clock, None, profilers, make_streams
        )

    return run


def test_peaks_and_bandwidth_are_those_of_the_law(roofline: Any) -> None:
    result = roofline()
    rates = {(p.runtime, p.precision, p.kind): p.rate for p in result.peaks}
    found = rates["openvino", "int8", "3x3 convolutions"]
    assert found.best == found.median == pytest.approx(CONVOLUTIONS / 2.5e-3)
    assert found.cv == 0.0
    assert len(result.peaks) == 2 * len(PROBE_MS)
    (band,) = result.bands
    assert band.rate.median == pytest.approx(10e9)
    assert "numpy" in result.left_out[-1].label


def test_an_engine_stands_beside_the_roof_of_its_precision(roofline: Any, small_macs: int) -> None:
    result = roofline(["small.onnx", "int8.onnx"])
    peaks = {"f32": CONVOLUTIONS / 10e-3, "int8": CONVOLUTIONS / 2.5e-3}
    for engine in result.engines:
        whole = engine.whole
        assert engine.p50_ms == pytest.approx(ENGINE_MS)
        assert engine.macs == small_macs
        assert whole.rate == pytest.approx(small_macs / (ENGINE_MS / 1e3))
        assert whole.peak_share == pytest.approx(whole.rate / peaks[engine.precision])
        assert engine.level == DRAM
    assert [e.precision for e in result.engines] == ["f32", "int8"]


def test_each_step_has_its_share_and_what_is_left_to_gain(roofline: Any) -> None:
    (engine,) = roofline().engines
    conv, reorder, head = engine.plan.layers
    assert conv.nodes == ("block/conv", "block/relu", "pool", "flatten")
    conv_bytes = 4 * (3 * 32 + 8 + 8 * 27)
    assert conv.nbytes == conv_bytes
    assert conv.standing.at_roof == pytest.approx(conv_bytes / 10e9)
    assert conv.standing.to_gain == pytest.approx(0.2e-3 - conv_bytes / 10e9)
    assert reorder.nodes == ()
    assert reorder.standing.at_roof == pytest.approx(1_000_000 / 10e9)
    assert head.standing.seconds == pytest.approx(0.5e-6)  # below the runtime's clock
    assert engine.at_roof_ms == pytest.approx(
        1e3 * sum(layer.standing.at_roof for layer in engine.plan.layers)
    )
    assert engine.to_gain_ms == pytest.approx(ENGINE_MS - engine.at_roof_ms)
    assert engine.plan.time_share == pytest.approx(2 / 3)
    assert engine.plan.macs_share == 1.0


def test_a_runtime_that_does_not_tell_is_judged_as_a_whole(roofline: Any) -> None:
    (engine,) = roofline(runtimes=("openvino",)).engines
    assert engine.plan is None
    assert engine.absent == ("openvino does not tell what its layers take",)
    assert engine.whole is not None
    assert engine.at_roof_ms == pytest.approx(1e3 * engine.whole.at_roof)


def test_the_batch_multiplies_the_work(roofline: Any, small_macs: int) -> None:
    (engine,) = roofline(batch=3).engines
    assert engine.macs == 3 * small_macs
    assert engine.p50_ms == pytest.approx(3 * ENGINE_MS)


def test_an_engine_without_a_graph_is_timed_and_the_rest_is_absent(
    roofline: Any, small_file: Any, tmp_path: Path
) -> None:
    (tmp_path / "bare.xml").write_text("<net/>")
    (engine,) = roofline([], paths=(tmp_path / "bare.xml",)).engines
    assert engine.p50_ms == pytest.approx(ENGINE_MS)
    assert (engine.macs, engine.whole, engine.at_roof_ms, engine.to_gain_ms) == (None,) * 4
    assert "give --graph" in engine.absent[0]
    given = small_file("graph.onnx")
    (engine,) = roofline([], paths=(tmp_path / "bare.xml",), graph=given).engines
    assert engine.whole is not None


def test_a_graph_that_cannot_be_read_ends_the_run(roofline: Any, tmp_path: Path) -> None:
    (tmp_path / "bad.onnx").write_bytes(b"nonsense")
    with pytest.raises(InputError):
        roofline(graph=tmp_path / "bad.onnx")


@pytest.mark.parametrize("changes", [{"paths": ()}, {"batch": 0}, {"threads": 0}])
def test_impossible_options_are_refused(changes: Any) -> None:
    options: Any = {"paths": (Path("a"),), **changes}
    with pytest.raises(UsageError):
        RooflineOptions(**options)


# --- the choice of a roof -----------------------------------------------------------------------


def rate(best: float) -> Rate:
    return Rate(best, best / 2, 0.1, 9)


PEAKS = (
    Peak("a", "f32", "x", rate(10.0)),
    Peak("b", "f32", "x", rate(20.0)),
    Peak("b", "int8", "x", rate(80.0)),
)
BANDS = (
    Band(DRAM, "copy", 9, rate(3.0), ""),
    Band(DRAM, "triad", 9, rate(4.0), ""),
    Band(CACHE, "copy", 9, rate(7.0), ""),
)


def test_the_best_probe_of_a_precision_and_of_a_level_is_the_roof() -> None:
    roof = Roofs(PEAKS, BANDS, 100).of("f32", DRAM)
    assert roof is not None
    assert (roof.peak, roof.bandwidth) == (20.0, 4.0)
    assert Roofs(PEAKS, BANDS, 100).of("bf16", DRAM) is None
    assert Roofs(PEAKS, (), 100).of("f32", DRAM) is None


@pytest.mark.parametrize(
    ("bands", "cache", "level"),
    [(BANDS, 100, CACHE), (BANDS, 99, DRAM), (BANDS, None, DRAM), (BANDS[:2], 100, DRAM)],
)
def test_data_that_fit_the_last_cache_are_bound_by_it(
    bands: tuple[Band, ...], cache: int | None, level: str
) -> None:
    assert Roofs(PEAKS, bands, cache).level(100) == level


# --- real runtimes ------------------------------------------------------------------------------


def test_real_runtimes_reach_their_probes_and_tell_their_steps(
    small_file: Any, small_macs: int
) -> None:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("openvino")

    def make_streams(threads: int, pool: Any) -> list[Stream]:
        a, b = np.zeros(10**6, np.float32), np.ones(10**6, np.float32)
        return [Stream(DRAM, "copy", 2 * a.nbytes, a.nbytes, lambda _: np.copyto(a, b), "")]

    quick = LatencyOptions(
        warmup_s=0.0, warmup_runs=1, min_time_s=0.0, min_count=1, min_rounds=1, block_s=0.0
    )
    options = RooflineOptions(
        (small_file(),), runtimes=("onnxruntime", "openvino"), latency=quick,
        profile=ProfileOptions(2, 1),
    )  # fmt: skip
    result = run_roofline(options, profilers=profiler_of, make_streams=make_streams)
    assert len(result.engines) == 2
    for engine in result.engines:
        assert engine.macs == small_macs
        assert engine.plan is not None
        assert engine.plan.macs_share == 1.0
        assert engine.whole is not None
    probed = {(p.runtime, p.precision) for p in result.peaks}
    assert {("onnxruntime", "f32"), ("onnxruntime", "int8"), ("openvino", "f32")} <= probed


def test_the_graph_of_a_bundles_engine_is_its_float_network(tmp_path: Path) -> None:
    from edgereid.bench.candidates import Candidate

    bare = Candidate(tmp_path / "a.xml", "", None, None, None, True, True, None)
    assert graph_of(bare, None) is None
    assert graph_of(bare, tmp_path / "g.onnx") == tmp_path / "g.onnx"
    itself = replace(bare, path=tmp_path / "a.onnx")
    assert graph_of(itself, None) == tmp_path / "a.onnx"
