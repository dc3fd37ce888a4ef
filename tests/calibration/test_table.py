"""The table's bytes are fixed, and nothing but a table is read as one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.calibration.histogram import Histogram
from edgereid.calibration.scheme import INT8, UINT8, UINT8_AFFINE, Range
from edgereid.calibration.table import CalibrationTable, Entry, decide
from edgereid.calibration.thresholds import Decision
from edgereid.errors import InputError

TABLE = CalibrationTable(
    {
        "stem/Relu": Entry(0.0, 6.5, 4096, "mse", {"uint8": Range(0.0, 6.0)}),
        "images": Entry(-2.0, 2.5, 12, "minmax", {"int8": Range(-2.0, 2.5)}),
    },
    {"images": "ab" * 32, "number": 2},
)
GOLDEN = b"""{
  "provenance": {
    "images": "abababababababababababababababababababababababababababababababab",
    "number": 2
  },
  "schema": 1,
  "tensors": {
    "images": {
      "count": 12,
      "method": "minmax",
      "ranges": {
        "int8": [
          -2.0,
          2.5
        ]
      },
      "seen": [
        -2.0,
        2.5
      ]
    },
    "stem/Relu": {
      "count": 4096,
      "method": "mse",
      "ranges": {
        "uint8": [
          0.0,
          6.0
        ]
      },
      "seen": [
        0.0,
        6.5
      ]
    }
  }
}
"""


def test_a_table_is_written_byte_for_byte_as_ever(tmp_path: Path) -> None:
    TABLE.save(tmp_path / "t.json")
    assert (tmp_path / "t.json").read_bytes() == GOLDEN


def test_a_table_survives_the_file(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_bytes(GOLDEN)
    assert CalibrationTable.load(tmp_path / "t.json") == TABLE


def test_a_table_knows_the_range_for_each_grid_that_was_asked_for() -> None:
    h = Histogram("x")
    h.add(np.array([0, 1, 2], np.float32))
    table = decide([h], {"x": (INT8, UINT8)}, Decision("minmax"), {})
    assert table.range("x", INT8) == table.range("x", UINT8) == Range(0.0, 2.0)
    assert table.entry("x").nonnegative
    with pytest.raises(InputError, match=r"no uint8_affine range of tensor 'x'.*int8, uint8"):
        table.range("x", UINT8_AFFINE)
    with pytest.raises(InputError, match="no tensor 'y'"):
        table.range("y", INT8)


def test_a_target_has_its_own_ranges_and_shares_the_rest(tmp_path: Path) -> None:
    own = Entry(-2.0, 2.5, 12, "mse", {"int8": Range(-1.5, 1.5)})
    table = replace(TABLE, targets={"openvino": {"images": own}})
    table.save(tmp_path / "t.json")
    written = json.loads((tmp_path / "t.json").read_bytes())
    assert written["schema"] == 2
    assert written["targets"]["openvino"]["images"]["ranges"] == {"int8": [-1.5, 1.5]}
    assert {**written, "schema": 1, "targets": 0} == {**json.loads(GOLDEN), "targets": 0}
    loaded = CalibrationTable.load(tmp_path / "t.json")
    assert loaded == table
    assert loaded.of("openvino").range("images", INT8) == Range(-1.5, 1.5)
    assert loaded.of("openvino").range("stem/Relu", UINT8) == Range(0.0, 6.0)
    assert loaded.of("onnxruntime").range("images", INT8) == Range(-2.0, 2.5)
    assert loaded.of("openvino").provenance == TABLE.provenance


def change(**changes: Any) -> str:
    value = json.loads(GOLDEN)
    value["tensors"]["images"] |= changes
    return json.dumps(value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "schema 'list'"),
        ("{}", "schema None"),
        ('{"schema": 3}', "schema 3; this edgereid reads 1 and 2"),
        ('{"schema": 2, "provenance": {}, "tensors": {}}', "cannot be read"),
        ('{"schema": 2, "provenance": {}, "tensors": {}, "targets": []}', "cannot be read"),
        ('{"schema": 2, "provenance": {}, "tensors": {}, "targets": {"x": 1}}', "cannot be read"),
        ('{"schema": 1}', "cannot be read"),
        ('{"schema": 1, "provenance": {}, "tensors": []}', "cannot be read"),
        ("{", "not valid JSON"),
        (change(seen=[3.0, 1.0]), "from 3.0 to 1.0"),
        (change(seen=[3.0]), "cannot be read"),
        (change(count=0), "0 values"),
        (change(ranges={"int4": [-1.0, 1.0]}), "int4"),
        (change(ranges={"int8": [1.0, 2.0]}), "range holds zero"),
        (change(ranges={"int8": ["a", 2.0]}), "cannot be read"),
        (change(ranges=None), "cannot be read"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(InputError, match=message):
        CalibrationTable.load(tmp_path / "t.json")
