"""Fit `edgereid estimate` on published latencies and print its error on devices it has not seen.

    python benchmarks/fit_estimate.py              fit, store, print the table
    python benchmarks/fit_estimate.py --networks   count the networks again first (torchvision)

Reads bench/estimate/measurements.json and devices.json, writes constants.json beside them and the
table of published and predicted latencies in docs/estimate.md. Each row's prediction comes from a
fit to the other devices alone.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from edgereid.bench.estimate.constants import FILE, fit_all, to_json
from edgereid.bench.estimate.devices import devices
from edgereid.bench.estimate.fuse import fuse
from edgereid.bench.estimate.published import NETWORKS, layers_to_json, measurements, networks
from edgereid.bench.estimate.table import markdown, replace_table
from edgereid.bench.roofline.network import read_network
from edgereid.files import dump_json, write_text

PAGE = Path(__file__).parents[1] / "docs" / "estimate.md"


def _resnet(name: str, stride: str) -> Any:
    """A ResNet of torchvision, whose stride is at the 3x3 convolution of a stage's first block;
    ``first``: at the 1x1 before it (Caffe, Keras v1); ``slim``: in the block before (TF slim)."""
    import torchvision
    from torch import nn

    network = getattr(torchvision.models, name)(weights=None)
    for before, stage in zip("123", "234", strict=True):
        block = getattr(network, f"layer{stage}")[0]
        if stride == "first":
            block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)
        if stride == "slim":
            block.conv2.stride = block.downsample[0].stride = (1, 1)
            last = getattr(network, f"layer{before}")[-1]
            last.conv2.stride, last.downsample = (2, 2), nn.MaxPool2d(1, stride=2)
    return network


def _mobilenet_v1(width: float) -> Any:
    """MobileNet v1; source: Howard et al., 2017, table 1."""
    from torch import nn

    def block(inputs: int, outputs: int, kernel: int, stride: int, groups: int) -> list[nn.Module]:
        convolution = nn.Conv2d(
            inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        return [convolution, nn.BatchNorm2d(outputs), nn.ReLU6()]

    plan = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5]
    channels = round(32 * width)
    modules = block(3, channels, 3, 2, 1)
    for size, stride in [*plan, (1024, 2), (1024, 1)]:
        outputs = round(size * width)
        modules += block(channels, channels, 3, stride, channels)
        modules += block(channels, outputs, 1, 1, 1)
        channels = outputs
    return nn.Sequential(*modules, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1001))


def _builder(name: str) -> Callable[[], Any]:
    import torchvision

    if name.startswith("mobilenet_v1_"):
        return lambda: _mobilenet_v1(float(name.rpartition("_")[2].replace("p", ".")))
    base, _, stride = name.partition("_")
    if base.startswith("resnet"):
        return lambda: _resnet(base, stride)
    return lambda: getattr(torchvision.models, name)(weights=None)


def count_networks() -> dict[str, Any]:
    """The layers of every measured network, from an ONNX export of it with random weights."""
    import torch

    found: dict[str, Any] = {}
    for key in sorted({row.network for row in measurements()}):
        name, _, size = key.rpartition("-")
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network.onnx"
            torch.onnx.export(
                _builder(name)().eval(),
                (torch.zeros(1, 3, int(size), int(size)),),
                path,
                opset_version=17,
                dynamo=False,
            )
            layers = fuse(read_network(path, 1))
        found[key] = {"macs": sum(x.macs for x in layers), "layers": layers_to_json(layers)}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", action="store_true", help="count the networks again")
    if parser.parse_args().networks:
        rows = (f'  "{k}": {json.dumps(v)}' for k, v in count_networks().items())
        write_text(NETWORKS, '{\n "networks": {\n' + ",\n".join(rows) + "\n }\n}\n")
    constants = fit_all(measurements(), networks(), devices())
    write_text(FILE, dump_json(to_json(constants)))
    table = markdown(constants, devices())
    if PAGE.exists():
        write_text(PAGE, replace_table(PAGE.read_text(encoding="utf-8"), table))
    print(table)


if __name__ == "__main__":
    main()
