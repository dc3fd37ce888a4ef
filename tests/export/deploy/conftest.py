"""A bundle with small networks, and Triton's message without Triton."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.bundle import Bundle, Manifest, describe_file, write_manifest
from edgereid.images import Preprocessing

onnx = pytest.importorskip("onnx")
PREPROCESSING = Preprocessing(16, 8)

#: The fields of Triton's model_config.proto (github.com/triton-inference-server/common at
#: 08365eae, BSD-3-Clause) that a configuration of ours may use: message -> name, number, type.
#: "[]" is repeated. Any other field is refused by the parser, also where Triton knows it.
FIELDS: dict[str, tuple[tuple[str, int, str], ...]] = {
    "ModelConfig": (
        ("name", 1, "string"),
        ("max_batch_size", 4, "int32"),
        ("input", 5, "ModelInput[]"),
        ("output", 6, "ModelOutput[]"),
        ("instance_group", 7, "ModelInstanceGroup[]"),
        ("default_model_filename", 8, "string"),
        ("dynamic_batching", 11, "ModelDynamicBatching"),
        ("parameters", 14, "ModelConfig.ParametersEntry[]"),
        ("backend", 17, "string"),
    ),
    "ModelConfig.ParametersEntry": (("key", 1, "string"), ("value", 2, "ModelParameter")),
    "ModelParameter": (("string_value", 1, "string"),),
    "ModelInput": (("name", 1, "string"), ("data_type", 2, "DataType"), ("dims", 4, "int64[]")),
    "ModelOutput": (("name", 1, "string"), ("data_type", 2, "DataType"), ("dims", 3, "int64[]")),
    "ModelInstanceGroup": (("count", 2, "int32"), ("kind", 4, "ModelInstanceGroup.Kind")),
    "ModelDynamicBatching": (
        ("preferred_batch_size", 1, "int32[]"),
        ("max_queue_delay_microseconds", 2, "uint64"),
    ),
}
ENUMS = {
    "DataType": {"TYPE_INVALID": 0, "TYPE_UINT8": 2, "TYPE_FP16": 10, "TYPE_FP32": 11},
    "ModelInstanceGroup.Kind": {"KIND_AUTO": 0, "KIND_GPU": 1, "KIND_CPU": 2, "KIND_MODEL": 3},
}


def _message_of_table() -> Any:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(
        name="model_config.proto", package="inference", syntax="proto3"
    )
    messages: dict[str, Any] = {}
    for name, fields in FIELDS.items():
        outer, _, inner = name.partition(".")
        message = messages[outer].nested_type.add() if inner else file.message_type.add()
        messages[name] = message
        message.name = inner or outer
        message.options.map_entry = bool(inner)
        for field, number, kind in fields:
            one = kind.removesuffix("[]")
            scalar = f"TYPE_{one.upper()}"
            kinds = descriptor_pb2.FieldDescriptorProto
            added = message.field.add(name=field, number=number)
            added.label = kinds.LABEL_REPEATED if kind != one else kinds.LABEL_OPTIONAL
            if hasattr(kinds, scalar):
                added.type = getattr(kinds, scalar)
            else:
                added.type = kinds.TYPE_ENUM if one in ENUMS else kinds.TYPE_MESSAGE
                added.type_name = f".inference.{one}"
    for name, values in ENUMS.items():
        outer, _, inner = name.partition(".")
        enum = messages[outer].enum_type.add() if inner else file.enum_type.add()
        enum.name = inner or outer
        for value, number in values.items():
            enum.value.add(name=value, number=number)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file) if hasattr(pool, "Add") else pool.AddSerializedFile(file.SerializeToString())
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("inference.ModelConfig"))


def published_messages() -> Any:
    """The module that protoc made from the published file, where tritonclient is installed. It is
    read by itself: its package imports gRPC."""
    found = importlib.util.find_spec("tritonclient")
    if found is None or not found.submodule_search_locations:
        pytest.skip("tritonclient is not installed")
    path = Path(next(iter(found.submodule_search_locations)), "grpc", "model_config_pb2.py")
    spec = importlib.util.spec_from_file_location("published_model_config", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session", params=["table", "published"])
def model_config(request: pytest.FixtureRequest) -> Any:
    """The class of Triton's ModelConfig: from the table above, and as published."""
    return _message_of_table() if request.param == "table" else published_messages().ModelConfig


def quantized(model: Any) -> Any:
    """The network with its input rounded to 8 bits, as a Q/DQ file has it."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    graph = made.graph
    for node in graph.node:
        node.input[:] = ["images.dq" if name == "images" else name for name in node.input]
    constants = {"images.scale": np.float32(0.02), "images.zero": np.int8(0)}
    for name, value in constants.items():
        graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(value), name))
    pair = [
        onnx.helper.make_node("QuantizeLinear", ["images", *constants], ["images.q"], name="q"),
        onnx.helper.make_node(
            "DequantizeLinear", ["images.q", *constants], ["images.dq"], name="d"
        ),
    ]
    nodes = [*pair, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(made)
    return made


@pytest.fixture(scope="session")
def proto_table() -> tuple[Any, Any]:
    """The table of fields and that of enums."""
    return FIELDS, ENUMS


@pytest.fixture(scope="session")
def published() -> Any:
    return published_messages()


@pytest.fixture
def make_bundle(tmp_path: Path, small: Any) -> Callable[..., Bundle]:
    """A bundle of the small network: float, quantized for TensorRT, and for ONNX Runtime.

    ``models`` replaces or (None) leaves out a file; the rest is the manifest's.
    """

    def make(
        name: str = "bundle",
        models: dict[str, Any] | None = None,
        preprocessing: Preprocessing = PREPROCESSING,
        plan: bytes | None = None,
        **fields: Any,
    ) -> Bundle:
        directory = tmp_path / name
        directory.mkdir()
        rows = {
            "model.onnx": (small, "float", "onnxruntime", "f32"),
            "tensorrt.onnx": (quantized(small), "data", None, "int8"),
            "engine.onnx": (quantized(small), "engine", "onnxruntime", "int8"),
        }
        files = []
        for file, (model, *what) in rows.items():
            chosen = (models or {}).get(file, model)
            if chosen is not None:
                (directory / file).write_bytes(chosen.SerializeToString(deterministic=True))
                files.append(describe_file(directory / file, *what))
        if plan is not None:
            (directory / "engine.plan").write_bytes(plan)
            files.append(describe_file(directory / "engine.plan", "engine", "tensorrt", "int8"))
        manifest = Manifest("small", 6, preprocessing, tuple(files))
        return write_manifest(directory, replace(manifest, **fields))

    return make
