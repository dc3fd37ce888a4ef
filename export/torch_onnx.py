"""From a PyTorch network to a float ONNX file that every runtime here can read.

Operator set 17 through the TorchScript exporter: it is the newest that TensorRT 8.6 reads and that
still holds float32 Q/DQ, and it keeps the modules' names, by which precision is reported. Batch
norm is folded into the convolution or linear layer before it; training heads are not traced.
"""

from __future__ import annotations

import copy
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from edgereid.errors import InputError, UsageError
from edgereid.files import atomic_path
from edgereid.images import Preprocessing
from edgereid.models import registry
from edgereid.models.registry import Network

OPSET = 17
INPUT = "images"
OUTPUT = "features"


@runtime_checkable
class Cropping(Protocol):
    """A network that crops regions; ``crop``: a name in ``edgereid.models.crops.CROPS``."""

    crop: str


def require_cropping(name: str) -> None:
    """Raises UsageError, naming the networks that crop regions, unless the one named does."""
    with torch.device("meta"):  # no memory, no initial values
        if isinstance(registry.build(name), Cropping):
            return
        main = [n for n in registry.names() if registry.entry(n).published]
        able = [n for n in main if isinstance(registry.build(n), Cropping)]
    raise UsageError(
        f"{name} crops no regions: there is no crop to choose. Networks that do, apart from "
        f"ablations: {', '.join(able)}."
    )


def load_network(
    name: str,
    weights: Path,
    crop: str | None = None,
    size: tuple[int, int] | None = None,
) -> tuple[Network, Preprocessing]:
    """A registered network in evaluation mode with weights from a .safetensors file, and the
    preprocessing that belongs to it. ``crop``: how it is to crop its regions, where it does;
    ``size``: (height, width) of its images, None: as the weights say, else as is usual for it.

    Raises UsageError for an unknown name, InputError for a file that does not fit the network and
    for images that it cannot take.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from edgereid.models.stored import input_of, metadata_of

    network, known = registry.build(name), registry.entry(name).input
    try:
        network.load_state_dict(load_file(str(weights)))
        spec = input_of(metadata_of(weights), known, weights)
    except (OSError, SafetensorError) as error:
        raise InputError(f"{weights} cannot be read as safetensors: {error}.") from error
    except RuntimeError as error:
        detail = str(error).splitlines()[-1].strip()
        raise InputError(f"{weights} does not fit the network {name!r}: {detail}") from error
    if crop is not None and isinstance(network, Cropping):
        network.crop = crop
    height, width = size or (spec.height, spec.width)
    network.eval()
    _try_size(network, name, height, width)
    return network, Preprocessing(height, width, mean=spec.mean, std=spec.std)


def _try_size(network: Network, name: str, height: int, width: int) -> None:
    """Run one image; raises InputError when the network cannot take its size."""
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, height, width))
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"{name} cannot take images of {height}x{width}: {str(error).splitlines()[0]}"
        ) from error


def reference_features(
    network: Network, images: NDArray[np.float32], batch_size: int = 8
) -> NDArray[np.float32]:
    """Features (N, D) of images (N, 3, H, W) by the network itself, in float32 on the CPU."""
    with torch.inference_mode():
        parts = [
            network(torch.from_numpy(images[i : i + batch_size]))
            for i in range(0, len(images), batch_size)
        ]
        out: NDArray[np.float32] = torch.cat(parts).numpy()
    return out


def fold_batch_norm(module: nn.Module) -> None:
    """Fold every batch norm into the layer right before it in an nn.Sequential, in place."""
    for child in module.children():
        fold_batch_norm(child)
    if not isinstance(module, nn.Sequential):
        return
    names = list(module._modules)
    for first, second in pairwise(names):
        layer, norm = module._modules[first], module._modules[second]
        if isinstance(layer, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            module._modules[first] = fuse_conv_bn_eval(layer, norm)
            module._modules[second] = nn.Identity()
        elif isinstance(layer, nn.Linear) and isinstance(norm, nn.BatchNorm1d):
            module._modules[first] = fuse_linear_bn_eval(layer, norm)
            module._modules[second] = nn.Identity()


def export_onnx(network: Network, input_size: tuple[int, int], path: Path) -> None:
    """Write ``network`` as ONNX: ``images`` (batch, 3, H, W) -> ``features`` (batch, D), float32.

    ``input_size`` is (height, width) in pixels. The network itself is left as it is. The same
    weights give the same bytes. Raises StorageError when the file cannot be written.
    """
    folded = copy.deepcopy(network).eval()
    fold_batch_norm(folded)
    with atomic_path(path) as file, warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own deprecation, tracing of shapes
        torch.onnx.export(
            folded,
            (torch.zeros(2, 3, *input_size),),
            file,
            opset_version=OPSET,
            dynamo=False,
            input_names=[INPUT],
            output_names=[OUTPUT],
            dynamic_axes={INPUT: {0: "batch"}, OUTPUT: {0: "batch"}},
        )
        file.write_bytes(tidy(file.read_bytes()).SerializeToString(deterministic=True))


def tidy(serialized: bytes) -> Any:
    """The model with constants folded, shared initializers in place of copies, and every node and
    tensor named after the module it comes from, such as ``s1.0.dense.2.0/Conv``."""
    import onnx
    from onnxscript import optimizer

    model = onnx.load_from_string(serialized)
    model = optimizer.optimize(onnx.shape_inference.infer_shapes(model, data_prop=True))
    graph = model.graph
    renamed: dict[str, str] = {}
    taken: set[str] = set()
    for node in graph.node:
        node.name = _unique(_module_path(node), taken)
        del node.metadata_props[:]
        node.doc_string = ""
        for i, name in enumerate(node.output):
            if name != OUTPUT:
                renamed[name] = node.name + (f":{i}" if i else "")
    for i, initializer in enumerate(graph.initializer):
        if initializer.name.startswith(("/", "val_", "onnx::")):  # not a parameter's name
            renamed[initializer.name] = f"constant.{i}"
            initializer.name = f"constant.{i}"
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [renamed.get(name, name) for name in names]
    del graph.value_info[:]
    graph.name = "edgereid"
    del model.metadata_props[:]
    onnx.checker.check_model(model)
    return model


def _module_path(node: Any) -> str:
    """``/s1/s1.0/dense.2/dense.2.0/Conv_output_0`` -> ``s1.0.dense.2.0/Conv``.

    The exporter gives each module on the way its own segment; one inside an nn.Sequential or
    nn.ModuleList repeats its parent's name.
    """
    trace = node.output[0] if node.output[0].startswith("/") else node.name
    *segments, operator = trace.removesuffix("_output_0").strip("/").split("/")
    path: list[str] = []
    for segment in segments:
        if path and segment.startswith(path[-1] + "."):
            path[-1] = segment
        else:
            path.append(segment)
    scope = ".".join(path)
    return f"{scope}/{operator}" if scope else operator


def _unique(name: str, taken: set[str]) -> str:
    candidate, n = name, 1
    while candidate in taken:
        candidate, n = f"{name}_{n}", n + 1
    taken.add(candidate)
    return candidate
