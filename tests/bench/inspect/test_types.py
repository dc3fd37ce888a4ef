"""TensorRT's words for types, and what a layer runs in by what it reads."""

from __future__ import annotations

from typing import Any

import pytest

from edgereid.bench.inspect.types import Ran, datatype, kernel_type, multiplies, ran_in

XMMA = "sm80_xmma_fprop_implicit_gemm_"


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        ("Row major linear FP32", "f32"),
        ("Row major linear FP32 format (kLINEAR)", "f32"),
        ("Row major Int8 format", "int8"),
        ("Thirty-two wide channel vectorized row major Int8 format.", "int8"),
        ("Channel major FP16 format where channel % 4 == 0", "f16"),
        ("Row major linear BFloat16 format", "bf16"),
        ("Float", "f32"),
        ("Half", "f16"),
        ("BFloat16", "bf16"),
        ("FP8", "fp8"),
        ("Int32", "int32"),
        ("UInt8", "uint8"),
        ("UInt64", "uint64"),
        ("Bool", "bool"),
        ("(Linear) Row major linear format", None),
        ("", None),
        ("Unknown", None),
        ("FP32 or FP16", None),
    ],
)
def test_a_type_is_read_from_each_description_that_was_seen(words: str, wanted: Any) -> None:
    assert datatype(words) == wanted


@pytest.mark.parametrize(
    ("tactic", "wanted"),
    [
        (f"{XMMA}interleaved_i8i8_i8i32_f32_nchw_vect_c_32kcrs_vect_c_32_tilesize64x64", "int8"),
        (f"{XMMA}f32f32_f32f32_f32_nchwkcrs_nchw_tilesize32x32x8_stage3", "f32"),
        (f"{XMMA}indexed_wo_smem_f32f32_tf32f32_f32_nhwckrsc_nhwc_tilesize128x16x32", "tf32"),
        (f"{XMMA}f16f16_f16f32_f16_nhwckrsc_nhwc_tilesize64x64x64", "f16"),
        ("sm80_xmma_gemm_i8f32_i8i32_f32_tn_n_tilesize32x32x64_stage6", "int8"),
        ("cutlass3x_sm100_tensorop_s128x128x8tf32implicit_gemm_fprop_f32_f32_f32_align4", "tf32"),
        ("sm50_xmma_cublas_gemvx_f32f32_f32_f32_tn_n_int32_unit_n_launch", None),
        ("__myl_MulSum_0xf51780477f7b66bae3896079c053d676", None),
        ("0x00000000000003ea", None),
        ("", None),
    ],
)
def test_a_kernels_name_may_tell_what_the_product_is_computed_in(tactic: str, wanted: Any) -> None:
    assert kernel_type(tactic) == wanted


@pytest.mark.parametrize(
    "kind",
    [
        "CaskConvolution",
        "ConvActPool",
        "CaskGemmConvolution",
        "MatrixMultiply",
        "gemm",
        "correlation",
        "CaskDeconvolutionV2",
        "FullyConnected",
        "caskjitconv",
    ],
)
def test_these_kinds_multiply(kind: str) -> None:
    assert multiplies(kind)


@pytest.mark.parametrize("kind", ["kgen", "PointWiseV2", "Reformat", "CaskPooling", "maxpool", ""])
def test_these_kinds_are_not_known_to(kind: str) -> None:
    assert not multiplies(kind)


@pytest.mark.parametrize(
    ("case", "wanted"),
    [
        (("CaskConvolution", ["int8", "int8"], ["int8"], "int8", ""), "int8"),
        (("CaskConvolution", ["int8", "f16"], ["f16"], "int8", ""), "int8"),  # half residual
        (("CaskConvolution", ["f16"], ["int8"], "f16", ""), "f16"),  # quantises its output
        (("gemm", ["f32"], ["f32"], None, "x_f32f32_tf32f32_f32_y"), "tf32"),
        (("gemm", ["int32", "f16"], ["f16"], None, ""), None),  # a gather fused before it
        (("gemm", [], ["f16"], None, ""), None),
        (("gemm", [None], ["f16"], None, ""), None),
        (("PointWise", ["int8", "f16"], ["f16"], None, ""), "f16+int8"),
        (("kgen", ["bool", "f32"], ["f32"], None, ""), "f32"),
        (("kgen", ["int32"], ["int64"], None, ""), None),
        (("Constant", [], ["f16"], None, ""), "f16"),
        (("CaskConvolution", [None], ["f16"], "f16", "a_f16f16_f16f16_f16_b"), None),
        (("PointWise", [None], [None], None, ""), None),
    ],
)
def test_a_layer_runs_in_what_it_reads(case: Any, wanted: Any) -> None:
    assert ran_in(*case) == Ran(wanted)


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (("CaskConvolution", ["int8"], ["int8"], "f32", ""), "holds f32 weights"),
        (("CaskConvolution", ["f16"], ["f16"], "int8", ""), "holds INT8 weights"),
        (("CaskConvolution", ["f32"], ["f16"], "f16", ""), "holds f16 weights"),
        (("CaskConvolution", [None], [None], "int8", "a_f16f16_f16f16_f16_b"), "named for f16"),
        (("CaskConvolution", [None], [None], "f32", "a_f16f16_f16f16_f16_b"), "named for f16"),
        (("CaskConvolution", ["int8"], [], "int8", "a_f16f16_f16f16_f16_b"), "named for f16"),
        (("CaskConvolution", ["f16"], [], "f16", "a_i8i8_i8i32_f32_b"), "named for int8"),
    ],
)
def test_a_contradiction_is_no_precision_but_a_doubt(case: Any, words: str) -> None:
    ran = ran_in(*case)
    assert ran.precision is None
    assert words in ran.doubt


@pytest.mark.parametrize(
    ("kind", "weights", "tactic", "wanted"),
    [
        # as seen with open shapes: sm80, INT8 weights, FP32 written
        ("CaskConvolution", "int8", "gemm_interleaved_i8f32_i8i32_f32_nchw_vect_c", "int8"),
        ("CaskConvolution", "int8", "fprop_avdt_sparse_int8int8_tilesize64x64x64", "int8"),
        ("CaskConvolution", "f16", "fprop_implicit_gemm_f16f16_f16f16_f16_nhwckrsc", "f16"),
        ("CaskConvolution", "f32", "fprop_implicit_gemm_f32f32_tf32f32_f32_nhwckrsc", "tf32"),
        ("CaskConvolution", "int8", "0x0000000000000001", "int8"),
        ("CaskConvolution", "f16", "", "f16"),
        ("gemm", "int8", "", None),  # may only be stored so
        ("gemm", "int4", "", None),
        ("gemm", None, "x_f16f16_f16f16_f16_y", "f16"),
        ("gemm", None, "", None),
        ("correlation", None, "", None),
    ],
)
def test_where_no_tensor_has_a_type_kernel_and_weights_speak(
    kind: str, weights: str | None, tactic: str, wanted: str | None
) -> None:
    ran = ran_in(kind, [None, None], [None], weights, tactic)
    assert ran == Ran(wanted, inferred=wanted is not None)
