"""The cache of features: what comes back, what is refused, what is removed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgereid.evaluation import cache as module
from edgereid.evaluation.cache import FeatureCache, default_folder

ENGINE = {"runtime": "onnxruntime", "files": ["ab" * 32], "flip": False}


def key(name: object) -> bytes:
    return hashlib.sha256(str(name).encode()).digest()


def features_of(keys: list[bytes], size: int = 3) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A feature that its key determines."""
    rows = [np.frombuffer(k * size, dtype="<u2")[: 2 * size : 2] for k in keys]
    return np.array(rows, dtype=np.float32) / np.float32(7)


@given(
    first=st.lists(st.integers(0, 20), min_size=1, max_size=12),
    second=st.lists(st.integers(0, 20), min_size=1, max_size=12),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_was_stored_comes_back_bit_for_bit(
    first: list[int], second: list[int], tmp_path: Path
) -> None:
    cache = FeatureCache(tmp_path / str(len(list(tmp_path.iterdir()))))
    for part in (first, second):
        keys = [key(i) for i in part]
        cache.store(ENGINE, keys, features_of(keys))
    table = cache.load(ENGINE)
    assert set(table.rows) == {key(i) for i in first + second}
    wanted = [key(i) for i in reversed(first + second)]
    assert np.array_equal(table.take(wanted), features_of(wanted))
    assert key("another") not in table


def test_engines_are_kept_apart(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.store(ENGINE, [key(1)], features_of([key(1)]))
    assert key(1) not in cache.load({**ENGINE, "flip": True})
    other = cache.path({**ENGINE, "flip": True})
    cache.path(ENGINE).rename(other)  # a file under another engine's name is not believed
    assert key(1) not in cache.load({**ENGINE, "flip": True})


def cut(path: Path, data: bytes) -> None:
    path.write_bytes(data[:-5])


def flip_a_bit(path: Path, data: bytes) -> None:
    changed = bytearray(data)
    changed[len(data) // 2] ^= 1
    path.write_bytes(changed)


def resealed(change: Callable[[bytes], bytes]) -> Callable[[Path, bytes], None]:
    """A change by somebody who knows the format."""

    def write(path: Path, data: bytes) -> None:
        body = change(data[:-32])
        path.write_bytes(body + hashlib.sha256(body).digest())

    return write


NAN = np.array([np.nan], dtype="<f4").tobytes()
DAMAGE: dict[str, tuple[Callable[[Path, bytes], Any], str]] = {
    "cut off": (cut, "damaged"),
    "a bit changed": (flip_a_bit, "damaged"),
    "empty": (lambda path, data: path.write_bytes(b""), "no file of features"),
    "something else": (lambda path, data: path.write_bytes(b"x" * 999), "no file of features"),
    "only its first line": (lambda path, data: path.write_bytes(module.MAGIC), "no file of feat"),
    "longer than it says": (resealed(lambda body: body + b"1234"), "length does not fit"),
    "no JSON": (resealed(lambda body: body.replace(b'"count"', b'"count""')), "no JSON"),
    "negative": (resealed(lambda body: body.replace(b'"count": 2', b'"count":-2')), "no sense"),
    "not a number": (resealed(lambda body: body[:-4] + NAN), "NaN"),
    "a directory": (lambda path, data: (path.unlink(), path.mkdir()), "directory"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_not_used_and_a_note_says_so(
    kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = FeatureCache(tmp_path)
    keys = [key(1), key(2)]
    cache.store(ENGINE, keys, features_of(keys))
    path = cache.path(ENGINE)
    damage, reason = DAMAGE[kind]
    damage(path, path.read_bytes())
    assert not cache.load(ENGINE).rows
    note = capsys.readouterr().err
    assert str(path) in note
    assert reason in note
    assert note.count("\n") == 1


def test_the_files_used_longest_ago_make_room(tmp_path: Path) -> None:
    keys = [key(i) for i in range(50)]
    engines = [{**ENGINE, "version": i} for i in range(4)]
    big = FeatureCache(tmp_path)
    for age, engine in enumerate(engines[:3]):
        big.store(engine, keys, features_of(keys))
        os.utime(big.path(engine), (1000 - age, 1000 - age))
    one = big.path(engines[0]).stat().st_size
    big.load(engines[2])  # used again: now the newest
    limit = 3 * one + one // 2
    small = FeatureCache(tmp_path, limit=max(limit, module._bytes(50, 3)))
    (tmp_path / "somebody.else").write_bytes(b"x" * one)
    while sum(p.stat().st_size for p in tmp_path.glob("*.features")) + one < small.limit:
        filler = {**ENGINE, "filler": len(list(tmp_path.iterdir()))}
        big.store(filler, keys, features_of(keys))
        os.utime(big.path(filler), (2000, 2000))
    small.store(engines[3], keys, features_of(keys))
    assert not big.path(engines[1]).exists()  # the oldest
    assert big.load(engines[2]).rows
    assert big.load(engines[3]).rows
    assert (tmp_path / "somebody.else").exists()
    assert sum(p.stat().st_size for p in tmp_path.glob("*.features")) <= small.limit


def test_features_beyond_the_limit_are_not_kept_and_a_note_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = FeatureCache(tmp_path, limit=1000)
    cache.store(ENGINE, [key(1)], features_of([key(1)]))
    assert list(tmp_path.iterdir()) == []
    assert "more than 1,000 bytes" in capsys.readouterr().err


def test_a_table_that_has_grown_too_large_starts_anew(tmp_path: Path) -> None:
    limit = module._bytes(3, 3)
    cache = FeatureCache(tmp_path, limit=limit)
    for name in ("old", "new"):
        keys = [key(f"{name} {i}") for i in range(2)]
        cache.store(ENGINE, keys, features_of(keys))
    assert set(cache.load(ENGINE).rows) == {key("new 0"), key("new 1")}


def test_what_cannot_be_removed_from_a_shared_folder_stays(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path, limit=module._bytes(2, 8000))
    (tmp_path / f"old{module.SUFFIX}").mkdir()  # as somebody else's file: it cannot be unlinked
    os.utime(tmp_path / f"old{module.SUFFIX}", (0, 0))
    for name in "ab":
        engine, keys = {**ENGINE, "version": name}, [key(f"{name} {i}") for i in range(2)]
        cache.store(engine, keys, features_of(keys, 8000))
        assert cache.load(engine).rows
    assert len(list(tmp_path.iterdir())) == 2  # the folder, and the newer of the two


def test_features_of_another_size_replace_what_was_kept(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path)
    cache.store(ENGINE, [key(1), key(2)], features_of([key(1), key(2)], 3))
    cache.store(ENGINE, [key(2), key(3)], features_of([key(2), key(3)], 5))
    table = cache.load(ENGINE)
    assert set(table.rows) == {key(2), key(3)}
    assert np.array_equal(table.take([key(2)]), features_of([key(2)], 5))


def test_a_folder_that_cannot_be_written_is_a_note(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    cache = FeatureCache(tmp_path / "file" / "cache")
    cache.store(ENGINE, [key(1)], features_of([key(1)]))
    assert "not cached" in capsys.readouterr().err


def test_the_default_folder_follows_the_xdg_rules(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_folder() == tmp_path / "edgereid" / "features"
    for value in ("", "relative/path"):  # the rules say: to be ignored
        monkeypatch.setenv("XDG_CACHE_HOME", value)
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        assert default_folder() == tmp_path / "home" / ".cache" / "edgereid" / "features"
