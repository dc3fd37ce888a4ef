"""What every registered network must do; a new one is picked up without a line here."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgereid.models.registry import Network, build, entry, names

LIGHT = 3_000_000  # parameters; what has more is tried on demand (-m slow)


def each() -> list[object]:
    """All names; heavy ones and ablations are slow."""
    return [
        pytest.param(n, marks=[pytest.mark.slow] if heavy(n) or not entry(n).published else [])
        for n in names()
    ]


@cache
def heavy(name: str) -> bool:
    """Whether it has many parameters."""
    with torch.device("meta"):  # no memory, no initial values
        return sum(p.numel() for p in build(name).parameters()) > LIGHT


def size_of(name: str) -> tuple[int, int]:
    spec = entry(name).input
    return (spec.height, spec.width) if heavy(name) else (spec.height // 2, spec.width // 2)


def images(count: int, name: str) -> Tensor:
    """Structured images: at the network's own size if it is a heavy one, else at half of it."""
    rng = np.random.default_rng(count)
    coarse = torch.from_numpy(rng.random((count, 3, 8, 4), dtype=np.float32))
    size = size_of(name)
    return nn.functional.interpolate(coarse, size=size, mode="bilinear") * 4 - 2


def calibrated(name: str) -> Network:
    """Without heads, weights spread out, batch norm seen varied images."""
    torch.manual_seed(0)
    network = build(name)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
    network.train()
    with torch.no_grad():
        for count in (12, 16):
            network(images(count, name))
    return network.eval()


@pytest.mark.parametrize("name", each())
def test_training_reaches_every_parameter(name: str) -> None:
    torch.manual_seed(0)
    network = build(name, num_ids=5).train()
    out = network.forward_train(images(4, name))
    labels = torch.tensor([0, 1, 2, 3])
    loss = sum(nn.functional.cross_entropy(x, labels) for x in (*out.logits, *out.aux_logits))
    for feature in out.features:
        loss = loss + feature.square().sum()
    loss.backward()  # type: ignore[union-attr]
    for parameter, tensor in network.named_parameters():
        assert tensor.grad is not None, parameter
        assert torch.isfinite(tensor.grad).all(), parameter
    assert all(x.shape == (4, 5) for x in out.logits)


@pytest.mark.parametrize("name", each())
def test_the_feature_depends_on_the_image_alone(name: str) -> None:
    network, x = calibrated(name), images(3, name)
    with torch.inference_mode():
        together = network(x)
        assert together.shape == (3, network.feature_size)
        turned = network(x.flip(0)).flip(0)
        alone = torch.cat([network(x[i : i + 1]) for i in range(3)])
    scale = float(together.abs().max())
    torch.testing.assert_close(turned, together, rtol=0, atol=1e-4 * scale)
    torch.testing.assert_close(alone, together, rtol=0, atol=1e-3 * scale)
    assert float((together[0] - together[1]).abs().max()) > 1e-3 * scale  # it looks at the image


@pytest.mark.parametrize("name", each())
def test_the_deployed_network_has_no_heads(name: str) -> None:
    deployed, trained = build(name).state_dict(), build(name, 7).state_dict()
    assert deployed.keys() < trained.keys()
    assert not any("classifier" in key or key.startswith("aux") for key in deployed)


@pytest.mark.parametrize("name", each())
def test_onnx_agrees_at_batches_of_1_3_and_8(name: str, tmp_path: Path) -> None:
    import onnx
    import onnxruntime

    from edgereid.export.torch_onnx import export_onnx

    network = calibrated(name)
    path = tmp_path / "model.onnx"
    export_onnx(network, size_of(name), path)
    assert not any(n.op_type == "BatchNormalization" for n in onnx.load(path).graph.node)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    for batch in (1, 3, 8):
        x = images(batch, name)
        with torch.inference_mode():
            want = network(x).numpy()
        (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
        cosine = (got * want).sum(1) / np.linalg.norm(got, axis=1) / np.linalg.norm(want, axis=1)
        assert cosine.min() > 0.9999
        assert np.abs(got - want).max() < 2e-3 * np.abs(want).max()
