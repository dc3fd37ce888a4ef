"""The model repository, read with protobuf's own parser against Triton's message; no Triton."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edgereid.bundle import Bundle
from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
from edgereid.errors import InputError, IntegrityError, UsageError
from edgereid.export.deploy.options import DeployOptions, TritonOptions
from edgereid.export.deploy.pbtxt import Symbol, text
from edgereid.export.deploy.triton import preferred_batches
from edgereid.export.deploy.write import Deployment, deploy

pytest.importorskip("onnx")
text_format = pytest.importorskip("google.protobuf.text_format")
MakeBundle = Callable[..., Bundle]


def write(bundle: Path, out: Path, max_batch: int = 32, **own: Any) -> Deployment:
    return deploy(DeployOptions(bundle, out, TritonOptions(**own), max_batch))


def config_of(out: Path, message: Any, name: str = "small") -> Any:
    return text_format.Parse((out / name / "config.pbtxt").read_text(), message())


def test_the_configuration_is_a_model_config_as_triton_publishes_it(
    make_bundle: MakeBundle, tmp_path: Path, model_config: Any
) -> None:
    bundle = make_bundle()
    write(bundle.directory, tmp_path / "models", 24, instances=2, queue_delay_us=500)
    config = config_of(tmp_path / "models", model_config)
    assert (config.name, config.backend) == ("small", "onnxruntime")
    assert config.max_batch_size == 24
    ((image,), (feature,)) = config.input, config.output
    assert (image.name, list(image.dims)) == ("images", [3, 16, 8])
    assert (feature.name, list(feature.dims)) == ("features", [6])
    names = type(image).DESCRIPTOR.fields_by_name["data_type"].enum_type.values_by_number
    assert {names[t.data_type].name for t in (image, feature)} == {"TYPE_FP32"}
    (group,) = config.instance_group
    kinds = type(group).DESCRIPTOR.fields_by_name["kind"].enum_type.values_by_number
    assert (group.count, kinds[group.kind].name) == (2, "KIND_CPU")
    assert list(config.dynamic_batching.preferred_batch_size) == [4, 8, 16, 24]
    assert config.dynamic_batching.max_queue_delay_microseconds == 500


def test_every_field_of_the_table_is_as_published(proto_table: Any, published: Any) -> None:
    fields, enums = proto_table
    for name, rows in fields.items():
        theirs = published
        for part in name.split("."):
            theirs = getattr(theirs, part)
        for field, number, _ in rows:
            assert theirs.DESCRIPTOR.fields_by_name[field].number == number, f"{name}.{field}"
    for name, values in enums.items():
        outer, _, inner = name.partition(".")
        descriptor = published.DESCRIPTOR
        there = (
            descriptor.message_types_by_name[outer].enum_types_by_name[inner]
            if inner
            else descriptor.enum_types_by_name[outer]
        )
        for value, number in values.items():
            assert there.values_by_name[value].number == number


def test_a_misspelt_field_would_be_found(model_config: Any) -> None:
    with pytest.raises(text_format.ParseError):
        text_format.Parse("dynamic_batchin { }", model_config())


def test_what_is_served_is_the_bundle_s_engine_and_runs_with_the_configured_tensors(
    make_bundle: MakeBundle, tmp_path: Path, model_config: Any
) -> None:
    pytest.importorskip("onnxruntime")
    bundle = make_bundle()
    out = tmp_path / "models"
    write(bundle.directory, out, name="reid-1")
    config = config_of(out, model_config, "reid-1")
    assert config.name == "reid-1"
    served = out / "reid-1" / "1" / config.default_model_filename
    assert [p.name for p in served.parent.iterdir()] == ["model.onnx"]
    assert served.read_bytes() == (bundle.directory / "engine.onnx").read_bytes()
    batch = np.zeros((5, *config.input[0].dims), np.float32)
    with open_engine(served, EngineOptions(threads=1)) as engine:
        assert engine.run(batch).shape == (5, *config.output[0].dims)


def test_the_preprocessing_travels_as_a_parameter(
    make_bundle: MakeBundle, tmp_path: Path, model_config: Any
) -> None:
    bundle = make_bundle(flip=True)
    written = write(bundle.directory, tmp_path / "models")
    config = config_of(tmp_path / "models", model_config)
    known = json.loads(config.parameters["edgereid"].string_value)
    assert known["preprocessing"] == bundle.manifest.preprocessing.to_json()
    assert known["sha256"] == bundle.file("engine.onnx").sha256
    assert known["flip"] is True
    assert any("mirror" in note for note in written.notes)


def test_a_plan_goes_before_every_other_engine_and_to_the_gpu(
    make_bundle: MakeBundle, tmp_path: Path, model_config: Any
) -> None:
    bundle = make_bundle(plan=b"a plan")
    out = tmp_path / "models"
    written = write(bundle.directory, out)
    config = config_of(out, model_config)
    assert (config.backend, config.default_model_filename) == ("tensorrt", "model.plan")
    assert "kind: KIND_GPU" in (out / "small" / "config.pbtxt").read_text()
    assert (out / "small" / "1" / "model.plan").read_bytes() == b"a plan"
    assert any("profile up to batch 32" in note for note in written.notes)
    named = write(bundle.directory / "model.onnx", tmp_path / "float")
    assert "model.onnx is served" in named.notes[0]
    assert config_of(tmp_path / "float", model_config).backend == "onnxruntime"


def test_an_openvino_engine_is_served_with_its_weights_under_the_name_openvino_looks_for(
    make_bundle: MakeBundle, tmp_path: Path, model_config: Any
) -> None:
    pytest.importorskip("openvino")
    from edgereid.bundle import describe_file, write_manifest
    from edgereid.export.openvino_ir import write_ir

    bundle = make_bundle(models={"engine.onnx": None})
    engine = bundle.directory / "engine.xml"
    write_ir(bundle.directory / "model.onnx", engine)
    added = (
        describe_file(engine, "engine", "openvino", "f32"),
        describe_file(engine.with_suffix(".bin"), "data"),
    )
    manifest = bundle.manifest
    files = (*manifest.files, *added)
    write_manifest(bundle.directory, type(manifest)("small", 6, manifest.preprocessing, files))
    out = tmp_path / "models"
    write(bundle.directory, out)
    config = config_of(out, model_config)
    assert config.backend == "openvino"
    assert (config.input[0].name, list(config.input[0].dims)) == ("images", [3, 16, 8])
    assert (config.output[0].name, list(config.output[0].dims)) == ("features", [6])
    version = out / "small" / "1"
    assert sorted(p.name for p in version.iterdir()) == ["model.bin", "model.xml"]
    with open_engine(version / "model.xml", EngineOptions(threads=1)) as served:
        assert served.run(np.zeros((2, 3, 16, 8), np.float32)).shape == (2, 6)


@pytest.mark.parametrize(
    ("file", "text_in_it", "error"),
    [
        ("tensorrt.onnx", "nothing that Triton serves", UsageError),
        ("notes.txt", "not listed", IntegrityError),
    ],
)
def test_a_file_that_triton_cannot_serve_is_refused(
    file: str, text_in_it: str, error: type[Exception], make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle()
    (bundle.directory / "notes.txt").write_text("mine")
    with pytest.raises(error, match=text_in_it):
        write(bundle.directory / file, tmp_path / "models")
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "a b", "é", "x" * 129, "a\n"])
def test_names_that_are_no_part_of_a_url_are_refused(name: str) -> None:
    with pytest.raises(UsageError, match="Triton cannot serve"):
        TritonOptions(name=name)


def test_a_bundle_without_any_engine_is_refused(make_bundle: MakeBundle, tmp_path: Path) -> None:
    bundle = make_bundle(models={"engine.onnx": None, "model.onnx": None})
    with pytest.raises(InputError, match="no engine"):
        write(bundle.directory, tmp_path / "models")


@given(st.integers(1, 4096))
def test_preferred_batches_rise_to_the_largest_and_never_pass_it(largest: int) -> None:
    sizes = preferred_batches(largest)
    assert sizes[-1] == largest
    assert sizes == sorted(set(sizes))
    assert all(size & (size - 1) == 0 and size >= 4 for size in sizes[:-1])


@example('a "quoted" word', 0)
@example("a\\tree, a line\n, a zero \0 before 1, and an é", -1)
@given(st.text(), st.integers(-(2**31), 2**31 - 1))
def test_any_text_and_number_come_back_from_protobuf_s_parser(value: str, number: int) -> None:
    from google.protobuf import struct_pb2

    struct = {"fields": [{"key": value, "value": {"string_value": value}}]}
    parsed = text_format.Parse(text(struct), struct_pb2.Struct())
    assert dict(parsed.items()) == {value: value}
    # an enum and a number, in a message that every protobuf has
    row = {"name": value, "number": number, "label": Symbol("LABEL_REPEATED")}
    from google.protobuf import descriptor_pb2

    field = text_format.Parse(text(row), descriptor_pb2.FieldDescriptorProto())
    assert (field.name, field.number, field.label) == (value, number, 3)


def test_what_has_no_text_form_is_refused() -> None:
    with pytest.raises(TypeError, match="float"):
        text({"x": 1.5})
