"""Files that take bytes give what those give that take normalised images, and say so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

from edgereid.bench.gate.agreement import alternatives, centred_cosines  # noqa: E402
from edgereid.bench.opening import noise  # noqa: E402
from edgereid.bench.scenarios import start_child  # noqa: E402
from edgereid.bench.scenarios.start import Order  # noqa: E402
from edgereid.bundle import Bundle, describe_file, write_manifest  # noqa: E402
from edgereid.data.types import ImageRecord, ReidDataset  # noqa: E402
from edgereid.engines.open import open_engine  # noqa: E402
from edgereid.errors import InputError  # noqa: E402
from edgereid.evaluation.extract import Extraction  # noqa: E402
from edgereid.evaluation.score import evaluate_subject  # noqa: E402
from edgereid.evaluation.subject import Subject  # noqa: E402
from edgereid.evaluation.targets import targets_of  # noqa: E402
from edgereid.export import uint8_input  # noqa: E402
from edgereid.export.deploy.options import (  # noqa: E402
    DeepStreamOptions,
    DeployOptions,
    TritonOptions,
    TrtexecOptions,
)
from edgereid.export.deploy.write import deploy  # noqa: E402
from edgereid.export.graph import Graph  # noqa: E402
from edgereid.export.incoming.options import IncomingOptions  # noqa: E402
from edgereid.export.lint.report import lint  # noqa: E402
from edgereid.export.lint.targets import choose  # noqa: E402
from edgereid.export.options import ExportOptions  # noqa: E402
from edgereid.export.pipeline import export_bundle  # noqa: E402
from edgereid.export.placement import place  # noqa: E402
from edgereid.export.policy import POLICIES  # noqa: E402
from edgereid.export.uint8_input import with_uint8_input  # noqa: E402
from edgereid.images import (  # noqa: E402
    Preprocessing,
    decode,
    iter_batches,
    load_batch,
    mirrored,
    normalise,
    resize,
)

HEIGHT, WIDTH = 16, 8
FILES = (
    ("model.onnx", "onnxruntime"),
    ("model.onnx", "openvino"),
    ("engine.onnx", "onnxruntime"),
    ("engine.xml", "openvino"),
)
FLOATS = FILES[:2]
#: Uneven in everything that may be mixed up.
ODD = Preprocessing(HEIGHT, WIDTH, mean=(0.1, 0.4, 0.7), std=(0.2, 0.5, 0.9))


@dataclass(frozen=True)
class Exports:
    """One network exported twice from the same images, and a data set of persons in colours."""

    data: ReidDataset
    options: ExportOptions
    floats: Bundle
    bytes: Bundle

    @property
    def paths(self) -> list[Path]:
        return [r.path for r in (*self.data.query, *self.data.gallery)]


def draw(folder: Path) -> ReidDataset:
    """10 persons whose colours differ in hue, seen by two cameras, twice by the second."""
    rng = np.random.default_rng(11)
    persons = rng.uniform(0, 255, (10, 4, 2, 3))

    def records(subset: str, camid: int, shots: int) -> tuple[ImageRecord, ...]:
        (folder / subset).mkdir(parents=True)
        found = []
        for pid, colours in enumerate(persons, start=1):
            for shot in range(shots):
                seen = np.repeat(np.repeat(colours, 5, axis=0), 5, axis=1)
                seen = seen * rng.uniform(0.8, 1.0) + rng.normal(0, 20, seen.shape)
                path = folder / subset / f"{pid:04}_c{camid}_{shot}.png"
                Image.fromarray(np.clip(seen, 0, 255).astype(np.uint8)).save(path)
                found.append(ImageRecord(path, pid, camid))
        return tuple(found)

    return ReidDataset("tiny", folder, (), records("query", 1, 1), records("gallery", 2, 3))


@pytest.fixture(scope="module")
def exports(tmp_path_factory: pytest.TempPathFactory, make_small: Callable[..., Any]) -> Exports:
    folder = tmp_path_factory.mktemp("bytes")
    onnx.save(make_small(), folder / "small.onnx")
    data = draw(folder / "data")
    options = ExportOptions(
        network=str(folder / "small.onnx"),
        out=folder / "floats",
        int8=True,
        calibration=folder / "data" / "gallery",
        allow_test_images=True,
        images=24,
        method="mse",  # "best" would look at other images: it picks them by their bytes
        threads=1,
        incoming=IncomingOptions(mean=ODD.mean, std=ODD.std, color="BGR"),
    )
    taking = replace(options, out=folder / "bytes", uint8_input=True)
    return Exports(data, options, export_bundle(options), export_bundle(taking))


def features(path: Path, runtime: str, preprocessing: Preprocessing, crops: list[Path]) -> Any:
    """Of all crops in batches of three sizes, none of them the whole."""
    with open_engine(path, runtime=runtime) as engine:
        parts = [crops[:1], crops[1:8], crops[8:]]
        return np.concatenate([engine.run(load_batch(p, preprocessing)) for p in parts])


@pytest.mark.parametrize(("file", "runtime"), FILES)
def test_every_file_takes_bytes_and_gives_the_features_of_normalised_images(
    exports: Exports, file: str, runtime: str
) -> None:
    for side, shape in ((exports.bytes, (None, 16, 8, 3)), (exports.floats, (None, 3, 16, 8))):
        with open_engine(side.directory / file, runtime=runtime) as engine:
            assert (engine.inputs[0].name, engine.inputs[0].shape) == ("images", shape)
            assert engine.inputs[0].dtype == side.manifest.preprocessing.input
            assert engine.input_size == (HEIGHT, WIDTH)
    got, want = (
        features(side.directory / file, runtime, side.manifest.preprocessing, exports.paths)
        for side in (exports.bytes, exports.floats)
    )
    assert centred_cosines(want, got).min() > 0.9999
    if (file, runtime) in FLOATS:
        np.testing.assert_allclose(got, want, atol=1e-5 * np.abs(want).max())


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize(("file", "runtime"), FILES)
def test_both_bundles_have_one_accuracy_mirror_images_included(
    exports: Exports, file: str, runtime: str, flip: bool
) -> None:
    found = []
    for side in (exports.bytes, exports.floats):
        (target,) = targets_of(side.directory / file, (runtime,), None)
        with open_engine(target.path, runtime=runtime) as engine:
            subject = Subject(engine, target.preprocessing_of(engine), flip=flip)
            found.append(evaluate_subject(subject, exports.data, extraction=Extraction(7, 1)))
    taking, floats = found
    assert 0.3 < floats.mean_ap < 1.0  # it can be gained and lost
    tolerance = 1e-12 if (file, runtime) in FLOATS else 0.01
    np.testing.assert_allclose(taking.mean_ap, floats.mean_ap, atol=tolerance)
    if (file, runtime) in FLOATS:
        np.testing.assert_array_equal(taking.first_match, floats.first_match)


@pytest.mark.parametrize("color", ["RGB", "BGR"])
def test_the_graph_computes_the_formula_and_copies_nothing_else(color: str) -> None:
    """A network that returns its input shows what the normalisation makes of the pixels."""
    value = onnx.helper.make_tensor_value_info
    shape = ["batch", 3, HEIGHT, WIDTH]
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Identity", ["images"], ["features"])],
        "identity",
        [value("images", 1, shape)],
        [value("features", 1, shape)],
    )
    opset = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    preprocessing = replace(ODD, color=color)
    changed = with_uint8_input(model, preprocessing)
    assert model.graph.input[0].type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    pixels = np.random.default_rng(0).integers(0, 256, (3, HEIGHT, WIDTH, 3), dtype=np.uint8)
    session = ort.InferenceSession(changed.SerializeToString(), providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"images": pixels})
    for row, channel in enumerate("RGB".index(c) for c in color):
        plane = pixels[..., channel].astype(np.float64) / 255
        wanted = (plane - ODD.mean[row]) / ODD.std[row]
        np.testing.assert_allclose(got[:, row], wanted, atol=2e-6)
    np.testing.assert_allclose(got, normalise(pixels, preprocessing), rtol=0, atol=5e-7)


@pytest.mark.parametrize(
    "change",
    [
        {"color": "RGB"},
        {"mean": ODD.mean[::-1]},
        {"std": ODD.std[::-1]},
    ],
)
def test_a_wrong_normalisation_in_the_graph_is_refused_by_the_parity_check(
    exports: Exports, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    def wrong(model: Any, preprocessing: Preprocessing) -> Any:
        return with_uint8_input(model, replace(preprocessing, **change))

    monkeypatch.setattr(uint8_input, "with_uint8_input", wrong)
    out = exports.bytes.directory.with_name("wrong")
    options = replace(exports.options, out=out, uint8_input=True, int8=False)
    with pytest.raises(InputError, match=r"model\.onnx does not agree with"):
        export_bundle(options)
    assert not out.exists()


@pytest.mark.parametrize("target", POLICIES)
def test_quantisation_begins_behind_the_normalisation(exports: Exports, target: str) -> None:
    graph = Graph(onnx.load(exports.bytes.directory / "model.onnx"))
    assert [n.op_type for n in graph.consumers["images"]] == ["Cast"]
    activations = place(graph, POLICIES[target]).activations
    first = next(n for n in graph.nodes if n.op_type == "Conv")
    assert first.input[0] in activations
    assert graph.producer[first.input[0]].op_type == "Add"
    assert "images" not in activations
    plain = Graph(onnx.load(exports.floats.directory / "model.onnx"))
    before = place(plain, POLICIES[target]).activations
    assert [n for n in activations if n != first.input[0]] == [n for n in before if n != "images"]


def test_the_rules_of_tensorrt_have_nothing_against_it(exports: Exports) -> None:
    for file, target in (("model.onnx", "tensorrt"), ("engine.onnx", "onnxruntime")):
        taking, floats = (
            {
                (f.rule, f.node.replace("input/Add/", "images/"))
                for f in lint(onnx.load(side.directory / file), choose(target)).findings
            }
            for side in (exports.bytes, exports.floats)
        )
        assert taking == floats, file
    out = exports.bytes.directory.with_name("trt")
    made = export_bundle(replace(exports.options, out=out, target="tensorrt", uint8_input=True))
    (quantised,) = (f.name for f in made.find("data") if f.precision == "int8")
    report = lint(onnx.load(out / quantised), choose("tensorrt"))
    assert [f for f in report.findings if f.severity == "error"] == []


def test_the_manifest_says_what_is_taken_and_only_then(exports: Exports) -> None:
    taking, floats = exports.bytes.manifest.preprocessing, exports.floats.manifest.preprocessing
    assert taking == replace(floats, input="uint8")
    assert taking.to_json() == {**floats.to_json(), "input": "uint8"}
    assert "input" not in floats.to_json(), "versions without the field read all other bundles"
    for one in (taking, floats):
        assert Preprocessing.from_json(one.to_json()) == one
    with pytest.raises(InputError, match="input type 'int8' is unknown: float32, uint8"):
        Preprocessing.from_json({**floats.to_json(), "input": "int8"})


def test_float_weights_in_such_a_bundle_get_floats(exports: Exports, tmp_path: Path) -> None:
    manifest = exports.bytes.manifest
    for name in ("model.onnx", "floats.onnx"):
        source = exports.bytes if name == "model.onnx" else exports.floats
        (tmp_path / name).write_bytes((source.directory / "model.onnx").read_bytes())
    files = [
        describe_file(tmp_path / n, "float", "onnxruntime", "f32")
        for n in ("model.onnx", "floats.onnx")
    ]
    write_manifest(
        tmp_path, replace(manifest, files=tuple(files), precision={}, provenance={}, targets=())
    )
    found = []
    for name, wanted in (("model.onnx", "uint8"), ("floats.onnx", "float32")):
        (target,) = targets_of(tmp_path / name, (), None)
        with open_engine(target.path) as engine:
            preprocessing = target.preprocessing_of(engine)
            assert preprocessing.input == wanted
            found.append(evaluate_subject(Subject(engine, preprocessing), exports.data).mean_ap)
    assert found[0] == pytest.approx(found[1], abs=1e-12)


def test_images_are_loaded_as_the_resized_pixels(exports: Exports) -> None:
    taking = ODD.taken_as("uint8")
    batch = load_batch(exports.paths[:5], taking)
    wanted = np.stack([resize(decode(p), taking) for p in exports.paths[:5]])
    assert batch.dtype == np.uint8
    np.testing.assert_array_equal(batch, wanted)
    np.testing.assert_array_equal(
        np.concatenate(list(iter_batches(exports.paths[:5], taking, 2))), wanted
    )
    normal = load_batch(exports.paths[:5], ODD)
    assert batch.nbytes * 4 == normal.nbytes
    np.testing.assert_array_equal(normalise(mirrored(batch), ODD), mirrored(normal))
    assert not np.array_equal(mirrored(batch), batch)


def bad(*shape: int, dtype: Any = np.uint8) -> NDArray[Any]:
    return np.zeros(shape, dtype)


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (bad(2, 16, 8, 3, dtype=np.float32), "takes a uint8 array, not float32"),
        (bad(2, 3, 16, 8), r"takes Nx16x8x3, got 2x3x16x8 \(height\)"),
        (bad(2, 16, 9, 3), r"got 2x16x9x3 \(width\)"),
        (bad(2, 16, 8, 4), r"got 2x16x8x4 \(channels\)"),
        (bad(16, 8, 3), r"takes \(N, H, W, 3\), not 3 dimensions"),
        (bad(0, 16, 8, 3), "the batch is empty"),
    ],
)
def test_an_engine_that_takes_bytes_refuses_what_is_none(
    exports: Exports, batch: NDArray[Any], message: str
) -> None:
    with (
        open_engine(exports.bytes.directory / "model.onnx") as engine,
        pytest.raises(InputError, match=message),
    ):
        engine.run(batch)


def test_an_engine_that_takes_floats_refuses_bytes(exports: Exports) -> None:
    with (
        open_engine(exports.floats.directory / "model.onnx") as engine,
        pytest.raises(InputError, match="takes a float32 array, not uint8"),
    ):
        engine.run(bad(2, 16, 8, 3))


@pytest.mark.parametrize(
    ("kind", "shape"), [("UINT8", [1, 3, 16, 8]), ("FLOAT", [1, 16, 8, 3]), ("INT8", [1, 16, 8, 3])]
)
def test_other_layouts_and_types_are_no_images(tmp_path: Path, kind: str, shape: list[int]) -> None:
    nodes = [
        onnx.helper.make_node("Cast", ["images"], ["x"], to=1),
        onnx.helper.make_node("Flatten", ["x"], ["features"]),
    ]
    value = onnx.helper.make_tensor_value_info
    taken = [value("images", getattr(onnx.TensorProto, kind), shape)]
    graph = onnx.helper.make_graph(nodes, "flat", taken, [value("features", 1, [1, 384])])
    opset = [onnx.helper.make_opsetid("", 17)]
    onnx.save(
        onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), tmp_path / "flat.onnx"
    )
    with pytest.raises(InputError, match="Nx3xHxW float32 or NxHxWx3 uint8 in"):
        open_engine(tmp_path / "flat.onnx")


def test_servers_are_told_bytes_and_channels_last(exports: Exports, tmp_path: Path) -> None:
    bundle = exports.bytes.directory
    for file in (bundle, bundle / "engine.xml"):
        deploy(DeployOptions(file, tmp_path / f"t-{file.name}", TritonOptions(name="net")))
        text = (tmp_path / f"t-{file.name}" / "net" / "config.pbtxt").read_text()
        assert "data_type: TYPE_UINT8\n  dims: [16, 8, 3]" in text
        assert "data_type: TYPE_FP32\n  dims: [6]" in text
    deploy(DeployOptions(bundle / "model.onnx", tmp_path / "trtexec", TrtexecOptions()))
    script = (tmp_path / "trtexec" / "trtexec-10-strong.sh").read_text()
    assert "--maxShapes=images:32x16x8x3" in script
    with pytest.raises(InputError, match="export without --uint8-input"):
        deploy(DeployOptions(bundle, tmp_path / "ds", DeepStreamOptions()))


def test_a_manifest_that_says_floats_does_not_deploy_a_file_of_bytes(
    exports: Exports, tmp_path: Path
) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes((exports.bytes.directory / "model.onnx").read_bytes())
    files = (describe_file(path, "float", "onnxruntime", "f32"),)
    said = replace(exports.floats.manifest, files=files, precision={}, provenance={}, targets=())
    write_manifest(tmp_path, said)
    with pytest.raises(InputError, match="'images' is not float32"):
        deploy(DeployOptions(tmp_path, tmp_path / "out", TritonOptions()))


def test_the_gate_tries_other_filters_on_what_normalises_itself() -> None:
    own = replace(ODD, input="uint8", color="BGR")
    found = alternatives(own, replace(ODD, interpolation="bicubic"))
    assert set(found) == {"nearest resizing", "bicubic resizing"}
    assert all(replace(p, interpolation="bilinear") == own for p in found.values())


def test_a_start_is_measured_on_bytes(exports: Exports, capsys: pytest.CaptureFixture[str]) -> None:
    taking = exports.bytes.manifest.preprocessing
    assert noise(2, taking).shape == (2, HEIGHT, WIDTH, 3)
    path = exports.bytes.directory / "engine.onnx"
    order = Order.of(str(path), "onnxruntime", None, 1, False, None, taking)
    start_child.main(asdict(order))
    assert '"first_ms"' in capsys.readouterr().out
