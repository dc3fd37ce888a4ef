"""Repairs beside a model: written and read back, taken along by the writer, refused where wrong."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from edgereid.calibration.table import CalibrationTable
from edgereid.errors import InputError, UsageError
from edgereid.export.graph import Graph
from edgereid.export.policy import OPENVINO
from edgereid.export.qdq import quantize
from edgereid.export.repair import steps
from edgereid.export.repair.judge import Judge
from edgereid.export.repair.mended import (
    Mended,
    load_mended,
    mended_file,
    quantize_stored,
    save_mended,
)
from edgereid.export.repair.options import RepairOptions
from edgereid.export.repair.steps import Repaired, mend
from edgereid.export.weight_codes import WeightCodes
from tests.export.repair.conftest import evaluate

CODES = WeightCodes(
    np.arange(-108, 108, dtype=np.int64).reshape(8, 3, 3, 3).clip(-127, 127).astype(np.int8),
    np.linspace(0.1, 0.8, 8, dtype=np.float32),
    0,
)
SHIFT = np.linspace(-1, 1, 8, dtype=np.float32)
MENDED = Mended({"stem.weight": CODES}, {"stem": SHIFT, "s1.0/odd name:ü": SHIFT})


def test_what_is_written_is_read_back_and_the_bytes_are_always_the_same(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        save_mended(MENDED, mended_file(tmp_path / name, "openvino"))
    first, second = (mended_file(tmp_path / n, "openvino").read_bytes() for n in ("a", "b"))
    assert first == second
    back = load_mended(tmp_path / "a", "openvino")
    assert back.codes.keys() == MENDED.codes.keys()
    np.testing.assert_array_equal(back.codes["stem.weight"].integers, CODES.integers)
    np.testing.assert_array_equal(back.codes["stem.weight"].scale, CODES.scale)
    assert back.shifts.keys() == MENDED.shifts.keys()
    np.testing.assert_array_equal(back.shifts["stem"], SHIFT)


def test_without_a_file_the_model_is_quantised_as_it_is(
    small: Any, table: CalibrationTable, tmp_path: Path
) -> None:
    got, _ = quantize_stored(tmp_path, "openvino", small, table, OPENVINO)
    assert got.SerializeToString() == quantize(small, table, OPENVINO)[0].SerializeToString()


def test_the_writer_stores_the_given_integers_scales_and_biases(
    small: Any, table: CalibrationTable, tmp_path: Path
) -> None:
    save_mended(Mended({"stem.weight": CODES}, {"stem": SHIFT}), mended_file(tmp_path, "openvino"))
    model, _ = quantize_stored(tmp_path, "openvino", small, table, OPENVINO)
    stored, before = Graph(model).weights, Graph(small).weights
    np.testing.assert_array_equal(stored["stem.weight/q"], CODES.integers)
    np.testing.assert_array_equal(stored["stem.weight/scale"], CODES.scale)
    np.testing.assert_array_equal(stored["stem/bias"], before["stem.bias"] + SHIFT)


def test_a_layer_that_is_kept_in_float_has_its_own_weights_and_bias(
    small: Any, table: CalibrationTable
) -> None:
    mended = Mended({"stem.weight": CODES}, {"stem": SHIFT})
    got, _ = mended.quantize(small, table, OPENVINO, keep=["stem"])
    want, _ = quantize(small, table, OPENVINO, keep=["stem"])
    assert got.SerializeToString() == want.SerializeToString()


def archive(**arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def pickled() -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **{"shift:0:a": np.array([print], dtype=object)})
    return buffer.getvalue()


def bomb() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for i in range(3):
            file.writestr(f"shift:0:{i}.npy", b"x" * 10)
    data = bytearray(buffer.getvalue())
    while (at := data.find(b"PK\x01\x02")) >= 0:  # the directory's sizes say 2 GiB each
        data[at : at + 4] = b"pk\x01\x02"
        data[at + 24 : at + 28] = (1 << 31).to_bytes(4, "little")
    return bytes(data.replace(b"pk\x01\x02", b"PK\x01\x02"))


INTEGERS = {"integers:0:w": CODES.integers}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: b"no archive", "cannot be read"),
        (pickled, "cannot be read"),
        (bomb, "bytes of arrays"),
        (lambda: archive(**INTEGERS), "cannot be read"),
        (lambda: archive(**INTEGERS, **{"scale:0:w": np.ones(3, np.float32)}), "one scale for"),
        (lambda: archive(**{"other:0:w": SHIFT}), "an array 'other:0:w'"),
        (lambda: archive(**{"shift:0:w": SHIFT * np.nan}), "the bias of 'w'"),
        (lambda: archive(**{"shift:0:w": SHIFT.astype(np.float64)}), "the bias of 'w'"),
        (lambda: archive(nothing=SHIFT), "cannot be read"),
    ],
)
def test_a_file_that_is_no_such_file_is_refused(
    make: Callable[[], bytes], message: str, tmp_path: Path
) -> None:
    mended_file(tmp_path, "openvino").write_bytes(make())
    with pytest.raises(InputError, match=message):
        load_mended(tmp_path, "openvino")


@pytest.mark.parametrize(
    ("mended", "message"),
    [
        (Mended({}, {"nobody": SHIFT}), "'nobody'"),
        (Mended({"nothing": CODES}), "'nothing', which is no weight"),
        (Mended({"mid.weight": CODES}), "'mid.weight' have shape"),
        (Mended({}, {"last": SHIFT}), "'last' is changed by"),
    ],
)
def test_repairs_of_another_model_are_refused(
    small: Any, table: CalibrationTable, mended: Mended, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        mended.quantize(small, table, OPENVINO)


def test_all_steps_together_bring_the_network_nearer_and_are_reported(
    small: Any, table: CalibrationTable, crops: np.ndarray
) -> None:
    (reference,) = evaluate(small, crops[30:])
    judge = Judge(crops[30:], reference, threads=1)
    options = RepairOptions(scales="mse", bias_correction=True, rounding="learned")
    repaired = mend(small, table, OPENVINO, crops[:30], options, judge)
    mended, errors = repaired.mended, repaired.errors
    assert list(errors) == ["none", "weight_scales", "rounding", "bias_correction"]
    assert errors["bias_correction"] < errors["none"]
    model, _ = mended.quantize(small, table, OPENVINO)
    assert judge.error(model) == pytest.approx(errors["bias_correction"], abs=1e-8)
    assert judge.error(small) == pytest.approx(0, abs=1e-6)
    nothing = mend(small, table, OPENVINO, crops[:30], RepairOptions(rounding="nearest"), judge)
    assert nothing == Repaired(Mended(), {"none": errors["none"]}, {})


@pytest.mark.parametrize("choice", ["auto", "learned"])
def test_rounding_that_does_harm_is_undone_unless_it_was_insisted_on(
    choice: str,
    small: Any,
    table: CalibrationTable,
    crops: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (reference,) = evaluate(small, crops[30:])
    judge = Judge(crops[30:], reference, threads=1)

    def spoil(quantised: Any, model: Any, layers: Any, codes: Any, *rest: Any) -> Any:
        return {n: replace(c, integers=np.roll(c.integers, 1)) for n, c in codes.items()}

    monkeypatch.setattr(steps, "learn_codes", spoil)
    repaired = mend(small, table, OPENVINO, crops[:30], RepairOptions(rounding=choice), judge)
    if choice == "auto":
        assert repaired.mended == Mended()
        assert list(repaired.errors) == ["none"]
        assert repaired.undone["rounding"] > repaired.errors["none"]
    else:
        assert repaired.mended.codes
        assert repaired.errors["rounding"] > repaired.errors["none"]
        assert not repaired.undone


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scales": "max"}, "--weight-scales 'max': minmax, mse"),
        ({"rounding": "up"}, "--rounding 'up': auto, learned, nearest"),
    ],
)
def test_unknown_repairs_are_refused(wrong: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        RepairOptions(**wrong)  # type: ignore[arg-type]
