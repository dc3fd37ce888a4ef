"""Files written whole or not at all: full disks, interruptions, names, digests, JSON."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import resource
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid import files
from edgereid.errors import InputError, StorageError
from edgereid.files import (
    atomic_directory,
    atomic_path,
    dump_json,
    read_json,
    sha256,
    write_bytes,
    write_text,
)

IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def names(directory: Path) -> list[str]:
    return sorted(p.name for p in directory.iterdir())


def raised(error: BaseException) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


def half_written(path: Path, error: BaseException) -> None:
    """What a block does that fails midway."""
    if path.is_dir():
        fill(path, "half")
    else:
        path.write_bytes(b"half")
    raise error


def fill(directory: Path, text: str) -> None:
    (directory / "sub").mkdir()
    (directory / "sub" / "a.txt").write_text(text)
    (directory / "marker.json").write_text("{}")


# One file


def test_a_file_is_written_with_the_permissions_of_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "new" / "a.txt", "grüße")
        assert os.umask(0o027) == 0o027  # untouched
    finally:
        os.umask(before)
    assert (tmp_path / "new" / "a.txt").read_bytes() == "grüße".encode()
    assert stat.S_IMODE((tmp_path / "new" / "a.txt").stat().st_mode) == 0o640
    assert names(tmp_path / "new") == ["a.txt"]


def test_a_write_replaces_the_old_file_as_a_whole_and_follows_links(tmp_path: Path) -> None:
    target, link = tmp_path / "a.json", tmp_path / "link.json"
    target.write_text("old and long")
    link.symlink_to(target)
    write_text(link, "new")
    assert target.read_text() == "new"
    assert link.is_symlink()


def test_a_writer_sees_the_suffix_it_expects_even_of_a_very_long_name(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 250 + ".onnx")
    with atomic_path(path) as temporary:
        assert temporary.suffix == ".onnx"
        assert temporary.parent == path.parent
        temporary.write_bytes(b"x")
    assert path.read_bytes() == b"x"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("mine"), SystemExit(1)])
def test_an_interruption_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: BaseException
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), atomic_path(path) as temporary:
        half_written(temporary, error)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def disk_full() -> OSError:
    return OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class SafetensorError(Exception):
    """Like the one of safetensors: the number is only in the text."""


@pytest.mark.parametrize(
    "error",
    [
        disk_full(),
        OSError(errno.EDQUOT, "Disk quota exceeded"),
        SafetensorError(
            "Error while serializing: I/O error: No space left on device (os error 28)"
        ),
    ],
)
def test_a_full_disk_is_said_in_one_line_and_leaves_nothing(
    tmp_path: Path, error: Exception
) -> None:
    path = tmp_path / "a.bin"
    with (
        pytest.raises(StorageError, match=r"a\.bin: the disk is full\. Nothing was left"),
        atomic_path(path) as temporary,
    ):
        half_written(temporary, error)
    assert names(tmp_path) == []
    assert StorageError.exit_code == 6


def test_a_writer_in_c_that_hides_the_reason_is_understood_by_the_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def attempt() -> None:
        with atomic_path(tmp_path / "a.pt"):
            raise RuntimeError("PytorchStreamWriter failed writing file data/1: file write failed")

    with pytest.raises(RuntimeError, match="PytorchStreamWriter"):
        attempt()
    usage = files.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(files.shutil, "disk_usage", lambda _: usage._replace(free=0))
    with pytest.raises(StorageError, match="the disk is full"):
        attempt()
    assert names(tmp_path) == []


def test_a_failing_stream_in_c_is_an_error_of_writing(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match=r"m\.xml: Input/output error \(is the disk full\?\)"),
        atomic_directory(tmp_path / "m.xml"),
    ):
        raise RuntimeError("basic_ios::clear: iostream error")
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_real_full_device_is_understood(tmp_path: Path) -> None:
    with (
        pytest.raises(StorageError, match="the disk is full"),
        atomic_path(tmp_path / "a.bin"),
        open("/dev/full", "wb", buffering=0) as full,
    ):
        full.write(b"x" * 10)
    assert names(tmp_path) == []


def test_a_file_larger_than_the_system_allows_is_not_left_half_written(tmp_path: Path) -> None:
    """In a process of its own, since the limit cannot be raised again."""
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from edgereid.files import write_bytes\n"
        "from edgereid.errors import StorageError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n"
        "    write_bytes(Path(sys.argv[1]), bytes(5000))\n"
        "except StorageError as error:\n"
        "    print(error)\n"
    )
    assert resource.RLIMIT_FSIZE  # the module exists here
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.bin")],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(files.__file__).parents[1],
    )
    assert "File too large. Nothing was left behind." in done.stdout, done.stderr
    assert names(tmp_path) == []


def test_a_disk_that_is_full_only_when_flushed_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    monkeypatch.setattr(files.os, "fsync", raised(disk_full()))
    with pytest.raises(StorageError, match="the disk is full"):
        write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


def test_a_file_system_without_fsync_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files.os, "fsync", raised(OSError(errno.EINVAL, "Invalid argument")))
    write_bytes(tmp_path / "a.bin", b"new")
    assert (tmp_path / "a.bin").read_bytes() == b"new"


def test_an_error_of_reading_inside_the_block_is_not_called_an_error_of_writing(
    tmp_path: Path,
) -> None:
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "a.bin"):
        (tmp_path / "source.bin").read_bytes()
    with pytest.raises(InputError), atomic_path(tmp_path / "a.bin"):
        raise InputError("No space left on device, says a file we read")
    assert names(tmp_path) == []


def test_a_writer_that_cannot_open_the_temporary_file_is_an_error_of_writing(
    tmp_path: Path,
) -> None:
    with (
        pytest.raises(StorageError, match="Permission denied"),
        atomic_path(tmp_path / "a.bin") as temporary,
    ):
        raise PermissionError(errno.EACCES, "Permission denied", str(temporary))


def test_places_that_cannot_be_written_are_storage_errors(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "directory").mkdir()
    for path, message in (
        (tmp_path / "file" / "a.bin", r"Not a directory|File exists"),
        (tmp_path / "directory", "no regular file"),
        (tmp_path / ("x" * 300), "File name too long"),
        (Path("/dev/null"), "no regular file"),  # and a rename would replace it
    ):
        with pytest.raises(StorageError, match=message):
            write_bytes(path, b"x")
    assert names(tmp_path / "directory") == []
    assert Path("/dev/null").is_char_device()


@pytest.mark.skipif(IS_ROOT, reason="root may write anywhere")
def test_a_directory_without_permission_is_a_storage_error(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="Permission denied"):
        write_bytes(tmp_path / "a.bin", b"x")


# Directories


def test_a_directory_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "bundle"
    with atomic_directory(path) as temporary:
        fill(temporary, "new")
        assert not path.exists()
    assert (path / "sub" / "a.txt").read_text() == "new"
    assert names(path.parent) == ["bundle"]


def test_an_existing_directory_is_replaced_only_on_request(tmp_path: Path) -> None:
    path = tmp_path / "bundle"
    with atomic_directory(path) as temporary:
        fill(temporary, "old")
    with pytest.raises(StorageError, match="exists already"), atomic_directory(path):
        pytest.fail("the block must not run")
    with atomic_directory(path, overwrite=True, marker="marker.json") as temporary:
        (temporary / "marker.json").write_text("[]")
    assert names(path) == ["marker.json"]
    assert names(tmp_path) == ["bundle"]


def test_a_directory_that_is_not_ours_is_never_replaced(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.tex").touch()
    with (
        pytest.raises(StorageError, match=r"holds no marker\.json: it is not replaced"),
        atomic_directory(home, overwrite=True, marker="marker.json"),
    ):
        pytest.fail("the block must not run")
    with (
        pytest.raises(StorageError, match="no directory"),
        atomic_directory(home / "thesis.tex", overwrite=True),
    ):
        pytest.fail("the block must not run")
    assert names(home) == ["thesis.tex"]
    (home / "thesis.tex").unlink()
    with atomic_directory(home, overwrite=True, marker="marker.json") as temporary:
        fill(temporary, "into an empty one")
    assert (home / "marker.json").is_file()


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("error", [KeyboardInterrupt(), disk_full(), ValueError("mine")])
def test_a_failed_directory_leaves_what_was_there(
    tmp_path: Path, overwrite: bool, error: BaseException
) -> None:
    path = tmp_path / "bundle"
    if overwrite:
        path.mkdir()
        fill(path, "old")
    expected = StorageError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected), atomic_directory(path, overwrite=overwrite) as temporary:
        half_written(temporary, error)
    assert names(tmp_path) == (["bundle"] if overwrite else [])
    assert not overwrite or (path / "sub" / "a.txt").read_text() == "old"


def test_a_replacement_that_fails_half_way_puts_the_old_directory_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle"
    path.mkdir()
    fill(path, "old")
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if target == path and (self / "sub" / "a.txt").read_text() == "new":
            raise OSError(errno.EIO, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with (
        pytest.raises(StorageError, match="Input/output error"),
        atomic_directory(path, overwrite=True) as temporary,
    ):
        fill(temporary, "new")
    assert (path / "sub" / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["bundle"]


# JSON and digests


def test_json_has_one_form() -> None:
    assert (
        dump_json({"b": [1, 0.5], "a": "é"})
        == '{\n  "a": "é",\n  "b": [\n    1,\n    0.5\n  ]\n}\n'
    )
    with pytest.raises(ValueError, match="not JSON compliant"):
        dump_json(float("nan"))


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)


@given(value=JSON)
def test_json_comes_back_as_it_was_even_names_that_are_no_unicode(
    value: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "value.json"
    path.write_bytes(dump_json([value, os.fsdecode(b"caf\xe9")]).encode())
    assert read_json(path) == [value, os.fsdecode(b"caf\xe9")]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not valid JSON"),
        (b"{'a': 1}", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
        (b"[NaN]", "NaN is no finite number"),
        (b"[-Infinity]", "-Infinity is no finite number"),
        (b"[1e999]", "1e999 is no finite number"),
        (b'{"a": 1, "a": 2}', "occurs twice"),
        (b"[" * 100_000, "not valid JSON"),
        (b"[" + b"1" * 5000 + b"]", "not valid JSON"),
    ],
)
def test_what_is_not_strict_json_is_an_input_error(
    tmp_path: Path, data: bytes, message: str
) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(data)
    if data.startswith(b"[1111") and not hasattr(sys, "get_int_max_str_digits"):
        pytest.skip("this Python converts integers of any length")
    with pytest.raises(InputError, match=message) as caught:
        read_json(path)
    assert "\n" not in str(caught.value)


def test_a_json_file_that_is_missing_endless_or_too_large_is_an_input_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_json(tmp_path / "none.json")
    with pytest.raises(InputError, match="Is a directory"):
        read_json(tmp_path)
    monkeypatch.setattr(files, "MAX_JSON_BYTES", 2**20)
    path = tmp_path / "large.json"
    path.write_text(json.dumps("x" * 2**20))
    for large in (path, Path("/dev/zero")):
        with pytest.raises(InputError, match="larger than 1 MiB"):
            read_json(large)


@pytest.mark.parametrize("size", [0, 1, 2**20, 2**20 + 1, 3 * 2**20 + 7])
def test_the_digest_is_that_of_hashlib(tmp_path: Path, size: int) -> None:
    data = bytes(range(256)) * (size // 256) + bytes(size % 256)
    (tmp_path / "a").write_bytes(data)
    assert sha256(tmp_path / "a") == hashlib.sha256(data).hexdigest()
    with pytest.raises(InputError, match="cannot read"):
        sha256(tmp_path / "b")
