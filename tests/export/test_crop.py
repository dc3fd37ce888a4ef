"""How hard attention crops is chosen at export: the same embeddings by other operators."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402

from edgereid.cli.main import main  # noqa: E402
from edgereid.engines.open import open_engine  # noqa: E402
from edgereid.errors import UsageError  # noqa: E402
from edgereid.export.options import CROPS, ExportOptions  # noqa: E402
from edgereid.export.pipeline import export_bundle  # noqa: E402
from edgereid.export.torch_onnx import export_onnx, require_cropping  # noqa: E402
from edgereid.images import load_batch  # noqa: E402
from edgereid.models import crops, registry  # noqa: E402
from edgereid.models.robust_reid import RobustReID, Widths  # noqa: E402


def lively(network: nn.Module) -> nn.Module:
    """Centres that depend on the image, some of them off its edge, and varied batch statistics."""
    generator = torch.Generator().manual_seed(0)
    for name, module in network.named_modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
        elif isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, generator=generator)
        elif isinstance(module, nn.Linear):
            spread = 0.5 if "hard" in name else 1 / module.in_features**0.5
            nn.init.normal_(module.weight, 0, spread, generator=generator)
    return network.eval()


def operators(path: Path) -> Counter[str]:
    return Counter(node.op_type for node in onnx.load(str(path)).graph.node)


def test_the_names_of_the_options_are_those_of_the_crops() -> None:
    assert tuple(crops.CROPS) == CROPS


@pytest.mark.parametrize("name", [pytest.param("robust_reid_1x", marks=pytest.mark.slow), "hacnn"])
def test_both_crops_give_the_same_embeddings_and_matmul_needs_no_grid_sample(
    name: str, tmp_path: Path
) -> None:
    network: Any = lively(registry.build(name))
    images = np.random.default_rng(0).normal(size=(5, 3, 80, 32)).astype(np.float32)
    found = {}
    for network.crop in CROPS:
        path = tmp_path / f"{network.crop}.onnx"
        export_onnx(network, (80, 32), path)
        with open_engine(path) as engine:
            found[network.crop] = np.concatenate([engine.run(images[:4]), engine.run(images[4:])])
        assert operators(path)["GridSample"] == (3 if network.crop == "grid_sample" else 0)
        assert (operators(path)["MatMul"] == 0) == (network.crop == "grid_sample")
    assert found["matmul"].std(axis=0).max() > 1e-3, "the embeddings must depend on the image"
    np.testing.assert_allclose(found["matmul"], found["grid_sample"], rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExportOptions]:
    """A registered small network that crops, its weights, a folder of images."""
    registry.names()  # loads the networks, so that the small one is added to them

    @registry.register("small-crops", registry.InputSpec(height=80, width=32), paper="none")
    def small(num_ids: int | None = None) -> registry.Network:
        return RobustReID(Widths(8, (16, 32, 32), (1, 1, 1), 16), num_ids)

    folder = tmp_path_factory.mktemp("crops")
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for i in range(32):
        blocks = rng.integers(0, 256, (10, 4, 3), dtype=np.uint8)
        Image.fromarray(blocks).resize((32, 80)).save(folder / "images" / f"{i:02d}.png")
    save_file(lively(small()).state_dict(), str(folder / "w.safetensors"))
    yield ExportOptions(
        network="small-crops",
        out=folder / "bundle",
        weights=folder / "w.safetensors",
        calibration=folder / "images",
        images=16,
        threads=1,
    )
    del registry._ENTRIES["small-crops"]


def test_the_crop_is_recorded_and_changes_no_embedding(options: ExportOptions) -> None:
    assert options.calibration is not None
    bundles = {
        crop: export_bundle(replace(options, out=options.out.with_name(f"{crop}"), crop=crop))
        for crop in (None, "matmul")
    }
    recorded = [bundle.manifest.provenance["crop"] for bundle in bundles.values()]
    assert recorded == ["grid_sample", "matmul"]
    paths = sorted(options.calibration.iterdir())
    found = []
    for bundle in bundles.values():
        with open_engine(bundle.directory / "model.onnx") as engine:
            found.append(engine.run(load_batch(paths, bundle.manifest.preprocessing)))
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-5)
    assert operators(bundles["matmul"].directory / "model.onnx")["GridSample"] == 0


def test_int8_engines_are_built_without_a_grid_sample(options: ExportOptions) -> None:
    out = options.out.with_name("int8")
    bundle = export_bundle(replace(options, out=out, crop="matmul", int8=True, images=8))
    assert operators(out / "engine.onnx")["GridSample"] == 0
    for file in bundle.find("engine"):
        assert bundle.manifest.provenance["int8"][file.name]["int8_share_of_macs"] > 0.5


def test_a_network_without_crops_is_refused_with_those_that_have_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "b"
    assert main(["export", "dslnet", "--crop", "matmul", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "dslnet crops no regions" in error
    assert "hacnn" in error
    assert "robust_reid_1x" in error
    assert "osnet" not in error
    assert not out.exists()
    for name in ("robust_reid_2x", "hacnn"):
        require_cropping(name)


def test_an_unknown_crop_is_refused_with_what_exists() -> None:
    with pytest.raises(UsageError, match=r"unknown crop 'affine': grid_sample, matmul are known"):
        ExportOptions("hacnn", Path("b"), crop="affine")
