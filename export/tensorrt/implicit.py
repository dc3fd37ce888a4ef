"""INT8 without Q/DQ, from a calibration cache: the way of releases up to 10, and the only INT8 of
a DLA there (NVIDIA/Model-Optimizer pull request 1661). Layers whose tensors have no scale in the
cache run in FP16."""

from __future__ import annotations

from typing import Any

from edgereid.errors import UsageError
from edgereid.export.tensorrt.calibration_cache import CalibrationCache, header_of
from edgereid.export.tensorrt.module import release
from edgereid.export.tensorrt.recipe import WEAK


def require(trt: Any, typing: str) -> None:
    """Raise UsageError where the release has no calibrators, or the typing has no use for one."""
    if not hasattr(trt, "IInt8EntropyCalibrator2"):
        raise _none(trt)
    if typing != WEAK:
        raise UsageError(
            "a calibration cache goes with weak typing: types that the file states need Q/DQ for "
            "INT8."
        )


def _none(trt: Any) -> UsageError:
    return UsageError(
        f"TensorRT {release(trt)} takes no calibration caches any more: build from the Q/DQ "
        "network instead."
    )


def calibrate(trt: Any, config: Any, cache: CalibrationCache) -> Any:
    """Have the builder take its INT8 ranges from the cache; the calibrator, which must live as
    long. It has no images, and gives the cache under this release's own header: TensorRT would
    calibrate anew under another's. Raises UsageError."""
    if not hasattr(trt, "IInt8EntropyCalibrator2"):
        raise _none(trt)
    data = CalibrationCache(header_of(release(trt)), cache.scales).to_bytes()

    class Calibrator(trt.IInt8EntropyCalibrator2):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IInt8EntropyCalibrator2.__init__(self)

        def get_batch_size(self) -> int:
            return 1

        def get_batch(self, names: list[str]) -> None:
            del names

        def read_calibration_cache(self) -> bytes:
            return data

        def write_calibration_cache(self, cache: Any) -> None:
            del cache

    calibrator = Calibrator()
    config.int8_calibrator = calibrator
    return calibrator
