"""How far noise on the pixels moves what each part of a network gives: is it INT8, or the network?

    python benchmarks/noise_response.py robust_reid_1x --weights F --data DIR [--levels 0.3]
    python benchmarks/noise_response.py robust_reid_1x --data DIR --input-size 80 32

Rounding a pixel to 8 bits is noise of 0.29 levels. Where a float network magnifies that, no INT8
engine of it can agree with it. For every direct part: the norm of the change relative to the spread
of its output over the images; at the end one minus the centred cosine of the embeddings. Without
--weights the network is at the start of its training, its batch norms calibrated on the images.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor, nn

from edgereid.calibration.images import choose_images
from edgereid.export.torch_onnx import load_network
from edgereid.images import Preprocessing, load_batch
from edgereid.models import registry
from edgereid.models.registry import Network


def at_the_start(name: str, x: Tensor) -> Network:
    """A new network whose running statistics are those of ``x`` (N, 3, H, W)."""
    torch.manual_seed(0)
    network = registry.build(name)
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    with torch.no_grad():
        network.train()(x)
    return network.eval()


def outputs(network: Network, x: Tensor) -> dict[str, Tensor]:
    """What the direct parts give, in float64, and the embedding (N, D) as "embedding"."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            found[name] = (output[0] if isinstance(output, tuple) else output).double()

        return hook

    handles = [part.register_forward_hook(keep(n)) for n, part in network.named_children()]
    with torch.inference_mode():
        found["embedding"] = network(x).double()
    for handle in handles:
        handle.remove()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("network")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--data", required=True, type=Path)
    parser.add_argument("--input-size", type=int, nargs=2, metavar=("H", "W"))
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--levels", type=float, nargs="*", default=[0.3, 1.0], help="of 255")
    args = parser.parse_args()
    size = (args.input_size[0], args.input_size[1]) if args.input_size else None
    if args.weights:
        network, preprocessing = load_network(args.network, args.weights, size=size)
    else:
        usual = registry.entry(args.network).input
        preprocessing = Preprocessing(*(size or (usual.height, usual.width)))
    x = torch.from_numpy(load_batch(choose_images(args.data, args.images).paths, preprocessing))
    network = network if args.weights else at_the_start(args.network, x)
    clean = outputs(network, x)
    std = torch.tensor(preprocessing.std).view(3, 1, 1)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0)) / 255 / std
    moved = [outputs(network, x + level * noise) for level in args.levels]
    cells = []
    for name, a in clean.items():
        spread = (a - a.mean(0)).norm()
        cells.append([name, *(f"{float((b[name] - a).norm() / spread):.4f}" for b in moved)])
    mean = clean["embedding"].mean(0)
    errors = [
        1 - nn.functional.cosine_similarity(clean["embedding"] - mean, b["embedding"] - mean).mean()
        for b in moved
    ]
    cells.append(["1 - centred cosine", *(f"{float(e):.2e}" for e in errors)])
    headers = ["output of", *(f"noise {level:g}" for level in args.levels)]
    print(tabulate(cells, headers, tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
