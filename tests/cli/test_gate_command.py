"""``edgereid gate`` as a user types it: exit codes, files, wrong use."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgereid.cli.main import main

GIVEN = ["gate", "engine.onnx", "--data", "data"]


def error_of(capsys: pytest.CaptureFixture[str]) -> str:
    out, err = capsys.readouterr()
    assert out == ""
    (line,) = (line for line in err.splitlines() if "error: " in line)
    return line


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (["--max-map-drop", "-1"], "max_map_drop"),
        (["--max-map-drop", "nan"], "max_map_drop"),
        (["--max-map-drop", "none", "--max-rank1-drop", "none"], "no budget"),
        (["--max-latency-ratio", "0"], "max_latency_ratio"),
        (["--level", "0.9"], "0.9"),
        (["--batch", "0"], "batch"),
        (["--threads", "0"], "threads"),
        (["--cache", "c", "--no-cache"], "contradict"),
    ],
)
def test_wrong_use_is_64_since_2_says_undecided(
    flags: list[str], text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*GIVEN, *flags]) == 64
    assert text in error_of(capsys)


@pytest.mark.parametrize(
    "argv", [["gate"], ["gate", "x"], [*GIVEN, "--nonsense"], [*GIVEN, "--batch", "many"]]
)
def test_flags_that_cannot_be_read_are_64_too(
    argv: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main(argv)
    assert stop.value.code == 64


def test_wrong_use_of_other_commands_is_still_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["eval"])
    assert stop.value.code == 2
    assert main(["bench", "x.onnx", "--batch", "0"]) == 2


def test_help_tells_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["gate", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for words in ("0 pass", "1 fail", "2 undecided", "64 wrong use"):
        assert words in out


@pytest.fixture
def drawn(tmp_path: Path) -> Path:
    flags = ["--ids", "5", "--test-ids", "4", "--cameras", "2", "--workers", "1"]
    assert main(["synth", str(tmp_path / "data"), *flags]) == 0
    return tmp_path / "data"


@pytest.fixture
def engine(tmp_path: Path) -> Path:
    """The mean colour of each half of an image, as ONNX."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    node, value = onnx.helper.make_node, onnx.helper.make_tensor_value_info
    pool = node("AveragePool", ["images"], ["p"], kernel_shape=[16, 16], strides=[16, 16])
    graph = onnx.helper.make_graph(
        [pool, node("Flatten", ["p"], ["features"])],
        "net",
        [value("images", 1, ["N", 3, 32, 16])],
        [value("features", 1, ["N", 6])],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    path = tmp_path / "net.onnx"
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def argv(engine: Path, drawn: Path, tmp_path: Path) -> list[str]:
    flags = {"--reference": engine, "--data": drawn, "--cache": tmp_path / "cache", "--threads": 1}
    return ["gate", str(engine), *(str(x) for pair in flags.items() for x in pair)]


def test_the_verdict_is_the_exit_code_and_files_are_written(
    argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    junit, summary = tmp_path / "out" / "gate.xml", tmp_path / "summary.md"
    summary.write_text("before\n")
    outputs = ["--junit", str(junit), "--markdown", str(summary)]
    capsys.readouterr()
    assert main([*argv, "--max-rank1-drop", "60", *outputs]) == 0
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == "PASS: every loss is within its budget (exit code 0)."
    assert junit.read_text().startswith("<?xml")
    assert summary.read_text().startswith("before\n## Accuracy gate: PASS")
    assert "gate.xml" in err


def test_too_few_people_are_code_2_and_only_map_can_be_judged(argv: list[str]) -> None:
    assert main(argv) == 2
    assert main([*argv, "--max-rank1-drop", "none"]) == 0


def test_unlabelled_crops_are_certified(
    argv: list[str], drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    main([*argv, "--unlabelled", str(drawn / "query")])
    assert "unlabelled crops" in capsys.readouterr().out
    assert main([*argv, "--unlabelled", str(drawn / "nowhere")]) == 3


def test_a_bare_engine_needs_a_reference(
    engine: Path, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["gate", str(engine), "--data", str(drawn)]) == 64
    assert "--reference" in error_of(capsys)


def test_a_file_that_cannot_be_written_is_known_before_anything_runs(
    argv: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main([*argv, "--junit", str(tmp_path)]) == 64
    assert "is a folder" in error_of(capsys)
