"""``edgereid data``: the tables, the JSON object, and the exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgereid.cli.main import main

HEADER = "path,pid,camid,split\n"
ROWS = "0.png,1,1,train\n1.png,1,2,train\n2.png,2,1,query\n3.png,2,2,gallery\n"


@pytest.fixture
def table(tmp_path: Path) -> Path:
    for i in range(4):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    (tmp_path / "mine.csv").write_text(HEADER + ROWS)
    return tmp_path


def test_info_counts_without_opening_an_image(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in table.glob("*.png"):
        path.unlink()
    assert main(["data", "info", str(table), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["name"], found["layout"], found["official"]) == ("mine", "csv", None)
    assert found["subsets"]["train"] == {
        "images": 2,
        "persons": 1,
        "cameras": 2,
        "distractors": 0,
        "junk": 0,
    }


def test_a_sound_dataset_ends_with_0(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", str(table)]) == 0
    out, err = capsys.readouterr()
    assert out.endswith("4 files were opened.\nverdict: usable, 0 warnings.\n")
    assert "no official counts" in out
    assert err == ""


def test_warnings_alone_end_with_0(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (table / "mine.csv").write_text(HEADER + ROWS + "3.png,2,2,gallery\n")
    assert main(["data", "check", str(table)]) == 0
    out = capsys.readouterr().out
    assert "warning: files listed twice: 1\n  3.png: gallery and gallery\n" in out
    assert "verdict: usable, 1 warnings." in out


def test_a_broken_dataset_ends_with_3_and_says_why(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (table / "0.png").write_bytes(b"")
    (table / "mine.csv").write_text(HEADER + ROWS + "1.png,2,2,train\n")
    assert main(["data", "check", str(table), "--workers", "1"]) == 3
    out = capsys.readouterr().out
    assert f"BROKEN: images that cannot be decoded: 1\n  {table}/0.png is empty (0 bytes)" in out
    assert "person 2: 1 train, 1 query, 1 gallery images" in out
    assert "1.png: person 1 camera 2 and person 2 camera 2 (train and train)" in out
    assert "verdict: broken" in out


def test_the_json_object_lists_every_finding(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    extra = "".join(f"missing{i}.png,1,1,train\n" for i in range(9))
    (table / "mine.csv").write_text(HEADER + ROWS + extra)
    assert main(["data", "check", str(table), "--json"]) == 3
    found = json.loads(capsys.readouterr().out)
    assert found["broken"] is True
    assert found["files"] == 13
    unreadable = found["findings"]["unreadable"]
    assert (unreadable["count"], len(unreadable["items"]), unreadable["broken"]) == (9, 9, True)
    assert unreadable["items"][0]["subject"] == "missing0.png"
    assert main(["data", "check", str(table)]) == 3
    assert "  and 4 more (--json lists all)\n" in capsys.readouterr().out


def test_counts_stand_beside_the_official_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in (
        "bounding_box_train/0002_c1_f0000001.jpg",
        "query/0001_c1_f0000001.jpg",
        "bounding_box_test/0001_c2_f0000001.jpg",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    assert main(["data", "info", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    (row,) = (line.split() for line in out.splitlines() if line.startswith("gallery"))
    assert row == ["gallery", "1", "17,661", "1", "1,110", "1", "0", "0"]
    assert "differs from DukeMTMC-reID as published: train has 1 images, officially 16,522" in out


def test_a_missing_folder_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["data", "check", "nowhere"]) == 3
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "nowhere: no such folder" in err


def test_an_unknown_layout_is_wrong_use(table: Path) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["data", "check", str(table), "--layout", "no"])
    assert stop.value.code == 2


WITHOUT_H5PY = """
import sys
sys.modules["h5py"] = None
sys.modules["scipy"] = None
from edgereid.cli.main import main
sys.exit(main(["data", "info", sys.argv[1]]))
"""


def test_without_the_readers_of_matlab_files_one_line_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "cuhk-03.mat").write_bytes(b"x")
    (tmp_path / "cuhk03_new_protocol_config_labeled.mat").write_bytes(b"x")
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_H5PY, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 4
    assert 'pip install "edgereid[cuhk03]"' in done.stderr
    assert done.stderr.count("\n") == 1
