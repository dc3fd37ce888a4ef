"""What is refused, and with which line; hostile files above all."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

from onnx import TensorProto, helper  # noqa: E402

from edgereid.cli import export as command  # noqa: E402
from edgereid.errors import EdgeReidError, InputError, UsageError  # noqa: E402
from edgereid.export.incoming import load  # noqa: E402
from edgereid.export.incoming.load import load_incoming  # noqa: E402
from edgereid.export.incoming.network import Incoming  # noqa: E402
from edgereid.export.incoming.options import IncomingOptions  # noqa: E402
from edgereid.export.options import ExportOptions, default_out  # noqa: E402

Make = Callable[[Any], Any]


def good(g: Any) -> str:
    return str(g.flat(g.pooled(g.stem())))


def in_domain(g: Any) -> Any:
    g.nodes.append(
        helper.make_node("FusedConv", [g.stem()], ["y"], "fused", domain="com.microsoft")
    )
    model = g.model("y")
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


def training_norm(g: Any) -> Any:
    around = [g.constant(np.ones(3)) for _ in range(4)]
    out = g.op("BatchNormalization", g.source, *around, training_mode=1, name="bn1")
    g.nodes[-1].output.extend(["mean", "var"])
    return g.model(g.flat(g.pooled(out)))


def two_inputs(g: Any) -> Any:
    model = g.model(good(g))
    model.graph.input.append(helper.make_tensor_value_info("camera", TensorProto.INT64, ["n"]))
    return model


def half(g: Any) -> Any:
    x = g.op("Cast", g.source, to=TensorProto.FLOAT16)
    x = g.op("Conv", x, g.constant(np.ones((4, 3, 1, 1)), np.float16), name="conv_half")
    return g.model(g.flat(g.pooled(g.op("Cast", x, to=TensorProto.FLOAT))))


def branch(g: Any) -> Any:
    x = good(g)
    inner = helper.make_graph(
        [helper.make_node("Identity", [x], ["inner"])],
        "b",
        [],
        [helper.make_tensor_value_info("inner", TensorProto.FLOAT, ["n", 6])],
    )
    yes = g.constant(True, np.bool_)
    return g.model(g.op("If", yes, then_branch=inner, else_branch=inner, name="branch"))


def huge(g: Any) -> Any:
    wide = g.op("Expand", g.pooled(g.stem()), g.shape(1, 6, 40_000, 40_000))
    return g.model(g.flat(g.pooled(wide)))


def int8(g: Any) -> Any:
    scale, zero = g.constant(0.1), g.constant(0, np.uint8)
    q = g.op("QuantizeLinear", g.source, scale, zero, name="q1")
    return g.model(g.flat(g.pooled(g.op("DequantizeLinear", q, scale, zero))))


def old(g: Any) -> Any:
    g.opset, g.ir = 10, 5
    return g.model(good(g))


def shaped(*sizes: Any, dtype: int = TensorProto.FLOAT) -> Make:
    def make(g: Any) -> Any:
        return g.model(g.op("Cast", g.source, to=TensorProto.FLOAT), shapes=sizes, dtype=dtype)

    return make


def random_mask(g: Any) -> Any:
    noise = g.op("RandomNormalLike", g.source, name="noise")
    return g.model(g.flat(g.pooled(g.op("Add", noise, g.source))))


def training_dropout(g: Any) -> Any:
    ratio, yes = g.constant(0.5), g.constant(True, np.bool_)
    return g.model(g.op("Dropout", good(g), ratio, yes, name="drop"))


REFUSED_AT_ONCE: list[tuple[str, Make, dict[str, Any], str]] = [
    ("other domain", in_domain, {}, r"fused is a com\.microsoft\.FusedConv: only ONNX's own"),
    ("training norm", training_norm, {}, r"bn1 is a BatchNormalization in training mode: call"),
    ("training dropout", training_dropout, {}, r"drop is a Dropout in training mode: call"),
    ("random", random_mask, {}, r"noise is a RandomNormalLike: the embedding would be another"),
    ("quantized", int8, {}, r"q1 is a QuantizeLinear: the network is quantized already; give"),
    ("branches", branch, {}, r"branch is a If: branches and loops are not taken"),
    ("opset 10", old, {}, r"operator set 10: 11 and above are taken; export it again with"),
    ("two inputs", two_inputs, {}, r"2 inputs \('input\.1' Nx3x8x4 float32, 'camera' N int64\)"),
    ("channels last", shaped("n", 8, 4, 3), {}, r"Nx8x4x3 float32: one float32 input Nx3xHxW is "
     r"needed; export it with the channels first \(NCHW\)"),
    ("grey", shaped("n", 1, 8, 4), {}, r"Nx1x8x4 float32: .*; export it for RGB"),
    ("three axes", shaped(3, 8, 4), {}, r"3x8x4 float32: one float32 input Nx3xHxW is needed"),
    ("half", shaped("n", 3, 8, 4, dtype=TensorProto.FLOAT16), {}, r"Nx3x8x4 float16: .*float32 i"),
    ("bytes", shaped("n", 3, 8, 4, dtype=TensorProto.UINT8), {}, r"Nx3x8x4 uint8: .* float32 imag"),
    ("open size", shaped("n", 3, "h", "w"), {}, "say at what size it is to run, such as --inp"),
    ("half open", shaped("n", 3, 8, "w"), {}, r"Nx3x8xN float32, any height and width: say"),
    ("other size", shaped("n", 3, 8, 4), {"input_size": (9, 4)}, r"--input-size says 9x4: the size "
     "is fixed in the file"),
    ("too large a batch", shaped(512, 3, 8, 4), {}, "a fixed batch of at most 256 is taken"),
    ("too large a size", shaped("n", 3, 9000, 4), {}, r"input size 9000x4 is outside 1\.\.4096"),
    ("no such output", lambda g: g.model(good(g)), {"output": "z"}, r"no tensor 'z': its outputs ar"
     r"e 't3'"),
    ("half inside", half, {}, "conv_half computes in float16: only float32 networks are taken"),
    ("a bomb", huge, {}, r"has the shape \(1, 6, 40000, 40000\): no tensor of more"),
    ("several outputs", lambda g: g.model(good(g), "t1"), {}, r"2 outputs \('t3'.*, 't1'.*\): name "
     "the embedding with --output NAME"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [r[1:] for r in REFUSED_AT_ONCE],
    ids=[r[0] for r in REFUSED_AT_ONCE],
)
def test_what_cannot_be_taken_is_refused_as_soon_as_it_is_read(
    make: Make, options: dict[str, Any], message: str, foreign: Any, save: Any
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        Incoming(save(make(foreign())), IncomingOptions(**options), 1)
    assert "\n" not in str(caught.value)


def vector_output(g: Any) -> Any:
    return g.model(g.op("Squeeze", g.flat(g.pooled(g.stem(1)))))


def nan_from(g: Any) -> Any:
    x = g.op("Relu", g.conv(g.source, 3, 6), name="fine")
    x = g.op("Log", g.op("Neg", x, name="negative"), name="logarithm")
    return g.model(g.flat(g.op("GlobalAveragePool", x, name="pool")))


def nan_weights(g: Any) -> Any:
    weight = g.constant(np.full((4, 6, 1, 1), np.nan), name="w")
    return g.model(g.flat(g.pooled(g.op("Conv", g.stem(), weight, name="poisoned"))))


def constant_from(g: Any) -> Any:
    x = g.op("Mul", g.stem(), g.constant(1e-9), name="faded")
    x = g.op("Add", x, g.constant(np.arange(6).reshape(1, 6, 1, 1)), name="shifted")
    return g.model(g.flat(g.op("GlobalAveragePool", x, name="pool")))


def dead_from(g: Any) -> Any:
    x = g.op("Relu", g.op("Sub", g.stem(), g.constant(1e4), name="sunk"), name="dead")
    biased = g.op("Conv", x, g.normal(5, 6, 1, 1), g.constant(np.ones(5)), name="last")
    return g.model(g.flat(g.pooled(biased)))


REFUSED_WHEN_RUN: list[tuple[str, Make, str]] = [
    ("feature map", lambda g: g.model(g.stem()), r"a feature map of 6x8x4 for each image: NxD \("),
    ("one number", lambda g: g.model(g.flat(g.pooled(g.stem(1)))), r"gives 1x1 for 1 image: NxD,"),
    ("a vector", vector_output, "gives a single number for 1 image: NxD, one embedding"),
    ("whole numbers", lambda g: g.model(g.op("Cast", good(g), to=TensorProto.INT64)), "int64"),
    ("NaN", nan_from, r"gives NaN or infinity, from logarithm on: check its weights"),
    ("NaN weights", nan_weights, r"gives NaN or infinity, from poisoned on"),
    ("constant", constant_from, r"nearly the same embedding for every image, from shifted on: are"),
    ("dead", dead_from, r"nearly the same embedding for every image, from (sunk|dead) on"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"), [r[1:] for r in REFUSED_WHEN_RUN], ids=[r[0] for r in REFUSED_WHEN_RUN]
)
def test_what_gives_no_embeddings_is_refused_when_it_is_run(
    make: Make, message: str, foreign: Any, save: Any, images: np.ndarray, tmp_path: Path
) -> None:
    incoming = Incoming(save(make(foreign())), IncomingOptions(), 1)
    with pytest.raises(InputError, match=message) as caught:
        incoming.write(tmp_path, images)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "model.onnx").exists()


def external(location: str, dims: list[int], **entries: str) -> bytes:
    """A model whose one weight lies in another file."""
    tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **entries}.items():
        tensor.external_data.add(key=key, value=value)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 8, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 8, 4])],
        [tensor],
    )
    opsets = [helper.make_opsetid("", 17)]
    data: bytes = helper.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString()
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "not an ONNX file that can be read"),
        (b"\x89PNG\r\n\x1a\n" + bytes(64), "not an ONNX file that can be read"),
        (external("../secret.bin", [4, 3, 1, 1]), "outside its directory: refused"),
        (external("/etc/passwd", [4, 3, 1, 1]), "outside its directory: refused"),
        (external("linked.bin", [4, 3, 1, 1]), "outside its directory: refused"),
        (external("missing.bin", [4, 3, 1, 1]), "missing.bin is missing"),
        (external("w.bin", [4, 3, 1, 1], offset="40"), "is too small for the declared shape"),
        (external("w.bin", [4, 3, 1, 1], offset="-8"), "its bytes are not in the file"),
        (external("w.bin", [4, 3, 1, 1], length="4096"), "its bytes are not in the file"),
        (external("w.bin", [4, 3, 1, 1], offset="many"), "no sound place"),
        (external("w.bin", [60_000, 60_000], length="48"), "bytes with its weights: at most"),
        (external("w.bin", [-4, 3, 1, 1]), "its bytes are not in the file"),
    ],
    ids=range(12),
)
def test_hostile_files_are_refused(data: bytes, message: str, save: Any, tmp_path: Path) -> None:
    path = save(data)
    (tmp_path / "w.bin").write_bytes(bytes(48))
    outside = tmp_path.with_name(f"{tmp_path.name}-outside.bin")
    outside.write_bytes(bytes(48))
    (tmp_path / "linked.bin").symlink_to(outside)
    with pytest.raises(InputError, match=message) as caught:
        load_incoming(path)
    assert "\n" not in str(caught.value)


def test_a_file_too_large_is_refused_before_it_is_read(
    save: Any, foreign: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = save(external("w.bin", [4, 3, 1, 1]))
    (tmp_path / "w.bin").write_bytes(bytes(48))
    load_incoming(path)
    monkeypatch.setattr(load, "MAX_BYTES", path.stat().st_size + 47)
    with pytest.raises(InputError, match=r"bytes with its weights: at most .* \(2 GiB\) are taken"):
        load_incoming(path)
    with pytest.raises(InputError, match="is no file"):
        load_incoming(tmp_path / "none.onnx")


@settings(deadline=None, max_examples=100, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_file_is_an_error_of_ours_or_still_a_network(
    data: st.DataObject, foreign: Any, save: Any, images: np.ndarray, tmp_path: Path
) -> None:
    g = foreign(opset=12, batch=1)
    whole = bytearray(
        g.model(g.op("Reshape", g.pooled(g.stem()), g.shape(1, 6))).SerializeToString()
    )
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(EdgeReidError):  # anything else is a failure
        Incoming(save(bytes(whole)), IncomingOptions(), 1).write(tmp_path, images)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"network": "dslnet", "incoming": IncomingOptions(output="x")},
            r"dslnet is no \.onnx file",
        ),
        ({"network": "a.onnx", "weights": Path("w")}, "--weights and --crop are for the networks"),
        ({"network": "a.onnx", "crop": "matmul"}, "--weights and --crop are for the networks"),
        ({"network": "a.ONNX", "int8": True}, "--int8 with an ONNX file needs --calib"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ExportOptions(out=Path("b"), **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"preprocess": "torch"},
            "unknown preprocessing 'torch': imagenet, half, none, bytes, caff",
        ),
        ({"color": "GRB"}, "unknown colour order 'GRB': RGB, BGR are known"),
        ({"interpolation": "area"}, "unknown interpolation 'area': bilinear"),
        ({"mean": (0.0, 0.0, 0.0)}, "--mean and --std belong together"),
        (
            {"mean": (0.0,) * 3, "std": (1.0,) * 3, "peak": 2.0},
            "unknown largest pixel value 2.0: 1, ",
        ),
        ({"peak": 255.0}, "--pixel-max says what --mean and --std are about"),
    ],
)
def test_wrong_words_about_pixels_are_refused(options: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        IncomingOptions(**options)


@pytest.mark.parametrize("words", [["--input-size", "256"], ["--mean", "1,2"], ["--std", "a,b,c"]])
def test_malformed_flags_are_wrong_use(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(["a.onnx", *words])
    assert stop.value.code == 2
    assert "such as" in capsys.readouterr().err


def test_a_bundle_of_a_file_is_called_after_it() -> None:
    assert default_out("models/osnet_x0_25.onnx", True) == Path("osnet_x0_25-int8")
    assert default_out("models/osnet.ONNX", False) == Path("osnet")
    assert default_out("dslnet", True) == Path("dslnet-int8")
