"""TensorRT's calibration caches: golden bytes, an independent reading of the digits, fuzzing.

No TensorRT ran here. The first golden file is the one that NVIDIA's sampleINT8 README prints.
"""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgereid.calibration.scheme import INT8, UINT8, Range
from edgereid.calibration.table import CalibrationTable, Entry
from edgereid.errors import EdgeReidError, InputError, StorageError, UsageError
from edgereid.export.tensorrt.calibration_cache import (
    DEFAULT_HEADER,
    CalibrationCache,
    header_of,
)

PUBLISHED = b"""TRT-7000-EntropyCalibration2
data: 3c008912
conv1: 3c88edfc
pool1: 3c88edfc
conv2: 3ddc858b
pool2: 3ddc858b
ip1: 3db6bd6e
ip2: 3e691968
prob: 3c010a14
"""


def entry(low: float, high: float, **ranges: Range) -> Entry:
    return Entry(low, high, 9, "mse", ranges)


def test_the_published_file_is_read_and_written_back_to_the_byte() -> None:
    cache = CalibrationCache.parse(PUBLISHED)
    assert cache.header == "TRT-7000-EntropyCalibration2"
    assert " ".join(cache.scales) == "data conv1 pool1 conv2 pool2 ip1 ip2 prob"
    # its softmax gives 0 to 1: amax is 1, to the width of a bin of the histogram, over 127 levels
    assert cache.scales["prob"] * 127 == pytest.approx(1.0, abs=1e-3)
    assert cache.to_bytes() == PUBLISHED


def test_a_table_of_ours_becomes_these_bytes() -> None:
    table = CalibrationTable(
        {
            "images": entry(-2.1, 2.6, int8=Range(-2.54, 2.54)),
            "/conv/Relu_output:0": entry(0.0, 7.0, int8=Range(0.0, 6.35), uint8=Range(0.0, 6.0)),
            "only for another target": entry(0.0, 1.0, uint8=Range(0.0, 1.0)),
        }
    )
    # 2.54 / 127 = 0.02 and 6.35 / 127 = 0.05, whose float32 are 3ca3d70a and 3d4ccccd
    assert CalibrationCache.of_table(table).to_bytes() == (
        b"TRT-8603-EntropyCalibration2\nimages: 3ca3d70a\n/conv/Relu_output:0: 3d4ccccd\n"
    )


def test_a_table_for_other_targets_alone_is_refused() -> None:
    table = CalibrationTable({"x": entry(0.0, 1.0, uint8=Range(0.0, 1.0))})
    with pytest.raises(InputError, match="--target tensorrt"):
        CalibrationCache.of_table(table)


names = st.text(st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=20)
scales = st.floats(2.0**-126, 2.0**120, width=32)
caches = st.builds(
    CalibrationCache,
    st.sampled_from([DEFAULT_HEADER, "TRT-100300-MinMaxCalibration", "TRT-8XXX-LegacyCalibration"]),
    st.dictionaries(names | names.map(lambda n: f"{n}: 3c010a14"), scales, min_size=1, max_size=8),
)


@given(caches)
def test_what_was_written_is_read_back(cache: CalibrationCache) -> None:
    assert CalibrationCache.parse(cache.to_bytes()) == cache


@given(caches)
def test_ranges_survive_the_way_through_our_table(cache: CalibrationCache) -> None:
    table = cache.to_table({"file": "x.cache"})
    again = CalibrationTable.from_json(table.to_json())
    assert CalibrationCache.of_table(again, cache.header) == cache
    for name, scale in cache.scales.items():
        assert again.range(name, INT8).high == scale * 127
        with pytest.raises(InputError, match="uint8"):
            again.range(name, UINT8)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda b: PUBLISHED + b))
@example(b"")
@example(PUBLISHED + b"\n")
@example(PUBLISHED + b"x: 7f800000\n")
@example(b"TRT-0-A\n!: 0\n\r")
def test_any_bytes_are_read_or_refused_and_never_read_wrong(data: bytes) -> None:
    try:
        cache = CalibrationCache.parse(data)
    except InputError:
        return
    lines = [line.removesuffix("\r") for line in data.decode().split("\n")[1:]]
    assert len(cache.scales) == sum(map(bool, lines))
    for line in filter(None, lines):
        name, _, digits = line.rpartition(": ")
        number = np.frombuffer(bytes.fromhex(digits.rjust(8, "0"))[::-1], "<f4")[0]
        assert cache.scales[name] == number
        assert number >= 0


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", "begins with ''"),
        (b"TRT-8603-EntropyCalibration2", "no tensor"),
        (b"TRT-8603-EntropyCalibration2\n", "no tensor"),
        (b"\x1f\x8b\x08\xff", "no UTF-8"),
        (b"onnx-model\nx: 3c010a14\n", "begins with 'onnx-model'"),
        (PUBLISHED + b"data: 3c008912\n", "line 10: the tensor 'data' stands there twice"),
        (PUBLISHED + b"\nx: 3c008912\n", "line 10: ''"),
        (PUBLISHED + b"x 3c008912\n", "line 10: 'x 3c008912'"),
        (PUBLISHED + b"x: 0.02\n", "line 10: 'x: 0.02'"),
        (PUBLISHED + b"x: 13c008912\n", "line 10"),
        (PUBLISHED + b"x: 7fc00000\n", "line 10: the scale nan"),
        (PUBLISHED + b"x: 7f800000\n", "line 10: the scale inf"),
        (PUBLISHED + b"x: bc008912\n", "line 10: the scale -0.00"),
        (PUBLISHED + b"x: 00000001\n", "line 10: the scale 1.4"),
        (PUBLISHED + b"x: 7f7fffff\n", "line 10: the scale 3.4"),
    ],
)
def test_a_wrong_line_is_named(data: bytes, text: str) -> None:
    with pytest.raises(InputError) as caught:
        CalibrationCache.parse(data, "a.cache")
    assert str(caught.value).startswith("a.cache")
    assert "\n" not in str(caught.value)
    assert text in str(caught.value)


def test_missing_zeros_windows_line_ends_and_a_missing_last_newline_are_read() -> None:
    cache = CalibrationCache.parse(b"TRT-8501-EntropyCalibration2\r\na: 800000\r\nb: 0")
    assert dict(cache.scales) == {"a": 2.0**-126, "b": 0.0}


@pytest.mark.parametrize(
    ("header", "scales"),
    [
        ("TRT-8603", {"x": 1.0}),
        ("TRT-8603-EntropyCalibration2\nx: 00", {"x": 1.0}),
        (DEFAULT_HEADER, {"two\nlines": 1.0}),
        (DEFAULT_HEADER, {"": 1.0}),
        (DEFAULT_HEADER, {" x": 1.0}),
        (DEFAULT_HEADER, {"x": -1.0}),
        (DEFAULT_HEADER, {"x": float("nan")}),
        (DEFAULT_HEADER, {"x": 1e-45}),
    ],
)
def test_what_cannot_stand_in_a_file_is_not_written(
    header: str, scales: dict[str, float], tmp_path: Path
) -> None:
    with pytest.raises(UsageError):
        CalibrationCache(header, scales).save(tmp_path / "x.cache")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("version", "number"),
    [("8.5.2", "8502"), ("8.6.1.6", "8601"), ("10.3.0", "100300"), ("10.16.1.11", "101601")],
)
def test_the_header_of_a_release_is_the_number_in_its_own_version_header(
    version: str, number: str
) -> None:
    assert header_of(version) == f"TRT-{number}-EntropyCalibration2"


def test_a_version_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match=r"8\.6\.1"):
        header_of("unknown")


def test_files_are_bounded_and_errors_are_ours(tmp_path: Path) -> None:
    path = tmp_path / "big.cache"
    with path.open("wb") as f:
        f.truncate(2**25)
    for wrong in (path, tmp_path / "none", tmp_path):
        with pytest.raises(InputError):
            CalibrationCache.load(wrong)
    with pytest.raises(StorageError):
        CalibrationCache(DEFAULT_HEADER, {"x": 1.0}).save(tmp_path)


@given(scales)
def test_the_digits_are_those_of_struct(scale: float) -> None:
    line = CalibrationCache(DEFAULT_HEADER, {"x": scale}).to_bytes().splitlines()[1]
    assert line == f"x: {struct.unpack('<I', struct.pack('<f', scale))[0]:08x}".encode()


def test_a_huge_scale_is_refused_with_an_error_of_ours() -> None:
    with pytest.raises(EdgeReidError):
        CalibrationCache(DEFAULT_HEADER, {"x": 1e300}).to_bytes()
