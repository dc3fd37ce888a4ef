"""Tables, drawing, page and command: views of a result made by hand."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from edgereid.bench.result import BenchResult
from edgereid.bench.roofline.result import (
    Band,
    EngineRoofline,
    Layer,
    Peak,
    Plan,
    Rate,
    RooflineResult,
)
from edgereid.bench.roofline.roof import Roof, stand
from edgereid.bench.roofline.standalone import light_colours, standalone
from edgereid.bench.roofline.text import giga, kind_rows, layer_name, percent, text
from edgereid.cli import roofline as command
from edgereid.errors import UsageError
from edgereid.evaluation.result import LeftOut

ROOF = Roof(100e9, 20e9)
HOSTILE = "<script>alert(1)</script>"


def layer(name: str, ms: float, macs: int | None, nbytes: int, node: str = "") -> Layer:
    known = None if macs is None else stand(ms / 1e3, macs, nbytes, ROOF)
    kind = "Conv" if macs else "Reorder"
    return Layer(name, kind, "f32", (node,) if node else (), ms, macs, nbytes, known)


def plan(*layers: Layer) -> Plan:
    return Plan(layers, 25, sum(x.ms for x in layers), 0.9, 1.0, ())


def engine(label: str, runtime: str, plan: Plan | None, ms: float = 10.0) -> EngineRoofline:
    whole = stand(ms / 1e3, 400_000_000, 8_000_000, ROOF)
    reasons = () if plan else (f"{runtime} does not tell what its layers take",)
    return EngineRoofline(
        label, label, runtime, "f32", 2, ms, 0.01, 400_000_000, 8_000_000, "memory", ROOF, whole,
        4.0, plan, reasons,
    )  # fmt: skip


@pytest.fixture
def result(usual: BenchResult) -> RooflineResult:
    steps = [layer(f"s{i}", 0.1, 1_000_000, 100_000, f"node{i}") for i in range(12)]
    slow = layer("slow", 5.0, 300_000_000, 1_000_000, HOSTILE)
    told = plan(slow, layer("Reorder_1", 1.0, 0, 500_000), *steps)
    return RooflineResult(
        edgereid="0.1.0",
        created="2026-01-02T03:04:05+00:00",
        options={},
        machine=usual.machine,
        before=usual.before,
        after=usual.after,
        inputs="noise (no --data)",
        batch=1,
        threads=2,
        cache_bytes=None,
        peaks=(
            Peak("onnxruntime", "f32", "matrix products", Rate(90e9, 80e9, 0.02, 40)),
            Peak("openvino", "f32", "3x3 convolutions", Rate(100e9, 70e9, 0.30, 40)),
            Peak("openvino", "int8", "3x3 convolutions", Rate(400e9, 390e9, 0.01, 40)),
        ),
        bands=(Band("memory", "copy", 2**27, Rate(20e9, 19e9, 0.02, 40), "too small"),),
        engines=(engine("ONNX Runtime FP32", "onnxruntime", told), engine("Eager", "eager", None)),
        left_out=(LeftOut("TensorRT (engine.plan)", "TensorRT is not installed."),),
        warnings=("the machine was busy",),
    )


def test_the_terminal_shows_peaks_engines_and_the_ten_slowest_steps(result: RooflineResult) -> None:
    lines = text(result).splitlines()
    star = [line for line in lines if " * " in line]
    assert [line.split()[0] for line in star[:3]] == ["FP32", "INT8", "memory"]
    assert any("OpenVINO, 3x3 convolutions" in line for line in star)
    row = next(line for line in lines if line.startswith("ONNX Runtime FP32 "))
    assert row.split()[3:] == ["compute", "10.0", "40.0", "40", "50.0", "4.00", "6.00"]
    assert sum("node" in line and "Conv" in line for line in lines) == 8  # and two longer ones
    assert "[Reorder_1]" in text(result)


def test_what_casts_doubt_or_is_missing_is_said(result: RooflineResult) -> None:
    shown = text(result)
    for words in (
        "peaks are noisy (coefficient of variation up to 30 %)",
        "memory, copy: too small",
        "size of the last cache is not told",
        "Eager: eager does not tell what its layers take",
        "the machine was busy",
        "left out: TensorRT (engine.plan): TensorRT is not installed",
        "1 steps (1.00 ms) stand for no node of the float graph",
        "90 % of their time, 100 % of the MACs",
    ):
        assert words in shown


def test_an_engine_above_the_roof_is_named(result: RooflineResult) -> None:
    fast = replace(result.engines[0], whole=stand(1e-3, 400_000_000, 8_000_000, ROOF))
    assert "above the measured roof" in text(replace(result, engines=(fast,)))
    assert "above the measured roof" not in text(result)


def test_lost_nodes_are_named(result: RooflineResult) -> None:
    lossy = replace(plan(layer("a", 1.0, 1, 1, "n")), lost=tuple(f"lost{i}" for i in range(7)))
    shown = text(replace(result, engines=(replace(result.engines[0], plan=lossy),)))
    assert "nodes that no step stands for: lost0, lost1, lost2, lost3, lost4 and 2 more" in shown


def test_steps_are_summed_by_kind() -> None:
    rows = kind_rows(plan(layer("a", 3.0, 1000, 1), layer("b", 1.0, 0, 1), layer("c", 2.0, 9, 1)))
    assert [row[:4] for row in rows] == [
        ["Conv", "2", "5.00", "83"],
        ["Reorder", "1", "1.00", "17"],
    ]


def test_unknown_work_is_a_dash_not_a_zero(result: RooflineResult) -> None:
    unknown = plan(layer("a", 1.0, None, 1, "n"))
    bare = replace(
        result.engines[0], macs=None, nbytes=None, whole=None, at_roof_ms=None, plan=unknown
    )
    lines = text(replace(result, engines=(bare,))).splitlines()
    row = next(line for line in lines if line.startswith("ONNX Runtime FP32 "))
    assert row.split()[3:] == ["-", "10.0", "-", "-", "-", "-", "-"]
    assert next(line for line in lines if line.startswith("n ")).split()[3:] == [
        "-", "1.00", "100", "-", "-", "-", "-",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "words"), [(1.234e9, "1.23"), (81.94e9, "81.9"), (4239e9, "4,239"), (1e6, "0.00")]
)
def test_rates_have_three_digits(value: float, words: str) -> None:
    assert giga(value) == words
    assert percent(0.0123) == "1.2"
    assert percent(1.234) == "123"


def test_a_step_is_called_by_its_first_node() -> None:
    several = replace(layer("x", 1.0, 1, 1, "conv"), nodes=("conv", "relu", "add"))
    assert layer_name(several) == "conv +2"


# --- drawing and page ---------------------------------------------------------------------------


def test_the_svg_file_is_whole_and_has_a_mark_for_each_step(
    result: RooflineResult, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    from edgereid.bench.roofline.plot import write_svg

    path = tmp_path / "roof.svg"
    write_svg(path, result)
    root = ElementTree.parse(path).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    shown = path.read_text()
    assert "var(" not in shown
    assert "<script" not in shown
    words = [element.text for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "INT8 400.0 GMAC/s" in words
    assert "memory 20.0 GB/s" in words
    collections = [e for e in root.iter() if e.get("id", "").startswith("PathCollection")]
    assert len(collections) == 2 + 13  # two engines; thirteen steps with arithmetic


def test_the_page_needs_nothing_from_outside_and_runs_nothing(
    result: RooflineResult, tmp_path: Path
) -> None:
    pytest.importorskip("matplotlib")
    from edgereid.bench.roofline.page import page

    shown = page(result)
    assert HOSTILE not in shown
    assert "&lt;script&gt;" in shown
    assert "default-src 'none'" in shown
    assert "http" not in shown.replace("http-equiv", "")
    assert "all 14 steps" in shown


def test_a_result_without_layers_or_peaks_can_be_drawn(result: RooflineResult) -> None:
    pytest.importorskip("matplotlib")
    from edgereid.bench.roofline.plot import draw

    assert "<svg" in draw(replace(result, engines=result.engines[1:], peaks=(), bands=()))
    assert "<svg" in draw(replace(result, engines=()))


def test_every_colour_of_a_drawing_is_one_of_the_pages() -> None:
    from edgereid.bench.svg import VARIABLES

    assert set(VARIABLES.values()) <= set(light_colours())
    svg = '<svg viewBox="0 0 8 4"><path style="fill: var(--ink)"/></svg>'
    assert 'style="fill: #1b1f24"' in standalone(svg)
    assert 'width="8" height="4"' in standalone(svg)


# --- the command --------------------------------------------------------------------------------


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    return parser.parse_args(list(words))


def test_flags_become_options() -> None:
    words = "b --batch 4 --threads 2 --runtime openvino --graph g.onnx --trust --min-time 2"
    options = command.options_of(parse(*words.split(), "--seed", "7"))
    assert (options.paths, options.batch, options.threads) == ((Path("b"),), 4, 2)
    assert (options.runtimes, options.graph, options.trust) == (("openvino",), Path("g.onnx"), True)
    assert (options.latency.min_time_s, options.latency.seed) == (2.0, 7)


def test_quick_is_a_set_of_defaults_that_flags_overrule() -> None:
    quick = command.options_of(parse("b", "--quick", "--max-time", "5")).latency
    assert (quick.min_time_s, quick.min_count, quick.max_time_s) == (0.3, 8, 5.0)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, result: RooflineResult) -> Callable[..., int]:
    monkeypatch.setattr("edgereid.bench.roofline.run.run_roofline", lambda options: result)
    return lambda *words: command.run(parse("bundle", *words))


def test_json_is_one_object_with_everything(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["kind"], found["schema"]) == ("edgereid-roofline", 1)
    assert found["engines"][0]["plan"]["layers"][0]["standing"]["bound"] == "compute"
    assert found["peaks"][1]["rate"]["best"] == 100e9


def test_files_are_written_on_request(
    run: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    assert run("--svg", str(tmp_path / "a.svg"), "--html", str(tmp_path / "a.html")) == 0
    assert (tmp_path / "a.svg").is_file()
    assert (tmp_path / "a.html").is_file()
    assert "ONNX Runtime FP32" in capsys.readouterr().out


def test_a_folder_is_no_file_to_write(run: Any, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is a folder"):
        run("--svg", str(tmp_path))
