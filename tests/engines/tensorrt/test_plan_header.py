"""What is read from the first bytes of a plan, and that nothing else is made of them."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgereid.engines.tensorrt.plan_header import HEADER_BYTES, TAG, read_header


def header(version: bytes, serialization: int = 0, tag: int = TAG, rest: bytes = b"") -> bytes:
    """A header as NVIDIA's published reader takes it; the unknown bytes are 0xEE."""
    return struct.pack("<II", tag, serialization) + b"\xee" * 16 + version + rest


@pytest.mark.parametrize(
    ("version", "text"),
    [
        (bytes((8, 6, 1, 6)), "8.6.1.6"),
        (bytes((10, 3, 0, 26)), "10.3.0.26"),
        (bytes((10, 13, 0, 35)), "10.13.0.35"),
        (bytes((11, 4, 0, 106)), "11.4.0.106"),
    ],
)
def test_the_version_of_a_plan_is_read_from_bytes_24_to_27(version: bytes, text: str) -> None:
    found = read_header(header(version, rest=b"kernels"))
    assert found.tag
    assert found.version_text == text
    assert found.other is None


def test_the_tag_is_the_letters_that_a_hex_dump_of_a_plan_begins_with() -> None:
    assert struct.pack("<I", TAG) == b"ftrt"


@pytest.mark.parametrize(
    "data",
    [
        header(bytes((10, 3, 0, 26)), serialization=1),  # a layout that nobody published
        header(bytes((10, 3, 0, 26)))[: HEADER_BYTES - 1],
        header(bytes((0, 0, 0, 0))),
        header(bytes((7, 2, 3, 4))),  # wrote another layout
    ],
)
def test_a_version_that_cannot_be_known_is_unknown(data: bytes) -> None:
    found = read_header(data)
    assert (found.tag, found.version, found.version_text) == (True, None, None)


JSON = b'{"task": "detect", "imgsz": [640, 640]}'


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty"),
        (b"PK\x03\x04" + bytes(40), "zip archive"),
        (b"<?xml version='1.0'?><net/>" + bytes(40), "text or XML"),
        (b"\x7fELF" + bytes(40), "program"),
        (b"\x08\x08\x12\x07pytorch" + bytes(40), "ONNX"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS"),
        (
            struct.pack("<I", len(JSON)) + JSON + header(bytes((10, 3, 0, 26))),
            f"behind {4 + len(JSON)} bytes",
        ),
    ],
)
def test_a_file_that_is_something_else_is_called_what_it_is(data: bytes, words: str) -> None:
    found = read_header(data)
    assert not found.tag
    assert found.version is None
    assert words in str(found.other)


def test_an_unknown_beginning_is_left_to_tensorrt() -> None:
    found = read_header(b"ptrt" + bytes(60))  # seen in the wild, published nowhere
    assert (found.tag, found.version, found.other) == (False, None, None)


MOSTLY_PLANS = st.one_of(
    st.binary(max_size=80),
    st.builds(
        lambda word, body: struct.pack("<II", TAG, word) + body,
        st.sampled_from([0, 0, 0, 1, 0x57, 2**32 - 1]),
        st.binary(max_size=60),
    ),
    st.builds(
        lambda size, body: struct.pack("<I", size) + b"{" + body,
        st.integers(0, 2**32 - 1),
        st.binary(max_size=60).map(lambda b: b + b"ftrt"),
    ),
)


@given(MOSTLY_PLANS)
def test_any_bytes_are_read_and_only_the_published_layout_gives_a_version(data: bytes) -> None:
    found = read_header(data)
    published = len(data) >= 28 and data[:8] == b"ftrt" + bytes(4) and data[24] >= 8
    assert (found.version is not None) == published
    if published:
        assert found.version == tuple(data[24:28])
    assert found.tag == (data[:4] == b"ftrt")
    assert not (found.tag and found.other)


@given(st.binary(min_size=28, max_size=60), st.data())
def test_no_other_byte_of_a_plan_changes_what_is_read(body: bytes, choice: st.DataObject) -> None:
    plan = header(bytes((10, 3, 0, 26)), rest=body)
    places = [*range(8, 24), *range(28, len(plan))]
    at = choice.draw(st.sampled_from(places))
    changed = plan[:at] + bytes([plan[at] ^ choice.draw(st.integers(1, 255))]) + plan[at + 1 :]
    assert read_header(changed) == read_header(plan)
