"""The driver is asked for the GPU's name; a stand-in for libcuda answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edgereid.export.tensorrt.device import Device, current_device


@pytest.mark.parametrize(
    ("name", "compute", "slug"),
    [
        (b"Orin", (8, 7), "orin-sm87"),
        (b"NVIDIA GeForce RTX 4090", (8, 9), "nvidia-geforce-rtx-4090-sm89"),
        (b"NVIDIA Thor", (11, 0), "nvidia-thor-sm110"),
        (b"../../etc", (8, 0), "etc-sm80"),
        (b"\xff\xfe", (8, 0), "gpu-sm80"),
        (b"x" * 255, (7, 5), "x" * 60 + "-sm75"),
    ],
)
def test_name_and_compute_capability_are_read_and_make_a_part_of_a_file_name(
    name: bytes, compute: tuple[int, int], slug: str, make_driver: Callable[..., object]
) -> None:
    device = current_device(make_driver(name, compute))
    assert isinstance(device, Device)
    assert device.compute_capability == f"{compute[0]}.{compute[1]}"
    assert device.slug == slug


@pytest.mark.parametrize(
    "failing", ["cuInit", "cuDeviceGet", "cuDeviceGetName", "cuDeviceGetAttribute"]
)
def test_what_the_driver_refuses_is_a_reason_and_no_crash(
    failing: str, make_driver: Callable[..., object]
) -> None:
    reason = current_device(make_driver(b"Orin", (8, 7), failing))
    assert reason == f"libcuda.so.1: {failing} gave the error 100"


def test_a_library_without_the_functions_is_a_reason() -> None:
    assert isinstance(current_device(object()), str)
