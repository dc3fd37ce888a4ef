"""Which engine a path stands for."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edgereid.bench.gate.options import Budget, GateOptions
from edgereid.bench.gate.run import run_gate
from edgereid.bench.gate.sides import candidate_targets, reference_targets
from edgereid.bundle import Bundle, describe_file, write_manifest
from edgereid.errors import UsageError

pytest.importorskip("onnxruntime")


@pytest.fixture
def two_engines(sound: Path, tmp_path: Path) -> Path:
    """The sound bundle with an engine (a stand-in) for OpenVINO besides."""
    directory = tmp_path / "two"
    shutil.copytree(sound, directory)
    (directory / "engine.xml").write_text("<net/>")
    manifest = Bundle.open(directory).manifest
    more = describe_file(directory / "engine.xml", "engine", "openvino", "int8")
    write_manifest(directory, replace(manifest, files=(*manifest.files, more)))
    return directory


def test_a_bundle_is_its_engines_as_candidate_and_its_float_network_as_reference(
    two_engines: Path,
) -> None:
    options = GateOptions(two_engines, two_engines, Path("data"))
    names = [t.path.name for t in candidate_targets(options)]
    assert names == ["engine.xml", "engine.onnx"]  # made for this kind of machine first
    assert next(t.file for t in reference_targets(options)) == "two/model.onnx"
    assert {t.stated_precision for t in reference_targets(options)} == {"f32"}
    only = replace(options, candidate_runtime="onnxruntime")
    assert [t.path.name for t in candidate_targets(only)] == ["engine.onnx"]


def test_without_a_reference_it_is_the_float_network_beside_the_candidate(sound: Path) -> None:
    for candidate in (sound, sound / "engine.onnx"):
        options = GateOptions(candidate, None, Path("data"))
        assert reference_targets(options)[0].path.name == "model.onnx"


def test_a_file_is_itself(sound: Path) -> None:
    options = GateOptions(sound / "model.onnx", sound / "engine.onnx", Path("data"))
    assert [t.path.name for t in candidate_targets(options)] == ["model.onnx"]
    assert [t.path.name for t in reference_targets(options)] == ["engine.onnx"]


def test_a_path_that_holds_no_such_engine_is_refused(sound: Path, tmp_path: Path) -> None:
    floats = tmp_path / "floats"
    floats.mkdir()
    shutil.copy(sound / "model.onnx", floats)
    manifest = Bundle.open(sound).manifest
    file = describe_file(floats / "model.onnx", "float", "onnxruntime", "f32")
    write_manifest(floats, replace(manifest, files=(file,)))
    with pytest.raises(UsageError, match="no engine to judge"):
        candidate_targets(GateOptions(floats, None, Path("data")))
    bare = tmp_path / "bare.onnx"
    shutil.copy(sound / "model.onnx", bare)
    with pytest.raises(UsageError, match="--reference"):
        reference_targets(GateOptions(bare, None, Path("data")))


def test_an_engine_that_cannot_run_here_gives_way_to_the_next(
    two_engines: Path, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """engine.xml is no network."""
    result = run_gate(GateOptions(two_engines, None, drawn, threads=1))
    assert result.candidate.file == "two/engine.onnx"
    assert "engine.xml" in capsys.readouterr().err


def test_another_gallery_is_not_asked_for_interchangeable_features(
    sound: Path, drawn: Path
) -> None:
    """Two networks of one accuracy need not share a space when the gallery is made anew."""
    options = GateOptions(sound, None, drawn, Budget(max_rank1_drop=None), mixed=False, threads=1)
    result = run_gate(options)
    assert [m.name for m in result.measures] == ["mAP"]
    assert {c.name for c in result.checks} == {"batch sizes", "calibration table"}


def test_the_result_is_that_of_the_evaluation(sound: Path, drawn: Path) -> None:
    from edgereid.evaluation.options import EvalOptions
    from edgereid.evaluation.run import run_eval

    found = run_gate(GateOptions(sound, None, drawn, threads=1, no_cache=True))
    for side, file in (("reference", "model.onnx"), ("candidate", "engine.onnx")):
        evaluated = run_eval(EvalOptions(sound / file, drawn, threads=1))
        assert evaluated is not None
        expected = evaluated.rows[0].result
        assert getattr(found.measure("mAP"), side) == pytest.approx(expected.mean_ap)
        assert getattr(found.measure("Rank-1"), side) == pytest.approx(expected.rank(1))
