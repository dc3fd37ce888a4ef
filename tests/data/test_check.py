"""Every file opened: what cannot be read, what is odd, and a dataset without the bad files."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgereid.data.check import find_unreadable, without
from edgereid.data.inspect_files import inspect_file
from edgereid.data.market1501 import load_market1501
from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.errors import UsageError

Draw = Callable[..., Path]


def png(width: int, height: int, depth: int = 1, colour: int = 0, row_bytes: int = 0) -> bytes:
    """A few bytes that unpack to width x height pixels of zeros."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    row = b"\0" * (1 + (row_bytes or (width + 7) // 8))
    packer = zlib.compressobj()
    data = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def cut(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def loop(path: Path) -> None:
    path.unlink()
    os.symlink(path, path)


def pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def sixteen_bits(path: Path) -> None:
    Image.fromarray(np.arange(48 * 24, dtype=np.uint16).reshape(48, 24)).save(path, format="PNG")


UNREADABLE: dict[str, tuple[Callable[[Path], object], str]] = {
    "zero bytes": (lambda p: p.write_bytes(b""), "is empty (0 bytes)"),
    "text": (lambda p: p.write_text("<html>404</html>"), "not an image that can be decoded"),
    "a cut file": (cut, "is corrupt"),
    "only a header": (lambda p: p.write_bytes(p.read_bytes()[:200]), "is corrupt"),
    "16 bits a channel": (sixteen_bits, "more than eight bits a channel"),
    "a bomb": (lambda p: p.write_bytes(png(20_000, 10_000)), "pixels"),
    "missing": (lambda p: p.unlink(), "not found"),
    "a loop of links": (loop, "Too many levels of symbolic links"),
    "a folder": (folder, "no regular file"),
    "a named pipe": (pipe, "no regular file"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_bad_file_is_reported_with_one_line_that_names_it(market: Path, case: str) -> None:
    damage, message = UNREADABLE[case]
    dataset = load_market1501(market)
    path = dataset.gallery[1].path
    damage(path)
    (found,) = find_unreadable(dataset)
    assert found.path == path
    assert message in found.reason
    assert str(path) in found.reason
    assert "\n" not in found.reason


def test_a_sound_dataset_has_no_unreadable_file(market: Path) -> None:
    assert find_unreadable(load_market1501(market)) == ()


@pytest.mark.parametrize("workers", [1, 3])
def test_unreadable_files_come_in_the_datasets_order_each_once(market: Path, workers: int) -> None:
    dataset = load_market1501(market)
    dataset = replace(dataset, gallery=dataset.gallery * 2)
    bad = [dataset.train[1].path, dataset.query[0].path, dataset.gallery[2].path]
    bad += [record.path for record in dataset.multi_query]
    for path in reversed(bad):
        path.write_bytes(b"")
    assert [found.path for found in find_unreadable(dataset, workers)] == bad


@pytest.mark.parametrize("workers", [0, -1, 257, 10**6])
def test_a_number_of_workers_that_no_system_grants_is_wrong_use(market: Path, workers: int) -> None:
    with pytest.raises(UsageError, match=f"{workers} workers: from 1 to 256"):
        find_unreadable(load_market1501(market), workers)


def test_without_drops_the_files_from_every_subset_and_keeps_the_rest() -> None:
    a, b, c = (ImageRecord(Path(f"{name}.jpg"), 1, 1) for name in "abc")
    dataset = ReidDataset("x", Path("."), (a, b), (b,), (c, b, a), (b, c), "csv")
    assert without(dataset, [Path("b.jpg"), Path("z.jpg")]) == ReidDataset(
        "x", Path("."), (a,), (), (c, a), (c,), "csv"
    )
    assert without(dataset, []) == dataset


def white(path: Path) -> None:
    Image.new("RGB", (24, 48), "white").save(path)


def turned(path: Path, orientation: int) -> None:
    with Image.open(path) as image:
        exif = image.getexif()
        exif[0x0112] = orientation
        image.save(path, exif=exif)


def cmyk(path: Path) -> None:
    with Image.open(path) as image:
        image.convert("CMYK").save(path)


ODD: dict[str, tuple[Callable[[Path, Draw], object], list[tuple[str, str]]]] = {
    "an ordinary crop": (lambda p, draw: draw(p), []),
    "grey": (lambda p, draw: Image.open(draw(p)).convert("L").save(p), []),
    "1x1": (lambda p, draw: draw(p, 0, 1, 1), [("tiny", "1x1 pixels")]),
    "15 wide": (lambda p, draw: draw(p, 0, 40, 15), [("tiny", "15x40 pixels")]),
    "16 wide": (lambda p, draw: draw(p, 0, 40, 16), []),
    "six times as long": (lambda p, draw: draw(p, 0, 120, 20), []),
    "longer still": (lambda p, draw: draw(p, 0, 121, 20), [("aspect", "20x121 pixels")]),
    "lying": (lambda p, draw: draw(p, 0, 20, 121), [("aspect", "121x20 pixels")]),
    "CMYK": (
        lambda p, draw: cmyk(draw(p)),
        [("mode", "mode CMYK is converted to RGB")],
    ),
    "one colour": (
        lambda p, draw: white(p),
        [("flat", "all pixels are (255, 255, 255)")],
    ),
    "turned": (lambda p, draw: turned(draw(p), 6), [("rotated", "EXIF orientation 6")]),
    "said to be upright": (lambda p, draw: turned(draw(p), 1), []),
    "turned in no way there is": (lambda p, draw: turned(draw(p), 9), []),
}


@pytest.mark.parametrize("case", ODD)
def test_what_a_crop_should_not_have_is_named(tmp_path: Path, drawn: Draw, case: str) -> None:
    make, expected = ODD[case]
    make(tmp_path / "a.jpg", drawn)
    found = inspect_file(tmp_path / "a.jpg")
    assert found.reason is None
    assert list(found.traits) == expected


def test_a_palette_is_converted_and_said(tmp_path: Path, drawn: Draw) -> None:
    with Image.open(drawn(tmp_path / "a.png")) as image:
        image.quantize(16).save(tmp_path / "p.png")
    assert [kind for kind, _ in inspect_file(tmp_path / "p.png").traits] == ["mode"]


def test_colours_of_sixteen_bits_are_cut_to_eight_and_said(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(24, 48, depth=16, colour=2, row_bytes=6 * 24))
    found = inspect_file(tmp_path / "a.png")
    assert found.reason is None
    assert ("mode", "16 bits a channel are cut to 8") in found.traits


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_is_no_reason_to_refuse_pixels(tmp_path: Path, drawn: Draw) -> None:
    path = drawn(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*\0\0\xff\xff\xff\xff")
    found = inspect_file(path)
    assert (found.reason, found.traits) == (None, ())
