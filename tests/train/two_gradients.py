"""Run by two processes: the gradient of a global batch of 8 against that of one process alone, in
float64. Prints the largest difference, relative to the largest gradient, and that of the buffers.
"""

from __future__ import annotations

import copy
import runpy
import sys
from pathlib import Path

import torch

from edgereid.train import recipe as recipes
from edgereid.train.processes import processes
from edgereid.train.step import LossOfBatch
from edgereid.train.synced_norm import sync_batch_norm

if __name__ == "__main__":
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tiny = runpy.run_path(str(Path(__file__).with_name("tiny_network.py")))["tiny"]
    alone = tiny(5).double().train()
    shared = copy.deepcopy(alone)
    x, y = torch.randn(8, 3, 32, 16, dtype=torch.float64), torch.arange(8) % 5
    # without the auxiliary head's loss, so that some parameters get no gradient
    recipe = recipes.override(recipes.load("dslnet-scratch"), ["aux_weight=0"])
    LossOfBatch(alone, recipe)(x, y, 0).backward()
    with processes("cpu") as group:
        sync_batch_norm(shared)
        part = group.share(8)
        module = group.wrap(LossOfBatch(shared, recipe))
        module(x[part], y[part], 0).backward()
    largest = difference = 0.0
    for a, b in zip(alone.parameters(), shared.parameters(), strict=True):
        if a.grad is not None:
            assert b.grad is not None
            largest = max(largest, float(a.grad.abs().max()))
            difference = max(difference, float((a.grad - b.grad).abs().max()))
    buffers = max(
        float((a.double() - b.double()).abs().max())
        for a, b in zip(alone.buffers(), shared.buffers(), strict=True)
    )
    sys.stdout.write(f"{difference / largest} {buffers}\n")
