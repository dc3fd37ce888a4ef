"""The exported ONNX graph: same numbers, no batch norm, no heads, names a person can read."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

from torch import nn  # noqa: E402

from edgereid.errors import InputError, UsageError  # noqa: E402
from edgereid.export.torch_onnx import (  # noqa: E402
    _module_path,
    export_onnx,
    fold_batch_norm,
    load_network,
    reference_features,
)
from edgereid.models.dslnet import DSLNet  # noqa: E402


def lively(network: nn.Module) -> nn.Module:
    """Weights, biases and batch statistics that all matter."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, 0, 0.3, generator=generator)
        elif getattr(module, "bias", None) is not None:
            nn.init.normal_(module.bias, 0, 0.3, generator=generator)
    return network.eval()


@pytest.fixture(scope="module")
def network() -> Any:
    torch.manual_seed(0)
    return lively(DSLNet(widths=(12, 24, 36, 48), feature_size=16, num_ids=5))


@pytest.fixture(scope="module")
def exported(network: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    export_onnx(network, (64, 32), path)
    return path


@pytest.fixture(scope="module")
def graph(exported: Path) -> Any:
    return onnx.load(str(exported)).graph


def test_every_batch_size_gives_the_networks_features(network: Any, exported: Path) -> None:
    images = np.random.default_rng(0).normal(size=(9, 3, 64, 32)).astype(np.float32)
    want = reference_features(network, images, batch_size=4)
    assert want.std(axis=0).mean() > 0.01, "the features must depend on the image"
    session = ort.InferenceSession(str(exported))
    for batch in (1, 2, 9):
        got = session.run(None, {"images": images[:batch]})[0]
        np.testing.assert_allclose(got, want[:batch], atol=2e-5)


def test_batch_norm_is_folded_and_nothing_is_left_that_only_computes_shapes(graph: Any) -> None:
    kinds = Counter(node.op_type for node in graph.node)
    allowed = {"Conv", "Relu", "Add", "Mul", "MaxPool", "AveragePool", "ReduceMean", "Gemm"}
    gate = {"Reshape", "Softmax", "Gather"}
    assert set(kinds) == allowed | gate
    assert kinds["Gemm"] == 1, "the classifier is not part of the file"


def test_the_file_is_operator_set_17_with_a_dynamic_batch(exported: Path) -> None:
    model = onnx.load(str(exported))
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 17)]
    (images,), (features,) = model.graph.input, model.graph.output
    shapes = [
        [d.dim_param or d.dim_value for d in t.type.tensor_type.shape.dim]
        for t in (images, features)
    ]
    assert (images.name, features.name) == ("images", "features")
    assert shapes == [["batch", 3, 64, 32], ["batch", 16]]


def test_nodes_are_named_after_their_modules(network: Any, graph: Any) -> None:
    names = [node.name for node in graph.node]
    assert len(set(names)) == len(names)
    modules = dict(network.named_modules())
    for node in graph.node:
        assert node.name.rpartition("/")[0] in modules, node.name
        if node.op_type == "Conv":
            assert node.input[1] == node.name.removesuffix("/Conv") + ".weight"
            assert isinstance(modules[node.name.removesuffix("/Conv")], nn.Conv2d)
    assert "s1.0.dense.2.0/Conv" in names


@pytest.mark.parametrize(
    ("trace", "path"),
    [
        ("/s1/s1.0/dense.2/dense.2.0/Conv_output_0", "s1.0.dense.2.0/Conv"),
        ("/s1/s1.0/select/fc1/Conv_output_0", "s1.0.select.fc1/Conv"),
        ("/stem/stem.1/MaxPool_output_0", "stem.1/MaxPool"),
        ("/ReduceMean_output_0", "ReduceMean"),
    ],
)
def test_a_trace_name_becomes_a_module_path(trace: str, path: str) -> None:
    node = onnx.helper.make_node("Conv", ["x"], [trace], name="ignored")
    assert _module_path(node) == path


def test_the_same_weights_give_the_same_bytes(network: Any, exported: Path, tmp_path: Path) -> None:
    export_onnx(network, (64, 32), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == exported.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["again.onnx"]


def test_exporting_leaves_the_network_as_it_is(network: Any, tmp_path: Path) -> None:
    before = {k: v.clone() for k, v in network.state_dict().items()}
    export_onnx(network, (64, 32), tmp_path / "m.onnx")
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(v, after[k]) for k, v in before.items())


def test_folding_is_exact_for_convolutions_and_linear_layers() -> None:
    torch.manual_seed(1)
    net = lively(
        nn.Sequential(
            nn.Sequential(nn.Conv2d(3, 8, 3, groups=1, bias=False), nn.BatchNorm2d(8), nn.ReLU()),
            nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.BatchNorm2d(8)),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Sequential(nn.Linear(8, 5), nn.BatchNorm1d(5)),
        )
    )
    x = torch.randn(4, 3, 9, 9)
    with torch.no_grad():
        want = net(x)
        fold_batch_norm(net)
        torch.testing.assert_close(net(x), want, rtol=1e-5, atol=1e-5)
    assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in net.modules())


def test_weights_that_do_not_fit_are_refused_in_one_line(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    wrong = tmp_path / "wrong.safetensors"
    save_file({"stem.weight": torch.zeros(2)}, str(wrong))
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(json.dumps({"a": 1}).encode())
    for path, message in ((wrong, "does not fit"), (broken, "cannot be read")):
        with pytest.raises(InputError, match=message) as error:
            load_network("dslnet", path)
        assert not re.search(r"\n", str(error.value))
    with pytest.raises(UsageError, match="unknown network"):
        load_network("dslnett", wrong)
