"""An engine that was damaged, in every way that happens, is caught; a sound one is not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.bundle import Bundle
from edgereid.cli.main import main
from edgereid.errors import InputError
from edgereid.images import load_batch

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

Tools = dict[str, Callable[..., Any]]


def gate(
    capsys: pytest.CaptureFixture[str], candidate: Path, data: Path, *flags: str | Path
) -> tuple[int, dict[str, Any]]:
    capsys.readouterr()
    argv = ["gate", candidate, "--data", data, "--threads", "1", "--max-batch", "7", *flags]
    code = main([*map(str, argv), "--json"])
    out = capsys.readouterr().out
    return code, json.loads(out) if out else {}


def failed(result: dict[str, Any]) -> set[str]:
    return {x["name"] for x in (*result["measures"], *result["checks"]) if x["verdict"] == "fail"}


def _change_weights(path: Path, change: Callable[[str, Any], Any]) -> None:
    """Change the weights (int8 of an engine, float of a network), not the scales."""
    model = onnx.load(path)
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        if array.ndim > 1:
            tensor.CopyFrom(
                onnx.numpy_helper.from_array(
                    np.ascontiguousarray(change(tensor.name, array)).astype(array.dtype),
                    tensor.name,
                )
            )
    onnx.save(model, path)


def _noise(name: str, array: Any) -> Any:
    rng = np.random.default_rng(0)
    noisy = array + rng.normal(0, 0.6 * array.std(), array.shape)
    return np.clip(np.rint(noisy), -127, 127) if array.dtype == np.int8 else noisy


def perturb_weights(directory: Path, tools: Tools, crops: Any) -> None:
    _change_weights(directory / "engine.onnx", _noise)
    tools["seal"](directory)


def scramble_weights(directory: Path, tools: Tools, crops: Any) -> None:
    rng = np.random.default_rng(0)
    _change_weights(
        directory / "engine.onnx", lambda _, a: rng.permutation(a.ravel()).reshape(a.shape)
    )
    tools["seal"](directory)


def swap_mean_and_std(directory: Path, tools: Tools, crops: Any) -> None:
    own = Bundle.open(directory).manifest.preprocessing
    tools["seal"](directory, preprocessing=replace(own, mean=own.std, std=own.mean))


def other_normalisation(directory: Path, tools: Tools, crops: Any) -> None:
    own, half = Bundle.open(directory).manifest.preprocessing, (0.5, 0.5, 0.5)
    tools["seal"](directory, preprocessing=replace(own, mean=half, std=half))


def state_bgr(directory: Path, tools: Tools, crops: Any) -> None:
    own = Bundle.open(directory).manifest.preprocessing
    tools["seal"](directory, preprocessing=replace(own, color="BGR"))


def expect_bgr(directory: Path, tools: Tools, crops: Any) -> None:
    """The manifest says RGB, but the network was converted for BGR."""

    def flip(name: str, array: Any) -> Any:
        return array[:, ::-1] if array.ndim == 4 and array.shape[1] == 3 else array

    _change_weights(directory / "engine.onnx", flip)
    tools["seal"](directory)


def stale_table(directory: Path, tools: Tools, crops: Any) -> None:
    """The network was trained on and quantized with the table of the one before."""
    from edgereid.calibration.table import CalibrationTable

    table = CalibrationTable.load(directory / "calibration.json")

    def grow(name: str, array: Any) -> Any:
        return array * 3 if array.ndim == 4 and array.shape[1] == 3 else array

    _change_weights(directory / "model.onnx", grow)
    tools["quantize"](directory, crops, table)
    tools["seal"](directory)


def stale_table_that_lies(directory: Path, tools: Tools, crops: Any) -> None:
    """The same, and the table names the new network as its own."""
    from edgereid.calibration.table import CalibrationTable
    from edgereid.files import sha256

    stale_table(directory, tools, crops)
    table = CalibrationTable.load(directory / "calibration.json")
    facts = {"model": sha256(directory / "model.onnx")}
    replace(table, provenance=facts).save(directory / "calibration.json")
    tools["seal"](directory)


@dataclass(frozen=True, slots=True)
class Case:
    """A damage and one of the parts that must fail."""

    damage: Callable[[Path, Tools, Any], None]
    caught_by: str


CASES = (
    Case(perturb_weights, "agreement"),
    Case(scramble_weights, "agreement"),
    Case(swap_mean_and_std, "preprocessing"),
    Case(other_normalisation, "preprocessing"),
    Case(state_bgr, "preprocessing"),
    Case(expect_bgr, "preprocessing"),
    Case(stale_table, "calibration table"),
    Case(stale_table_that_lies, "agreement"),
)


def damage(case: Case, sound: Path, crops: Any, tools: Tools, tmp_path: Path) -> tuple[Path, Path]:
    """The damaged bundle and its reference."""
    damaged = tmp_path / "damaged"
    shutil.copytree(sound, damaged)
    case.damage(damaged, tools, crops)
    # What was trained on has another network; otherwise the sound one is the reference.
    own = case.damage in (stale_table, stale_table_that_lies)
    return damaged, damaged if own else sound


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.damage.__name__)
def test_a_damaged_engine_fails(
    case: Case,
    sound: Path,
    drawn: Path,
    training_crops: Any,
    tools: Tools,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damaged, reference = damage(case, sound, training_crops, tools, tmp_path)
    code, result = gate(capsys, damaged, drawn, "--reference", reference)
    assert code == 1, result
    assert case.caught_by in failed(result), result


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda c: c.damage.__name__)
def test_a_damaged_dslnet_fails_or_is_not_even_made(
    case: Case,
    shipped: Path,
    drawn: Path,
    tools: Tools,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = sorted((drawn / "bounding_box_train").glob("*.jpg"))[:32]
    crops = load_batch(paths, Bundle.open(shipped).manifest.preprocessing)
    try:
        damaged, reference = damage(case, shipped, crops, tools, tmp_path)
    except InputError:
        if case.damage not in (stale_table, stale_table_that_lies):
            raise
        return  # the export refuses to make an engine that far off
    code, result = gate(capsys, damaged, drawn, "--reference", reference)
    assert code == 1, result
    assert failed(result), result


def test_a_sound_engine_does_not_fail(
    sound: Path, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, result = gate(capsys, sound, drawn)
    assert failed(result) == set()
    assert code == 2  # 12 people do not tell half a point
    assert result["needed_identities"] is None or result["needed_identities"] > 12


def test_an_engine_does_not_lose_against_itself(
    sound: Path, drawn: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    engine = sound / "engine.onnx"
    flags = ("--reference", engine, "--max-rank1-drop", "30")
    code, result = gate(capsys, engine, drawn, *flags)
    assert (code, result["verdict"]) == (0, "pass")
    assert all(m["drop"] == 0 for m in result["measures"])
    assert result["images_run"]["candidate"] == 0  # the reference's features are its own


def test_a_changed_byte_is_refused(
    sound: Path, drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed = tmp_path / "changed"
    shutil.copytree(sound, changed)
    content = bytearray((changed / "engine.onnx").read_bytes())
    content[len(content) // 2] ^= 1
    (changed / "engine.onnx").write_bytes(content)
    assert main(["gate", str(changed), "--data", str(drawn)]) == 5
    assert "engine.onnx" in capsys.readouterr().err
