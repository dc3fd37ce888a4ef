"""The command: what it prints is called a prediction, errors are one line, calibration scales."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.bench.estimate.constants import constants
from edgereid.bench.result import BenchResult, write_result
from edgereid.cli.main import main

Run = Callable[..., "tuple[int, str, str]"]


def write_graph(path: Path, batch: int | str = "N", channels: int = 64) -> Path:
    from onnx import TensorProto, helper, numpy_helper

    kernel = np.zeros((channels, 3, 3, 3), np.float32)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="conv", pads=[1, 1, 1, 1])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [batch, 3, 64, 32])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [batch, channels, 64, 32])],
        [numpy_helper.from_array(kernel, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def graph(tmp_path: Path) -> Path:
    return write_graph(tmp_path / "net.onnx")


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: str | Path) -> tuple[int, str, str]:
        code = main(["estimate", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return run


def rows(out: str) -> dict[tuple[str, int], dict[str, Any]]:
    return {(r["precision"], r["batch"]): r for r in json.loads(out)["rows"]}


def test_the_table_says_predicted_and_prints_its_error(cli: Run, graph: Path) -> None:
    code, out, err = cli(graph, "--device", "orin-nano-8gb")
    assert (code, err) == (0, "")
    assert out.startswith("PREDICTED, not measured: net.onnx on Jetson Orin Nano 8GB, 15 W")
    errors = constants().held_out
    assert f"error on {errors.figures} published latencies of devices the fit had not seen" in out
    assert f"90 % within a factor of {errors.factor:.2f}" in out
    assert "energy as if 15 W were drawn" in out


def test_the_json_calls_every_figure_predicted(cli: Run, graph: Path) -> None:
    code, out, _ = cli(graph, "--device", "orin-nano-8gb", "--batch", "1,4", "--json")
    found = json.loads(out)
    assert code == 0
    assert found["measured"] is False
    assert found["assumed_watts"] == 15
    assert found["macs"] == 64 * 64 * 32 * 27
    assert set(rows(out)) == {(p, b) for p in ("f32", "f16", "int8") for b in (1, 4)}
    allowed = {"precision", "batch", "interval_coverage", "calibrated"}
    for row in found["rows"]:
        assert all(key.startswith("predicted_") for key in set(row) - allowed)
        low, high = row["predicted_interval_ms"]
        assert low < row["predicted_ms"] < high
        seconds = row["predicted_ms"] / 1e3
        assert row["predicted_images_per_s"] == pytest.approx(row["batch"] / seconds)
        energy = row["predicted_energy_mj_per_image"]
        assert energy == pytest.approx(15 * 1e3 * seconds / row["batch"])
        assert sum(row["predicted_shares"].values()) == pytest.approx(1)


def test_devices_are_listed_with_their_sources(cli: Run) -> None:
    code, out, _ = cli("--devices")
    assert code == 0
    assert "Up to 40 (Sparse) INT8 TOPs and 20 (Dense) INT8 TOPs" in out
    code, out, _ = cli("--devices", "--json")
    found = {d["name"]: d for d in json.loads(out)["devices"]}
    assert found["orin-nano-8gb"]["int8_tops"] == 20
    assert found["jetson-nano"]["int8_tops"] is None


@pytest.mark.slow
def test_a_registered_network_is_exported_and_counted(cli: Run) -> None:
    code, out, _ = cli("dslnet", "--device", "orin-nano-8gb", "--precision", "f16", "--json")
    assert code == 0
    assert json.loads(out)["network"] == "dslnet"
    assert json.loads(out)["macs"] > 1e8


WRONG = [
    (["--device", "orin-nano-8gb"], 2, "give NETWORK and --device NAME"),
    (["net.onnx"], 2, "give NETWORK and --device NAME"),
    (["net.onnx", "--device", "orin"], 2, "unknown device 'orin'"),
    (["net.onnx", "--device", "jetson-nano", "--precision", "int8"], 2, "no rate of int8"),
    (["net.onnx", "--device", "l4", "--precision", "fp16"], 2, "precision 'fp16': choose of f32"),
    (["net.onnx", "--device", "l4", "--batch", "0"], 2, "batches [0]: from 1 to"),
    (["net.onnx", "--device", "l4", "--batch", "a"], 2, "--batch a: give numbers"),
    (["net.onnx", "--device", "l4", "--measured-on", "a10"], 2, "describe --measured"),
    (["missing.onnx", "--device", "l4"], 3, "there is no missing.onnx"),
    (["text.onnx", "--device", "l4"], 3, "not an ONNX file"),
    (["one.onnx", "--device", "l4"], 3, "takes one batch size only"),
    (["no_such_network", "--device", "l4"], 2, "unknown network"),
]


@pytest.mark.parametrize(("arguments", "code", "words"), WRONG)
def test_wrong_use_is_one_line(
    cli: Run,
    graph: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    words: str,
) -> None:
    monkeypatch.chdir(graph.parent)
    Path("text.onnx").write_text("no graph", encoding="utf-8")
    write_graph(Path("one.onnx"), batch=2)
    found, out, err = cli(*arguments)
    assert (found, out) == (code, "")
    assert words in err
    assert err.count("\n") == 1


@pytest.fixture
def measured(
    tmp_path: Path, make_result: Callable[..., BenchResult], row_spec: Callable[..., Any]
) -> Path:
    """A result with a TensorRT engine in FP16 at 2 ms (batch 1)."""
    spec = row_spec("m/engine.plan", "tensorrt", "f16", {1: 2.0}, mean_ap=None)
    write_result(tmp_path / "r.json", make_result([spec]))
    return tmp_path / "r.json"


def test_calibration_gives_back_what_was_measured_and_a_note(
    cli: Run, graph: Path, measured: Path
) -> None:
    base = ("--device", "orin-nx-16gb", "--batch", "1", "--json")
    plain = rows(cli(graph, *base)[1])
    code, out, _ = cli(graph, *base, "--measured", measured)
    found = rows(out)
    assert code == 0
    assert found["f16", 1]["predicted_ms"] == pytest.approx(2.0, rel=0.02)
    assert found["f16", 1]["calibrated"]
    assert found["int8", 1] == plain["int8", 1], "no engine in INT8 was measured"
    assert "not calibrated, as no engine was measured: f32, int8" in json.loads(out)["notes"]
    low, high = found["f16", 1]["predicted_interval_ms"]
    assert high / found["f16", 1]["predicted_ms"] == pytest.approx(constants().same_device.factor)
    assert low < high


def test_calibration_on_another_device_scales_by_the_same_factor(
    cli: Run, graph: Path, measured: Path
) -> None:
    base = ("--precision", "f16", "--batch", "1", "--json")
    there = rows(cli(graph, *base, "--device", "orin-nx-16gb")[1])["f16", 1]
    here = rows(cli(graph, *base, "--device", "orin-nano-8gb")[1])["f16", 1]
    more = ("--measured", measured, "--measured-on", "orin-nx-16gb")
    found = rows(cli(graph, *base, "--device", "orin-nano-8gb", *more)[1])["f16", 1]
    scale = 2.0 / there["predicted_ms"]
    assert found["predicted_ms"] == pytest.approx(scale * here["predicted_ms"], rel=0.02)


def test_a_measurement_of_another_network_on_another_device_is_refused(
    cli: Run, graph: Path, measured: Path
) -> None:
    other = write_graph(graph.with_name("other.onnx"), channels=128)
    more = ("--measured", measured, "--measured-network", other, "--measured-on", "l4")
    code, _, err = cli(graph, "--device", "orin-nano-8gb", *more)
    assert code == 2
    assert "tells nothing" in err


def test_a_result_without_an_engine_in_that_precision_is_refused(
    cli: Run, graph: Path, measured: Path
) -> None:
    code, _, err = cli(
        graph, "--device", "orin-nano-8gb", "--precision", "int8", "--measured", measured
    )
    assert code == 3
    assert "no tensorrt engine in the result runs in int8" in err
    assert "it has tensorrt f16" in err
