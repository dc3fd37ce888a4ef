"""Decoding and preprocessing, against the formula, torchvision and damaged files."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from PIL import Image

from edgereid import images
from edgereid.errors import InputError
from edgereid.images import (
    Preprocessing,
    decode,
    iter_batches,
    load_batch,
    normalise,
    resize,
)

MARKET = Preprocessing(height=256, width=128)


def noise(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, size=shape, dtype=np.uint8)


@pytest.fixture
def crop(tmp_path: Path) -> Path:
    path = tmp_path / "0001_c1s1_000001_00.jpg"
    Image.fromarray(noise(128, 64)).save(path)
    return path


# Arithmetic


PIXELS = hnp.arrays(
    np.uint8, hnp.array_shapes(min_dims=2, max_dims=4, max_side=5).map(lambda shape: (*shape, 3))
)


@given(
    pixels=PIXELS,
    color=st.sampled_from(["RGB", "BGR"]),
    mean=st.tuples(*[st.floats(0, 1)] * 3),
    std=st.tuples(*[st.floats(0.05, 1)] * 3),
)
def test_normalising_is_the_formula_channel_by_channel(
    pixels: NDArray[np.uint8], color: str, mean: Any, std: Any
) -> None:
    out = normalise(pixels, Preprocessing(4, 4, color=color, mean=mean, std=std))
    assert out.dtype == np.float32
    assert out.flags.c_contiguous
    for place, channel in enumerate(["RGB".index(c) for c in color]):
        expected = (pixels[..., channel].astype(np.float64) / 255 - mean[place]) / std[place]
        np.testing.assert_allclose(out[..., place, :, :], expected, atol=5e-6)


def test_a_batch_is_what_torchvision_makes_of_it(crop: Path) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    for p in (
        MARKET,
        Preprocessing(384, 128, interpolation="bicubic"),
        Preprocessing(64, 32, interpolation="nearest"),
    ):
        modes = transforms.InterpolationMode
        reference = transforms.Compose(
            [
                transforms.Resize((p.height, p.width), modes(p.interpolation)),
                transforms.ToTensor(),
                transforms.Normalize(p.mean, p.std),
            ]
        )
        expected = reference(Image.open(crop).convert("RGB")).numpy()
        np.testing.assert_allclose(load_batch([crop], p)[0], expected, atol=2e-6)


def test_bilinear_shrinking_by_two_averages_with_the_weights_of_a_triangle() -> None:
    """Antialiased: the triangle filter widened to the scale, which plain bilinear is not."""
    column = np.zeros((8, 1, 3), np.uint8)
    column[3] = 240
    out = resize(Image.fromarray(column), Preprocessing(4, 1))[:, 0, 0]
    # Row 3 has its centre at 3.5. Output 1 has its centre at 3.0, 0.5 away: weight (1 - 0.5/2) / 2.
    # Output 2 has its centre at 5.0, 1.5 away: weight (1 - 1.5/2) / 2.
    assert out.tolist() == [0, 90, 30, 0]


def test_resizing_to_the_same_size_changes_nothing() -> None:
    pixels = noise(8, 4)
    for name in ("nearest", "bilinear", "bicubic"):
        p = Preprocessing(8, 4, interpolation=name)
        assert np.array_equal(resize(Image.fromarray(pixels), p), pixels)


@pytest.mark.parametrize(
    "pixels",
    [noise(4, 4).astype(np.float32), noise(4, 4, 4), noise(4, 4, 1), np.zeros((3, 4, 4), np.uint8)],
)
def test_pixels_of_another_kind_are_refused(pixels: Any) -> None:
    with pytest.raises(InputError, match=r"need \(\.\.\., H, W, 3\) uint8, not"):
        normalise(pixels, MARKET)


# Preprocessing


@given(
    height=st.integers(1, 4096),
    width=st.integers(1, 4096),
    color=st.sampled_from(["RGB", "BGR"]),
    mean=st.tuples(*[st.floats(-10, 10)] * 3),
    std=st.tuples(*[st.floats(1e-3, 10)] * 3),
    interpolation=st.sampled_from(["nearest", "bilinear", "bicubic"]),
)
def test_a_preprocessing_comes_back_from_json(**fields: Any) -> None:
    p = Preprocessing(**fields)
    assert Preprocessing.from_json(p.to_json()) == p


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"color": "GRB"}, "RGB or BGR"),
        ({"interpolation": "area"}, "nearest, bilinear, bicubic"),
        ({"height": 0}, "outside 1..4096"),
        ({"width": 5000}, "outside 1..4096"),
        ({"std": (1.0, 0.0, 1.0)}, "not above zero"),
        ({"std": (1.0, float("nan"), 1.0)}, "finite"),
        ({"mean": (float("inf"), 0.0, 0.0)}, "finite"),
        ({"mean": (0.0, 0.0)}, "three finite values"),
    ],
)
def test_a_preprocessing_that_makes_no_sense_is_refused(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        replace(MARKET, **change)


# Decoding


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "webp", "ppm"])
@pytest.mark.parametrize("mode", ["RGB", "L", "1", "CMYK", "RGBA", "LA", "P"])
def test_every_kind_of_image_becomes_rgb(tmp_path: Path, suffix: str, mode: str) -> None:
    image = Image.fromarray(noise(32, 16)).convert(mode)
    path = tmp_path / f"x.{suffix}"
    try:
        image.save(path)
    except (OSError, ValueError):
        pytest.skip(f"{suffix} cannot hold {mode}")
    decoded = decode(path)
    assert decoded.mode == "RGB"
    assert decoded.size == (16, 32)
    if suffix not in ("jpg", "webp") and mode in ("RGB", "L", "1"):
        assert np.array_equal(np.asarray(decoded), np.asarray(image.convert("RGB")))


def test_grey_is_repeated_and_transparency_falls_on_black(tmp_path: Path) -> None:
    Image.new("L", (2, 2), 77).save(tmp_path / "grey.png")
    assert decode(tmp_path / "grey.png").getpixel((0, 0)) == (77, 77, 77)
    Image.new("RGBA", (2, 2), (200, 100, 50, 0)).save(tmp_path / "clear.png")
    assert decode(tmp_path / "clear.png").getpixel((0, 0)) == (0, 0, 0)
    Image.new("RGBA", (2, 2), (200, 100, 50, 255)).save(tmp_path / "opaque.png")
    assert decode(tmp_path / "opaque.png").getpixel((0, 0)) == (200, 100, 50)
    palette = Image.new("P", (2, 2), 0)
    palette.putpalette([200, 100, 50, 1, 2, 3])
    palette.save(tmp_path / "palette.png", transparency=0)
    assert decode(tmp_path / "palette.png").getpixel((0, 0)) == (0, 0, 0)


def test_the_rotation_that_a_camera_notes_is_ignored_as_the_datasets_do(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    Image.fromarray(noise(32, 16)).save(tmp_path / "x.jpg", exif=exif)
    assert decode(tmp_path / "x.jpg").size == (16, 32)


def truncated(path: Path) -> None:
    Image.fromarray(noise(128, 64)).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[:-500])


def header_only(path: Path) -> None:
    Image.fromarray(noise(128, 64)).save(path, format="JPEG")
    path.write_bytes(path.read_bytes()[:200])


def broken_png(path: Path) -> None:
    Image.fromarray(noise(128, 64)).save(path, format="PNG")
    data = bytearray(path.read_bytes())
    data[1000] ^= 0xFF
    path.write_bytes(bytes(data))


def sixteen_bits(path: Path) -> None:
    Image.fromarray(noise(8, 8, 1).astype(np.uint16) * 257).save(path, format="PNG")


def postscript(path: Path) -> None:
    """Pillow would start Ghostscript on it."""
    path.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")


DAMAGE: dict[str, tuple[Callable[[Path], Any], str]] = {
    "empty": (lambda path: path.touch(), "is not an image"),
    "text": (lambda path: path.write_text("not a picture\n" * 50), "is not an image"),
    "random bytes": (lambda path: path.write_bytes(noise(50, 50).tobytes()), "is not an image"),
    "cut off": (truncated, "is corrupt .*truncated"),
    "cut off in the header": (header_only, "is corrupt|is not an image"),
    "a changed byte": (broken_png, "is corrupt"),
    "sixteen bits": (sixteen_bits, "more than eight bits"),
    "PostScript": (postscript, "is not an image that can be decoded .JPEG, PNG"),
    "a directory": (lambda path: path.mkdir(), "Is a directory"),
    "missing": (lambda path: None, "No such file"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_file_is_named_in_one_line(tmp_path: Path, kind: str) -> None:
    make, message = DAMAGE[kind]
    path = tmp_path / "0002_c1s1_000001_00.jpg"
    make(path)
    with pytest.raises(InputError, match=message) as caught:
        decode(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("side", [8_000, 12_000, 20_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_an_image_of_far_too_many_pixels_is_refused_before_it_is_decoded(
    tmp_path: Path, side: int
) -> None:
    """64, 144 and 400 million pixels: below, at and above Pillow's own two limits."""
    path = tmp_path / "bomb.ppm"
    path.write_bytes(b"P6 %d %d 255\n" % (side, side))  # a header only: decoding would say so
    with pytest.raises(InputError, match="more than 50,000,000"):
        decode(path)


# Batches


@pytest.fixture
def crops(tmp_path: Path) -> list[Path]:
    """23 crops, each of one colour, so that a crop is known by its embedding."""
    paths = []
    for i in range(23):
        path = tmp_path / f"{i:04}.png"
        Image.new("RGB", (4, 8), (i * 10, 0, 0)).save(path)
        paths.append(path)
    return paths


SMALL = Preprocessing(8, 4, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))


@pytest.mark.parametrize("workers", [1, 2, 5])
@pytest.mark.parametrize("batch_size", [1, 4, 23, 100])
def test_batches_come_in_the_order_of_the_files_whatever_thread_is_first(
    crops: list[Path], monkeypatch: pytest.MonkeyPatch, batch_size: int, workers: int
) -> None:
    real = images.load_batch

    def slow_at_first(paths: list[Path], preprocessing: Preprocessing) -> NDArray[np.float32]:
        time.sleep(0.01 if paths[0] == crops[0] else 0)
        return real(paths, preprocessing)

    monkeypatch.setattr(images, "load_batch", slow_at_first)
    batches = list(iter_batches(crops, SMALL, batch_size, workers))
    sizes = [len(b) for b in batches]
    assert sizes == [batch_size] * (23 // batch_size) + [23 % batch_size] * (23 % batch_size > 0)
    red = np.concatenate(batches)[:, 0, 0, 0]
    np.testing.assert_allclose(red, np.arange(23) * 10 / 255, atol=1e-6)


@pytest.mark.parametrize("workers", [1, 3])
def test_no_more_batches_are_begun_than_may_be_in_memory(
    crops: list[Path], monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    begun, lock, real = [0], threading.Lock(), images.load_batch

    def counted(paths: list[Path], preprocessing: Preprocessing) -> NDArray[np.float32]:
        with lock:
            begun[0] += 1
        return real(paths, preprocessing)

    monkeypatch.setattr(images, "load_batch", counted)
    for received, _ in enumerate(iter_batches(iter(crops), SMALL, 2, workers), start=1):
        time.sleep(0.002)  # time for a reader that runs ahead to do so
        assert begun[0] <= received + workers


def test_a_corrupt_file_stops_the_batches_at_its_place(crops: list[Path]) -> None:
    crops[5].write_bytes(b"")
    batches = iter_batches(crops, SMALL, 2)
    assert len(next(batches)) == len(next(batches)) == 2
    with pytest.raises(InputError, match=r"0005\.png"):
        next(batches)


def test_a_reader_that_stops_early_leaves_no_threads(crops: list[Path]) -> None:
    before = threading.active_count()
    batches = iter_batches(crops, SMALL, 1, workers=3)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_no_files_are_no_batches_but_an_empty_batch_is_an_error() -> None:
    assert list(iter_batches([], SMALL, 4)) == []
    with pytest.raises(InputError, match="at least one"):
        load_batch([], SMALL)
    with pytest.raises(InputError, match="batch size 0"):
        next(iter_batches([], SMALL, 0))
    with pytest.raises(InputError, match="0 workers"):
        next(iter_batches([], SMALL, 1, workers=0))
