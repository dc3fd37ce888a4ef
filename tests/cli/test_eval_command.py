"""``edgereid eval`` as a user types it: shipped weights, ONNX engines, several processes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgereid
from edgereid.cli.main import main

WEIGHTS = Path(edgereid.__file__).parent / "weights" / "dslnet.safetensors"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("eval") / "data"
    flags = ["--ids", "8", "--test-ids", "5", "--cameras", "2", "--workers", "1"]
    assert main(["synth", str(root), *flags]) == 0
    return root


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small convolutional network with random weights, batch free, 64 x 32."""
    onnx = pytest.importorskip("onnx")
    rng = np.random.default_rng(0)

    def tensor(name: str, *shape: int) -> Any:
        values = rng.standard_normal(shape).astype(np.float32) / np.sqrt(np.prod(shape[1:]))
        return onnx.numpy_helper.from_array(values.astype(np.float32), name)

    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [
            node("Conv", ["images", "k1"], ["a"], strides=[2, 2], pads=[1, 1, 1, 1]),
            node("Relu", ["a"], ["b"]),
            node("Conv", ["b", "k2"], ["c"], pads=[1, 1, 1, 1]),
            node("MaxPool", ["c"], ["d"], kernel_shape=[8, 16], strides=[8, 16]),
            node("Flatten", ["d"], ["e"]),
            node("Gemm", ["e", "fc"], ["features"], transB=1),
        ],
        "net",
        [value("images", 1, ["N", 3, 64, 32])],
        [value("features", 1, ["N", 24])],
        [tensor("k1", 16, 3, 3, 3), tensor("k2", 32, 16, 3, 3), tensor("fc", 24, 128)],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path_factory.mktemp("engine") / "net.onnx"
    path.write_bytes(
        onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    )
    return path


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "edgereid" / "features"


def evaluate(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["eval", *map(str, arguments), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_the_shipped_weights_know_drawn_people_again_and_the_cache_changes_nothing(
    data: Path, own_cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    out = tmp_path / "result.json"
    argv = ["eval", str(WEIGHTS), "--data", str(data), "--out", str(out), "--threads", "1"]
    assert main(argv) == 0
    table = capsys.readouterr().out
    assert "PyTorch eager FP32" in table
    assert "cosine distance" in table
    first = json.loads(out.read_text())
    assert first["rows"][0]["cmc"]["1"] >= 0.7
    assert first["rows"][0]["map"] > 0.5
    assert len(list(own_cache.iterdir())) == 1
    assert main(argv) == 0
    second = json.loads(out.read_text())
    assert second["rows"][0]["images_run"] == 0
    assert second["rows"][0]["per_query"] == first["rows"][0]["per_query"]


def test_every_protocol_flag_reaches_the_evaluation(
    data: Path, engine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ("--metric", "euclidean", "--ap", "trapezoid", "--flip", "--rerank", "--batch", "4")
    found = evaluate(capsys, engine, "--data", data, "--layout", "market1501", *flags)
    protocol = found["rows"][0]["protocol"]
    for words in ("euclidean distance", "trapezoids", "mirror", "re-ranking"):
        assert words in protocol
    assert found["options"]["flip"] is True
    plain = evaluate(capsys, engine, "--data", data)
    assert plain["rows"][0]["map"] != found["rows"][0]["map"]


def test_two_processes_find_what_one_finds_with_real_engines(
    data: Path, engine: Path, tmp_path: Path
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("openvino")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": str(port)}

    def start(name: str, environment: dict[str, str]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "edgereid", "eval", str(engine), "--data", str(data)]
        command += ["--runtime", "onnxruntime", "--runtime", "openvino", "--threads", "1"]
        command += ["--batch", "4", "--cache", str(tmp_path / name), "--json"]
        return subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True
        )

    started = [start("two", {**group, "RANK": str(rank)}) for rank in range(2)]
    two, other = (process.communicate(timeout=240)[0] for process in started)
    one = start("one", {}).communicate(timeout=240)[0]
    assert [process.returncode for process in started] == [0, 0]
    assert other == ""
    rows = [[without_times(row) for row in json.loads(text)["rows"]] for text in (one, two)]
    assert rows[0] == rows[1]
    assert [row["runtime"] for row in rows[0]] == ["onnxruntime", "openvino"]
    tables = [{f.name: f.read_bytes() for f in (tmp_path / n).iterdir()} for n in ("one", "two")]
    assert tables[0] == tables[1]  # every bit of every feature
    assert len(tables[0]) == 2


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in row.items() if k not in ("seconds", "images_per_s")}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["NO/FILE", "--data", "DATA"], 3, "does not exist"),
        (["ENGINE", "--data", "NO/DIR"], 3, "NO/DIR"),
        (["ENGINE", "--data", "DATA", "--layout", "imagenet"], 2, "imagenet"),
        (["ENGINE", "--data", "DATA", "--metric", "manhattan"], 2, "auto, cosine, euclidean"),
        (["ENGINE", "--data", "DATA", "--ap", "max"], 2, "precision, trapezoid"),
        (["ENGINE", "--data", "DATA", "--multi-query", "median"], 2, "mean, max"),
        (["ENGINE", "--data", "DATA", "--multi-query", "mean"], 3, "multi-query"),
        (["ENGINE", "--data", "DATA", "--batch", "0"], 2, "from 1 to"),
        (["ENGINE", "--data", "DATA", "--workers", "0"], 2, "from 1 to"),
        (["ENGINE", "--data", "DATA", "--threads", "0"], 2, "at least 1"),
        (["ENGINE", "--data", "DATA", "--runtime", "tflite"], 2, "Known: eager"),
        (["ENGINE", "--data", "DATA", "--runtime", "eager"], 2, "eager opens"),
        (["ENGINE", "--data", "DATA", "--precision", "int3"], 2, "int3"),
        (["ENGINE", "--data", "DATA", "--cache", "X", "--no-cache"], 2, "contradict"),
        (["ENGINE", "--data", "DATA", "--out", "DATA"], 2, "is a folder"),
        (["DATA", "--data", "DATA"], 3, "is no bundle"),
    ],
)
def test_what_cannot_be_is_one_line_and_an_exit_code(
    arguments: list[str],
    code: int,
    message: str,
    data: Path,
    engine: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    known = {"DATA": str(data), "ENGINE": str(engine)}
    capsys.readouterr()
    assert main(["eval", *(known.get(a, a) for a in arguments)]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("edgereid: error: ")
    assert err.count("\n") == 1
    assert message in err
