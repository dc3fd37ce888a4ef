"""Which runtimes an export builds for, and the options that are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgereid.calibration.thresholds import AUTO, BEST
from edgereid.calibration.thresholds import METHODS as KNOWN_METHODS
from edgereid.errors import MissingRuntimeError, UsageError
from edgereid.export.options import METHODS, TARGETS, ExportOptions, default_out
from edgereid.export.policy import POLICIES
from edgereid.export.targets import choose_targets


def having(*packages: str) -> Any:
    return lambda name: name in packages


def test_auto_takes_what_is_installed_and_says_so() -> None:
    both = having("openvino", "onnxruntime")
    targets, why = choose_targets("auto", True, is_installed=both, machine="x86_64")
    assert targets == ("onnxruntime", "openvino")
    assert why == (
        "target auto: onnxruntime and openvino, as installed here; not installed: tensorrt"
    )
    assert choose_targets("auto", True, is_installed=having("tensorrt"))[0] == ("tensorrt",)


@pytest.mark.parametrize("machine", ["aarch64", "arm64", "ARM64"])
def test_auto_places_for_arm_on_arm(machine: str) -> None:
    targets, why = choose_targets("auto", True, is_installed=having("onnxruntime"), machine=machine)
    assert targets == ("onnxruntime-arm",)
    assert why.endswith("not installed: openvino, tensorrt")


def test_for_arm_can_be_exported_anywhere() -> None:
    targets, _ = choose_targets(
        "onnxruntime-arm", True, is_installed=having("onnxruntime"), machine="x86_64"
    )
    assert targets == ("onnxruntime-arm",)
    with pytest.raises(MissingRuntimeError, match=r"pip install 'edgereid\[onnxruntime\]'"):
        choose_targets("onnxruntime-arm", True, is_installed=having("openvino"))


def test_a_named_target_that_is_missing_says_what_to_install() -> None:
    with pytest.raises(MissingRuntimeError, match=r"pip install 'edgereid\[openvino\]'"):
        choose_targets("openvino", True, is_installed=having("onnxruntime"))
    with pytest.raises(MissingRuntimeError, match="no runtime is installed"):
        choose_targets("auto", True, is_installed=having())


def test_tensorrt_can_be_prepared_anywhere_and_says_where_its_plan_is_built() -> None:
    targets, why = choose_targets("tensorrt", True, is_installed=having())
    assert targets == ("tensorrt",)
    assert why.startswith("target tensorrt: tensorrt.onnx (Q/DQ) is written")
    assert "on the device" in why
    assert why.endswith("here if TensorRT and a GPU are at hand")
    assert "model.onnx is written" in choose_targets("tensorrt", False, is_installed=having())[1]


def test_the_names_in_the_help_are_those_that_exist() -> None:
    assert set(TARGETS) == set(POLICIES)
    assert (*KNOWN_METHODS, AUTO, BEST) == METHODS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "osnet.onnx", "crop": "matmul"}, "osnet.onnx is an ONNX file"),
        ({"target": "tflite"}, "unknown target 'tflite': auto, onnxruntime, onnxruntime-arm"),
        ({"int8": True, "weights": Path("w.safetensors")}, "needs --calib"),
        ({"images": 0}, "0 calibration images"),
        ({"threads": 0}, "0 threads"),
        ({"method": "kl"}, "unknown method 'kl'"),
    ],
)
def test_options_that_cannot_work_are_refused_at_once(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        ExportOptions(**{"network": "dslnet", "out": Path("x"), **changes})


def test_a_bundle_is_named_after_its_network() -> None:
    assert default_out("dslnet", int8=True) == Path("dslnet-int8")
    assert default_out("dslnet", int8=False) == Path("dslnet")
