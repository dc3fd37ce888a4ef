"""The whole command: files to a verdict, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgereid.bench.inspect.engine import Told
from edgereid.bench.inspect.layers import information
from edgereid.bench.inspect.run import InspectOptions, inspect
from edgereid.bench.inspect.times import LayerTimes
from edgereid.bundle import Manifest, describe_file, write_manifest
from edgereid.cli.main import main
from edgereid.images import Preprocessing
from tests.bench.inspect.conftest import QUANTISED_MACS, layer_text, quantised_network

pytest.importorskip("onnx")
Write = Callable[..., Path]
LAYERS = {
    "Layers": [
        layer_text("QuantizeLinear_2", "Reformat", ("Float",), Origin="QDQ"),
        layer_text("conv1.weight + QuantizeLinear_7 + Conv_9 + MaxPool_12"),
        layer_text("Reformatting CopyNode for Input Tensor 0 to Conv_22", "Reformat"),
        layer_text("layer1.0.conv1.weight + QuantizeLinear_20 + Conv_22", reads=("Half",)),
        layer_text("layer1.0.conv2.weight + QuantizeLinear_32 + Conv_34 + Add_42 + Relu_43"),
    ],
    "Bindings": ["x", "y"],
}
MS = (0.1, 0.4, 0.1, 0.3, 0.1)
TIMES = {layer["Name"]: ms for layer, ms in zip(LAYERS["Layers"], MS, strict=True)}  # type: ignore[index]


def command(capsys: pytest.CaptureFixture[str], *words: Any) -> tuple[int, str]:
    code = main(["inspect", *map(str, words)])
    return code, capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *words: Any) -> Any:
    code, out = command(capsys, *words, "--json")
    assert code == 0
    return json.loads(out)


@pytest.fixture
def files(written: Write) -> tuple[Path, Path, Path]:
    return (
        written("layers.json", LAYERS),
        written("profile.json", TIMES),
        written("net.onnx", quantised_network()),
    )


def test_a_refused_int8_is_a_warning_with_its_shares(
    files: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    layers, profile, graph = files
    (build,) = as_json(capsys, layers, profile, "--graph", graph)["builds"]
    share = 100 * QUANTISED_MACS["Conv_22"] / sum(QUANTISED_MACS.values())
    (warning,) = build["warnings"]
    assert warning == (
        "INT8 was asked for 1 node that the engine runs in float: 30 % of the layers' time, "
        f"{share:.3g} % of the MACs: Conv_22 (f16)"
    )
    groups = build["groups"]
    assert groups["changes"] == {"layers": 2, "ms": 0.2, "time_share": pytest.approx(0.2)}
    assert groups["nodes"]["time_share"] == pytest.approx(0.8)
    assert groups["unmatched"]["layers"] == 0
    assert build["ms"] == pytest.approx(1.0)


def test_strict_exits_with_1_on_a_warning_and_else_with_0(
    files: Any, written: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    layers, profile, graph = files
    assert command(capsys, layers, profile, "--graph", graph)[0] == 0
    assert command(capsys, layers, profile, "--graph", graph, "--strict")[0] == 1
    int8 = [layer | {"Inputs": [{"Name": "t", "Format/Datatype": "Int8"}]}
            for layer in LAYERS["Layers"]]  # type: ignore[operator]  # fmt: skip
    good = written("good.json", {"Layers": int8})
    assert command(capsys, good, profile, "--graph", graph, "--strict")[0] == 0


def test_the_table_says_what_a_person_asks(files: Any, capsys: pytest.CaptureFixture[str]) -> None:
    layers, profile, graph = files
    _, out = command(capsys, layers, profile, "--graph", graph)
    head = "5 layers, as TensorRT 8.x to 10.x tells them, together 1.000 ms (median of 10 runs)"
    assert head in out
    row = next(line for line in out.splitlines() if line.startswith("Conv_9"))
    assert row.split()[:6] == ["Conv_9", "+1", "CaskConvolution", "INT8", "0.400", "40.0"]
    assert "changes of layout or type" in out
    assert "warning: INT8 was asked for 1 node" in out
    _, everything = command(capsys, layers, profile, "--graph", graph, "--all")
    assert len(everything.splitlines()) > len(out.splitlines())
    assert "refused" in everything


def test_a_profile_belongs_to_the_build_before_it(
    files: Any, written: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    layers, profile, _ = files
    twice = written("twice.json", {name: 2 * ms for name, ms in TIMES.items()})
    value = as_json(capsys, layers, profile, layers, twice)
    assert [b["ms"] for b in value["builds"]] == [pytest.approx(1.0), pytest.approx(2.0)]
    assert [b["label"] for b in value["builds"]] == ["layers.json (1)", "layers.json (2)"]
    (comparison,) = value["comparisons"]
    assert {tuple(pair["changed"]) for pair in comparison["pairs"]} == {()}
    assert [p["ms_change"] for p in comparison["pairs"]] == pytest.approx(MS)


def test_a_log_and_a_profile_alone_can_be_inspected(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (build,) = as_json(capsys, data / "summary-10.log")["builds"]
    assert build["logs"][0]["clocks"]["compute"]["median"] == 7.14139
    assert (build["layers"], build["warnings"]) == ([], [])
    (build,) = as_json(capsys, data / "orin-8.5.profile.json")["builds"]
    assert len(build["layers"]) == 8
    assert {layer["precision"] for layer in build["layers"]} == {None}
    assert "10.3 " in command(capsys, data / "summary-10.log")[1]


def test_the_samples_are_shown_whole(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out = command(capsys, *sorted(data.glob("*.layers.json")), "--all")
    assert code == 0
    assert out.count("layers, as TensorRT") == 4
    assert "b200-11.layers.json beside a100-int8.layers.json" in out


def test_a_profile_of_another_build_is_a_warning(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    both = (data / "b200-11.layers.json", data / "b200-11.profile.json")
    code, out = command(capsys, *both, "--strict")
    assert code == 1
    assert "the profile is of another build" in out


@pytest.mark.parametrize(
    ("content", "code"),
    [("no text of theirs", 3), ("{", 3), ('{"a": 1}', 3), ("[1, 2]", 3), ("", 3), ("[", 3)],
)
def test_a_file_that_is_nothing_of_the_kind_is_an_input_error(
    content: str, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "x.json"
    path.write_text(content)
    assert main(["inspect", str(path)]) == code
    error = capsys.readouterr().err
    assert error.startswith("edgereid: error: ")
    assert error.count("\n") == 1


def test_binary_missing_and_huge_files_are_input_errors(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = tmp_path / "b.json"
    binary.write_bytes(b"\xff\xfe\x00")
    assert main(["inspect", str(binary)]) == 3
    assert main(["inspect", str(tmp_path / "none.json")]) == 3
    assert main(["inspect", str(tmp_path / "none.plan")]) == 3
    monkeypatch.setattr("edgereid.bench.inspect.json_text.MAX_JSON_BYTES", 10)
    binary.write_text('{"Layers": ["a"]}')
    assert main(["inspect", str(binary)]) == 3
    assert "no file of trtexec" in capsys.readouterr().err


@pytest.mark.parametrize(
    "flags",
    [["--batch", "0"], ["--runs", "0"], ["--runs", "1000000"], ["--profile-index", "-1"]],
)
def test_a_wrong_flag_is_wrong_use(flags: list[str], files: Any) -> None:
    assert main(["inspect", str(files[0]), *flags]) == 2


def test_a_second_profile_of_one_build_is_wrong_use(files: Any) -> None:
    assert main(["inspect", *map(str, (files[0], files[1], files[1]))]) == 2


def test_a_graph_that_is_none_is_an_input_error(files: Any, tmp_path: Path) -> None:
    assert main(["inspect", str(files[0]), "--graph", str(files[1])]) == 3
    assert main(["inspect", str(files[0]), "--graph", str(tmp_path / "none.onnx")]) == 3


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A bundle with a plan whose manifest says what it was built from, and what must stay FP32."""
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / "tensorrt.onnx").write_bytes(quantised_network().SerializeToString())
    (folder / "engine.plan").write_bytes(b"no real plan")
    built = {"onnx": {"file": "tensorrt.onnx"}, "float_layers": {"Add_42": "a test"}}
    manifest = Manifest(
        network="net",
        feature_size=8,
        preprocessing=Preprocessing(32, 16),
        files=(
            describe_file(folder / "tensorrt.onnx", "data", precision="int8"),
            describe_file(folder / "engine.plan", "engine", "tensorrt", "int8"),
        ),
        precision={
            "tensorrt.onnx": {
                "Conv_9": "int8",
                "Conv_22": "int8",
                "Relu_24": "int8",
                "Conv_34": "f32",  # not quantized: nobody asks that it stay FP32
            }
        },
        provenance={"plans": {"engine.plan": built}},
    )
    write_manifest(folder, manifest)
    return folder


def told(path: Path, options: InspectOptions) -> Told:
    rows = tuple(TIMES.items())
    return Told(information(json.dumps(LAYERS), str(path)), LayerTimes(rows, 5, "median"))


def test_a_plan_is_asked_and_its_manifest_says_what_was_asked_for(bundle: Path) -> None:
    found = inspect(InspectOptions((bundle,)), told)
    (build,) = found.builds
    assert (build.label, build.ms, build.runs) == ("engine.plan", pytest.approx(1.0), 5)
    verdicts = {row.name: row.verdict for row in build.rows if row.verdict}
    assert verdicts == {"Conv_9": "kept", "Conv_22": "refused", "Add_42": "lowered"}
    assert any("was to stay FP32" in warning for warning in build.warnings)


def test_json_of_a_bundles_engine_takes_the_bundle_as_its_graph(
    bundle: Path, written: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    layers = written("layers.json", LAYERS)
    (build,) = as_json(capsys, layers, "--graph", bundle)["builds"]
    asked = {row["name"]: row["verdict"] for row in build["nodes"] if row["verdict"]}
    assert asked == {"Conv_9": "kept", "Conv_22": "refused"}


def test_a_changed_plan_is_refused_before_it_runs(bundle: Path) -> None:
    (bundle / "engine.plan").write_bytes(b"another")
    assert main(["inspect", str(bundle)]) == 5
    assert main(["inspect", str(bundle / "tensorrt.onnx")]) == 3


def test_a_bundle_without_a_plan_is_wrong_use(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["files"]["engine.plan"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    assert main(["inspect", str(bundle)]) == 2


def test_without_the_package_onnx_a_plan_is_shown_without_its_nodes(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    (build,) = inspect(InspectOptions((bundle,)), told).builds
    assert (build.joined, build.rows, len(build.steps)) == (False, (), 5)
    assert any("pip install onnx" in note for note in build.notes)


@pytest.mark.parametrize("name", ["", ".", "..", "../net.onnx", "none.onnx", "\0", 7, None])
def test_a_manifest_that_names_no_file_beside_the_plan_names_none(bundle: Path, name: Any) -> None:
    (bundle.parent / "net.onnx").write_bytes(quantised_network().SerializeToString())
    manifest = json.loads((bundle / "manifest.json").read_text())
    manifest["provenance"]["plans"]["engine.plan"]["onnx"]["file"] = name
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    (build,) = inspect(InspectOptions((bundle,)), told).builds
    assert not build.joined


def test_where_shapes_are_open_kernels_and_weights_speak(
    written: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    """As trtexec --skipInference leaves an engine with a profile of several batches."""
    kernel = "sm80_xmma_fprop_implicit_gemm_interleaved_i8i8_i8i32_f32_nchw_vect_c_32kcrs"
    weights = {"Type": "Int8", "Count": 1176}
    open_types = ("N/A due to dynamic shapes",)
    first, second, add = "Conv_9 + Relu_11", "Conv_22 + Relu_24", "PWN(Add_42, Relu_43)"
    half = {"Type": "Half", "Count": 576}
    layers = [
        layer_text(first, reads=open_types, TacticName=kernel, Weights=weights),
        layer_text(second, reads=open_types, TacticName="0x1", Weights=half),
        layer_text(add, "PointWiseV2", open_types),
    ]
    path = written("layers.json", {"Layers": layers, "Bindings": []})
    graph = written("net.onnx", quantised_network())
    (build,) = as_json(capsys, path, "--graph", graph)["builds"]
    ran = {layer["name"]: (layer["precision"], layer["inferred"]) for layer in build["layers"]}
    assert ran == {first: ("int8", True), second: ("f16", True), add: (None, False)}
    assert any("2 layers judged by kernel and weights" in note for note in build["notes"])
    assert any("INT8 was asked for 1 node that" in w and "Conv_22" in w for w in build["warnings"])
