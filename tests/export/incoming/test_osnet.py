"""OSNet as torchreid defines and exports it, through the command: nothing of ours on the way."""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from edgereid.bundle import Bundle  # noqa: E402
from edgereid.calibration.table import CalibrationTable  # noqa: E402
from edgereid.cli import export as command  # noqa: E402
from edgereid.engines.open import open_engine  # noqa: E402
from edgereid.images import Preprocessing, load_batch  # noqa: E402
from edgereid.models.osnet import ChannelGate, OSNet  # noqa: E402

SMALL, WIDTHS_X0_25 = (16, 64, 64, 64), (16, 64, 96, 128)
FAST = {(11, False, True), (13, True, False)}  # of the ways below; each takes seconds
PRESERVE = {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}


class Gate(ChannelGate):
    """With torchreid's own pooling."""

    def forward(self, x: Any) -> Any:
        return x * torch.sigmoid(self.fc2(self.relu(self.fc1(F.adaptive_avg_pool2d(x, 1)))))


class Torchreid(OSNet):
    """With torchreid's own head: pooled, then a view of the batch's size."""

    def forward(self, x: Any) -> Any:
        x = self.conv5(self.conv4(self.conv3(self.conv2(self.maxpool(self.conv1(x))))))
        v = F.adaptive_avg_pool2d(x, 1)
        return self.fc(v.view(v.size(0), -1))


def crops_in(folder: Path, count: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(count):
        blocks = rng.integers(0, 256, (8, 4, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((32, 64)).save(folder / f"{i:02d}.png")
    return folder


def osnet(widths: tuple[int, int, int, int], crops: Path, size: tuple[int, int]) -> nn.Module:
    """Untrained, but with the statistics of the crops in its batch norms."""
    torch.manual_seed(0)
    net = Torchreid(widths, feature_size=widths[-1])
    for module in net.modules():
        if isinstance(module, ChannelGate):
            module.__class__ = Gate
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            module.momentum = None  # the plain mean over the batches
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
    images = torch.from_numpy(load_batch(sorted(crops.iterdir()), Preprocessing(*size)))
    with torch.no_grad():
        for _ in range(2):
            net.train()(images)
    return net.eval()


@pytest.fixture(scope="module")
def crops(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return crops_in(tmp_path_factory.mktemp("osnet") / "crops", 40)


@pytest.fixture(scope="module")
def small(crops: Path) -> nn.Module:
    return osnet(SMALL, crops, (64, 32))


def exported(net: nn.Module, path: Path, opset: int, dynamic: bool, size: Any, **how: Any) -> None:
    names = {"input_names": ["input"], "output_names": ["output"]}
    axes = {"input": {0: "batch"}, "output": {0: "batch"}} if dynamic else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter is deprecated; others still use it
        torch.onnx.export(
            net, (torch.zeros(1, 3, *size),), str(path), opset_version=opset, dynamo=False,
            dynamic_axes=axes, **names, **how,
        )  # fmt: skip


def run_command(*words: Any) -> None:
    parser = argparse.ArgumentParser()
    command.configure(parser)
    assert command.run(parser.parse_args([str(word) for word in words])) == 0


def torch_features(net: nn.Module, images: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        out: np.ndarray = net(torch.from_numpy(images)).numpy()
    return out


WAYS = [
    pytest.param(
        opset, dynamic, how,
        id=f"{opset}-{'dynamic' if dynamic else 'static'}-{'unfolded' if how else 'folded'}",
        marks=() if (opset, dynamic, bool(how)) in FAST else pytest.mark.slow,
    )
    for opset in (11, 12, 13)
    for dynamic in (False, True)
    for how in ({}, PRESERVE)
]  # fmt: skip


@pytest.mark.parametrize(("opset", "dynamic", "how"), WAYS)
def test_every_way_of_exporting_it_gives_the_same_float_network(
    opset: int, dynamic: bool, how: dict[str, Any], small: nn.Module, crops: Path, tmp_path: Path
) -> None:
    path = tmp_path / "osnet.onnx"
    exported(small, path, opset, dynamic, (64, 32), **how)
    run_command(path, "--out", tmp_path / "b", "--threads", 1, "--calib", crops)
    model = onnx.load(str(tmp_path / "b" / "model.onnx"))
    found = {node.op_type for node in model.graph.node}
    assert not {"BatchNormalization", "Identity", "Constant", "Dropout"} & found
    assert model.opset_import[0].version == 17
    images = load_batch(sorted(crops.iterdir())[:9], Preprocessing(64, 32))
    with open_engine(tmp_path / "b" / "model.onnx") as engine:
        np.testing.assert_allclose(
            engine.run(images), torch_features(small, images), rtol=1e-3, atol=5e-4
        )


def test_one_command_makes_a_whole_bundle_of_a_static_file_with_its_batch_norms(
    small: nn.Module, crops: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "osnet.onnx"
    exported(small, path, 12, False, (64, 32), **PRESERVE)
    out = tmp_path / "b"
    run_command(
        path, "--int8", "--calib", crops, "--calib-images", 8, "--threads", 1, "--out", out,
        "--preprocess", "half", "--json", "--target", "onnxruntime",
    )  # fmt: skip
    printed = capsys.readouterr()
    assert json.loads(printed.out)["manifest"]["network"] == "osnet"
    assert "operator set 12 upgraded to 17" in printed.err
    assert "batch 1 made dynamic" in printed.err
    bundle = Bundle.open(out)
    files = {f.name: f.role for f in bundle.manifest.files}
    assert files == {
        "model.onnx": "float", "calibration.json": "calibration", "engine.onnx": "engine",
        "mended-onnxruntime.npz": "repairs",
    }  # fmt: skip
    assert bundle.manifest.preprocessing == Preprocessing(64, 32, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert bundle.manifest.feature_size == 64
    p = bundle.manifest.provenance
    assert p["source"]["opset"] == 12
    assert p["source"]["producer"].startswith("pytorch")
    assert "weights" not in p
    assert p["parity"]["model.onnx"]["cosine"] > 0.99999
    assert p["calibration"]["checked_on"] == "others"
    report = p["int8"]["engine.onnx"]
    assert report["int8_share_of_macs"] > 0.9
    assert report["crops"] == 32
    assert report["bytes"] == (out / "engine.onnx").stat().st_size
    assert report["share_of_float_bytes"] == pytest.approx(
        report["bytes"] / (out / "model.onnx").stat().st_size, abs=1e-6
    )
    assert 0 <= report["certified"] <= report["certified_mixed"] <= 1
    assert report["certified"] <= report["kept"] <= 1
    precision = bundle.manifest.precision["engine.onnx"]
    assert len(precision) == len(onnx.load(str(out / "model.onnx")).graph.node)
    table = CalibrationTable.load(out / "calibration.json")
    assert table.provenance["model"] == bundle.file("model.onnx").sha256
    shown = command.summary(bundle)
    assert "INT8 MACs" in shown
    assert "certified" in shown


@pytest.mark.slow
@pytest.mark.parametrize("dynamic", [False, True], ids=["static", "dynamic"])
def test_osnet_x0_25_of_others_at_opset_12_goes_through(dynamic: bool, tmp_path: Path) -> None:
    crops = crops_in(tmp_path / "crops", 72)
    net = osnet(WIDTHS_X0_25, crops, (256, 128))
    path = tmp_path / "osnet_x0_25.onnx"
    exported(net, path, 12, dynamic, (256, 128), **PRESERVE)
    out = tmp_path / "b"
    run_command(path, "--int8", "--calib", crops, "--calib-images", 32, "--out", out)
    bundle = Bundle.open(out)
    images = load_batch(sorted(crops.iterdir())[:32], bundle.manifest.preprocessing)
    want = torch_features(net, images)
    with open_engine(out / "model.onnx") as engine:
        np.testing.assert_allclose(engine.run(images), want, rtol=1e-3, atol=1e-4)
    for name, report in bundle.manifest.provenance["int8"].items():
        assert report["int8_share_of_macs"] > 0.9, name
        assert report["batch_cosine"] > 0.99, name
        assert report["crops"] == 40, name
