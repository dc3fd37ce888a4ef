"""What is checked about an output before the work."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edgereid.cli.main import main
from edgereid.cli.outputs import cache_folder, check_output
from edgereid.errors import StorageError, UsageError


def test_a_new_name_an_old_file_and_new_folders_are_fine(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    for name in ("new", "old", "some/new/folders/file"):
        check_output(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["old"]


BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "a folder": (Path.mkdir, "", "is a folder"),
    "below a file": (lambda p: p.write_text("x"), "x.html", "is no folder"),
    "below a loop of links": (lambda p: os.symlink(p, p), "x.html", "is no folder"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_cannot_be_a_file_is_refused_before_the_work(
    tmp_path: Path, case: str, capsys: pytest.CaptureFixture[str]
) -> None:
    make, below, message = BAD[case]
    make(tmp_path / "out")
    out = tmp_path / "out" / below
    with pytest.raises(UsageError, match=message):
        check_output(out)
    for command in ("eval", "show"):  # neither engine nor dataset was looked for
        assert main([command, "none.onnx", "--data", "none", "--out", str(out)]) == 2
        assert message in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_no_permission_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="no permission"):
        check_output(tmp_path / "x")


def test_one_folder_for_features_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder(None, False) == tmp_path / "edgereid" / "features"
    assert cache_folder(Path("x"), False) == Path("x")
    assert cache_folder(None, True) is None
    with pytest.raises(UsageError, match="contradict"):
        cache_folder(Path("x"), True)
