"""A small network as a file for every suffix, with its embeddings worked out in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

HEIGHT, WIDTH, FEATURES = 32, 16, 16


@dataclass(frozen=True)
class Sample:
    """Embedding = fc @ mean over the positions of relu(3x3 convolution)."""

    kernel: NDArray[np.float32]  # (8, 3, 3, 3)
    fc: NDArray[np.float32]  # (16, 8)

    def embed(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """The oracle: the convolution as a sum of shifted products."""
        x = np.pad(images.astype(np.float64), ((0, 0), (0, 0), (1, 1), (1, 1)))
        y = np.zeros((len(images), 8, HEIGHT, WIDTH))
        for dy in range(3):
            for dx in range(3):
                patch = x[:, :, dy : dy + HEIGHT, dx : dx + WIDTH]
                y += np.einsum("oc,nchw->nohw", self.kernel[:, :, dy, dx], patch)
        out: NDArray[np.float32] = (np.maximum(y, 0).mean((2, 3)) @ self.fc.T).astype(np.float32)
        return out

    def onnx(self, batch: str | int = "N", int8: bool = False, external: str = "") -> Any:
        """The network in ONNX; with ``int8`` quantised around the convolution, with ``external``
        the kernel is kept in a file of that name."""
        from onnx import TensorProto, helper, numpy_helper

        kernel = numpy_helper.from_array(self.kernel, "kernel")
        if external:
            kernel = TensorProto(
                name="kernel", data_type=1, dims=self.kernel.shape, data_location=1
            )
            kernel.external_data.add(key="location", value=external)
        nodes, tensors = [], [kernel, numpy_helper.from_array(self.fc, "fc")]
        image, weight = "images", "kernel"
        if int8:
            scale = np.abs(self.kernel).max((1, 2, 3)) / 127
            quantised = np.rint(self.kernel / scale[:, None, None, None]).astype(np.int8)
            tensors += [
                numpy_helper.from_array(np.float32(8 / 255), "scale"),
                numpy_helper.from_array(np.uint8(128), "zero"),
                numpy_helper.from_array(quantised, "kernel8"),
                numpy_helper.from_array(scale.astype(np.float32), "scales"),
                numpy_helper.from_array(np.zeros(8, np.int8), "zeros"),
            ]
            nodes += [
                helper.make_node("QuantizeLinear", ["images", "scale", "zero"], ["images8"]),
                helper.make_node("DequantizeLinear", ["images8", "scale", "zero"], ["imagesq"]),
                helper.make_node(
                    "DequantizeLinear", ["kernel8", "scales", "zeros"], ["kernelq"], axis=0
                ),
            ]
            image, weight = "imagesq", "kernelq"
        nodes += [
            helper.make_node("Conv", [image, weight], ["c"], pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"]),
            helper.make_node("GlobalAveragePool", ["r"], ["p"]),
            helper.make_node("Flatten", ["p"], ["v"]),
            helper.make_node("Gemm", ["v", "fc"], ["features"], transB=1),
        ]
        graph = helper.make_graph(
            nodes,
            "sample",
            [helper.make_tensor_value_info("images", 1, [batch, 3, HEIGHT, WIDTH])],
            [helper.make_tensor_value_info("features", 1, [batch, FEATURES])],
            tensors,
        )
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def write_onnx(self, path: Path, **options: Any) -> Path:
        path.write_bytes(self.onnx(**options).SerializeToString())
        return path

    def write_safetensors(self, path: Path) -> Path:
        """PyTorch's form, for the network that the fixture ``registered`` makes known."""
        import torch
        from safetensors.torch import save_file

        tensors = {
            "conv.weight": torch.from_numpy(self.kernel),
            "fc.weight": torch.from_numpy(self.fc),
        }
        save_file(tensors, path, metadata={"network": "sample"})
        return path

    def write_xml(self, path: Path, **options: Any) -> Path:
        """OpenVINO's form: ``path`` and the ``.bin`` beside it."""
        import openvino as ov

        model = ov.Core().read_model(self.onnx(**options).SerializeToString())
        ov.save_model(model, path, compress_to_fp16=False)
        return path

    def write_plan(
        self,
        path: Path,
        profiles: Sequence[tuple[int, int, int]] = ((1, 4, 8),),
        flags: Sequence[str] = (),
        **options: Any,
    ) -> Path:
        """TensorRT's form, by the release (a fake one) that is installed now. ``profiles``: least,
        best and largest batch of each; ``flags``: names of its BuilderFlag."""
        path.write_bytes(plan_of(self.onnx(**options), profiles, flags))
        return path


def plan_of(
    model: Any, profiles: Sequence[tuple[int, int, int]] = ((1, 4, 8),), flags: Sequence[str] = ()
) -> bytes:
    """A plan in the plainest way: no recipe of ours takes part."""
    import tensorrt as trt

    logger = trt.Logger(trt.Logger.ERROR)
    builder = trt.Builder(logger)
    explicit = getattr(trt.NetworkDefinitionCreationFlag, "EXPLICIT_BATCH", None)
    network = builder.create_network(0 if explicit is None else 1 << int(explicit))
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(model.SerializeToString()), parser.get_error(0)
    config = builder.create_builder_config()
    for flag in flags:
        config.set_flag(getattr(trt.BuilderFlag, flag))
    image = network.get_input(0)
    for batches in profiles if -1 in tuple(image.shape) else ():
        profile = builder.create_optimization_profile()
        profile.set_shape(image.name, *((n, *tuple(image.shape)[1:]) for n in batches))
        config.add_optimization_profile(profile)
    return bytes(builder.build_serialized_network(network, config))


@pytest.fixture
def plan_bytes() -> Callable[..., bytes]:
    """A plan of any ONNX model, by the release that is installed now."""
    return plan_of


@pytest.fixture(scope="session")
def sample() -> Sample:
    rng = np.random.default_rng(7)
    return Sample(
        rng.standard_normal((8, 3, 3, 3)).astype(np.float32),
        rng.standard_normal((FEATURES, 8)).astype(np.float32),
    )


@pytest.fixture(scope="session")
def registered() -> Iterator[str]:
    """The sample as a registered PyTorch network; gives its name."""
    pytest.importorskip("torch")
    from torch import Tensor, nn

    from edgereid.models import registry

    class SampleNetwork(registry.Network):
        def __init__(self) -> None:
            super().__init__(feature_size=FEATURES)
            self.conv = nn.Conv2d(3, 8, 3, padding=1, bias=False)
            self.fc = nn.Linear(8, FEATURES, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.fc(self.conv(x).relu().mean((2, 3)))
            return out

        def forward_train(self, x: Tensor) -> registry.TrainOutput:
            raise NotImplementedError

    with pytest.MonkeyPatch.context() as patch:
        spec = registry.InputSpec(HEIGHT, WIDTH)
        entry = registry.Entry("sample", lambda num_ids: SampleNetwork(), spec, "none")
        patch.setitem(registry._ENTRIES, "sample", entry)
        yield "sample"


@pytest.fixture
def images() -> Callable[..., NDArray[np.float32]]:
    """Random images: ``images(5)``, or another size."""

    def make(
        count: int, size: tuple[int, int] = (HEIGHT, WIDTH), seed: int = 0
    ) -> NDArray[np.float32]:
        rng = np.random.default_rng(seed)
        return rng.standard_normal((count, 3, *size)).astype(np.float32)

    return make
