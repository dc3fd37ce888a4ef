"""--table: ranges from elsewhere belong to one network; the images are prepared as the export's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edgereid.calibration.images import CalibrationImages
from edgereid.calibration.scheme import Range
from edgereid.calibration.table import CalibrationTable, Entry
from edgereid.errors import InputError, UsageError
from edgereid.export.options import ExportOptions
from edgereid.export.ranges import ranges_of
from edgereid.export.repair.files import equalizing
from edgereid.export.repair.options import RepairOptions
from edgereid.files import sha256
from edgereid.images import Preprocessing

NO_IMAGES = CalibrationImages((), "nowhere")


@pytest.fixture
def options(tmp_path: Path) -> ExportOptions:
    (tmp_path / "model.onnx").write_bytes(b"a model")
    entry = Entry(0.0, 1.0, 1, "minmax", {"uint8": Range(0.0, 1.0)})
    provenance = {"model": sha256(tmp_path / "model.onnx")}
    CalibrationTable({"images": entry}, provenance).save(tmp_path / "table.json")
    return ExportOptions("dslnet", tmp_path / "out", int8=True, table=tmp_path / "table.json")


def given(options: ExportOptions, preprocessing: Preprocessing) -> CalibrationTable:
    model = options.out.with_name("model.onnx")
    return ranges_of(options, model, NO_IMAGES, preprocessing, ("openvino",), 1)


def test_a_given_table_says_how_this_exports_images_are_prepared(options: ExportOptions) -> None:
    """Repairs and search read it there; the table of another tool need not have it."""
    preprocessing = Preprocessing(16, 8)
    table = given(options, preprocessing)
    assert table.provenance["preprocessing"] == preprocessing.to_json()
    assert table.entries["images"].ranges == {"uint8": Range(0.0, 1.0)}


def test_the_table_of_another_model_is_refused(options: ExportOptions) -> None:
    options.out.with_name("model.onnx").write_bytes(b"another")
    with pytest.raises(InputError, match="another network"):
        given(options, Preprocessing(16, 8))


def test_a_table_and_equalisation_do_not_go_together(options: ExportOptions) -> None:
    """It may be bound to weights alone, and those are no longer the network's once equalised."""
    both = replace(options, repairs=RepairOptions(equalize=True))
    with pytest.raises(UsageError, match="--table"):
        equalizing(None, both, ("openvino",), 1)  # type: ignore[arg-type]
