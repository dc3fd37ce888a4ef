"""Every registered network, typed: it runs, agrees with FP32, and lint has nothing to say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import numpy_helper  # noqa: E402

torch = pytest.importorskip("torch")
import edgereid  # noqa: E402
from edgereid.calibration.collect import collect  # noqa: E402
from edgereid.calibration.table import decide  # noqa: E402
from edgereid.calibration.thresholds import Decision  # noqa: E402
from edgereid.data.synth import SynthOptions, synthesise  # noqa: E402
from edgereid.export.graph import Graph  # noqa: E402
from edgereid.export.lint.finding import NOTE  # noqa: E402
from edgereid.export.lint.report import lint, text  # noqa: E402
from edgereid.export.lint.targets import choose  # noqa: E402
from edgereid.export.placement import place, schemes_needed  # noqa: E402
from edgereid.export.policy import TENSORRT  # noqa: E402
from edgereid.export.qdq import quantize  # noqa: E402
from edgereid.export.torch_onnx import export_onnx, load_network  # noqa: E402
from edgereid.export.typed.cast import typed_fp16  # noqa: E402
from edgereid.images import load_batch  # noqa: E402
from edgereid.models import registry  # noqa: E402

#: Kinds of layers that one network or another has in FP32, and nothing else is.
KEPT = {
    "GridSample", "Softmax", "Pow", "ReduceL2", "Div", "Clip", "Mul", "Add", "Sub", "Tanh",
    "Reshape", "Gather", "Unsqueeze", "Expand", "Concat", "Cast", "Reciprocal", "ReduceMean",
    "MatMul", "Abs", "Slice", "Transpose", "Range",
}  # fmt: skip


def int8(path: Path, images: np.ndarray) -> Any:
    """The Q/DQ model for TensorRT, calibrated by the maximum."""
    model = onnx.load(str(path))
    graph = Graph(model)
    tensors = set(place(graph, TENSORRT).activations.values())
    seen = collect(path, [images], tensors, threads=1)
    needed = schemes_needed(graph, (TENSORRT,), {n: h.low >= 0 for n, h in seen.items()})
    table = decide(seen.values(), needed, Decision("minmax"), {})
    return quantize(model, table, TENSORRT)[0]


def require_clean(model: Any, *releases: str) -> None:
    for release in releases:
        report = lint(model, choose("tensorrt", release))
        assert {f.severity for f in report.findings} <= {NOTE}, text(report)


def require_few_casts(model: Any) -> None:
    """No number is cast twice in a row, even if it is moved between; and one tensor only once."""
    makers = {name: n for n in model.graph.node for name in n.output}
    casts = [n for n in model.graph.node if n.op_type == "Cast"]
    assert len({(n.input[0], n.attribute[0].i) for n in casts}) == len(casts)
    for cast in casts:
        maker = makers.get(cast.input[0])
        while maker is not None and maker.op_type in ("Reshape", "Transpose", "Unsqueeze"):
            maker = makers.get(maker.input[0])
        integers = maker is not None and maker.op_type == "Cast" and "Sub" in maker.input[0]
        assert maker is None or maker.op_type != "Cast" or integers, cast.name


def test_the_shipped_network_on_drawn_people(tmp_path: Path, run: Any, centred_cosine: Any) -> None:
    shipped = Path(edgereid.__file__).parent / "weights" / "dslnet.safetensors"
    network, pre = load_network("dslnet", shipped)
    export_onnx(network, (pre.height, pre.width), tmp_path / "model.onnx")
    drawing = SynthOptions(
        train_ids=6, test_ids=1, images_per_camera=1, distractors=0, junk=0, seed=5
    )
    synthesise(tmp_path / "data", drawing, workers=1)
    images = load_batch(sorted(tmp_path.glob("data/bounding_box_train/*"))[:12], pre)
    model = onnx.load(str(tmp_path / "model.onnx"))
    typed, report = typed_fp16(model)
    want = run(model, images)
    assert centred_cosine(run(typed, images), want) >= 0.999
    assert report.casts == 14, "one in, one out, two at each of six softmaxes"
    assert {n.split("/")[-1] for n in report.float32} == {"Softmax"}
    assert len(typed.SerializeToString()) < 0.52 * len(model.SerializeToString())

    quantized = int8(tmp_path / "model.onnx", images)
    both, _ = typed_fp16(quantized)
    require_clean(quantized, "8.6", "10.3", "10.13")
    require_clean(both, "10.3", "10.13", "11.0")
    in_float = centred_cosine(run(quantized, images), want)
    assert centred_cosine(run(both, images), want) >= in_float - 0.005, "8 bits cost what they did"


def each() -> list[Any]:
    return [pytest.param(n, marks=pytest.mark.slow) for n in registry.names()]


@pytest.mark.parametrize("name", each())
def test_every_network_keeps_its_features_and_lint_is_silent(
    name: str, tmp_path: Path, run: Any, centred_cosine: Any
) -> None:
    images = structured(8, name)
    network = calibrated(name)
    path = tmp_path / "model.onnx"
    export_onnx(network, images.shape[2:], path)
    model = onnx.load(str(path))
    typed, report = typed_fp16(model)
    want, got = run(model, images), run(typed, images)
    assert got.dtype == np.float32
    # Untrained, a network may magnify any rounding; then the caster must not add to it.
    floor = centred_cosine(run(rounded(model), images.astype(np.float16).astype("f4")), want)
    assert centred_cosine(got, want) >= min(0.999, 1 - 1.5 * (1 - floor))
    assert {n.split("/")[-1].split("_")[0] for n in report.float32} <= KEPT
    require_few_casts(typed)
    require_clean(typed, "10.3", "11.0")
    quantized = int8(path, images)
    require_clean(quantized, "8.6", "10.3")
    both, _ = typed_fp16(quantized)
    require_clean(both, "10.3", "11.0")
    require_few_casts(both)
    assert np.isfinite(run(both, images)).all()


def rounded(model: Any) -> Any:
    """The FP32 model with weights that FP16 has: the least that any FP16 file does to it."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    for tensor in out.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32:
            half = values.astype(np.float16).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(half, tensor.name))
    return out


def structured(count: int, name: str) -> np.ndarray:
    """Smooth random images at the network's size, of a light one at half of it."""
    spec = registry.entry(name).input
    size = (spec.height, spec.width) if heavy(name) else (spec.height // 2, spec.width // 2)
    rng = np.random.default_rng(count)
    coarse = torch.from_numpy(rng.random((count, 3, 8, 4), dtype=np.float32))
    out = torch.nn.functional.interpolate(coarse, size=size, mode="bilinear") * 4 - 2
    return np.asarray(out.numpy())


def heavy(name: str) -> bool:
    with torch.device("meta"):  # no memory, no initial values
        return sum(p.numel() for p in registry.build(name).parameters()) > 3_000_000


def calibrated(name: str) -> Any:
    """Weights spread out; batch norm has seen varied images, of a light network until its
    activations have the size of a trained one's."""
    torch.manual_seed(0)
    network = registry.build(name)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.Linear):
            torch.nn.init.kaiming_normal_(module.weight)
    with torch.no_grad():
        for _ in range(1 if heavy(name) else 8):
            for count in (12, 16):
                network.train()(torch.from_numpy(structured(count, name)))
    return network.eval()
