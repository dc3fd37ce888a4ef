"""One step: forward, losses, backward, clipping, update; and what of it is not a number."""

from __future__ import annotations

import contextlib
import math

import torch
from torch import Tensor, nn
from torch.amp.grad_scaler import GradScaler

from edgereid.models.registry import Network, TrainOutput
from edgereid.train.diagnose import divergence
from edgereid.train.images import LoadedBatch
from edgereid.train.optimise import loss
from edgereid.train.processes import Processes
from edgereid.train.recipe import Recipe
from edgereid.train.strided_depthwise import StridedDepthwiseInFloat

AUTOCAST = {"f32": torch.float32, "bf16": torch.bfloat16, "f16": torch.float16}


class LossOfBatch(nn.Module):
    """Images (N, 3, H, W), labels (N,) and the epoch -> the recipe's loss, under its autocast."""

    def __init__(self, network: Network, recipe: Recipe) -> None:
        super().__init__()
        self.network, self.recipe = network, recipe

    def outputs(self, x: Tensor) -> TrainOutput:
        """The network's training outputs."""
        dtype = AUTOCAST[self.recipe.precision]
        autocast = torch.autocast(x.device.type, dtype, enabled=dtype != torch.float32)
        slow = x.device.type == "cpu" and dtype == torch.bfloat16
        with autocast, StridedDepthwiseInFloat() if slow else contextlib.nullcontext():
            return self.network.forward_train(x)

    def forward(self, x: Tensor, y: Tensor, epoch: int) -> Tensor:
        """The loss, a scalar."""
        return loss(self.outputs(x), y, self.recipe, epoch)


class Stepper:
    """The network, its optimiser and, in f16, the loss scale; ``begin_epoch`` before the steps."""

    def __init__(
        self, network: Network, optimizer: torch.optim.Optimizer, recipe: Recipe, group: Processes
    ) -> None:
        self.network, self.optimizer, self.recipe, self.group = network, optimizer, recipe, group
        self.scaler = GradScaler(group.device.type, enabled=recipe.precision == "f16")
        self.plain = LossOfBatch(network, recipe)
        self.module: nn.Module = self.plain

    def begin_epoch(self) -> None:
        """What takes part in the exchange of gradients depends on what is frozen."""
        self.module = self.group.wrap(self.plain)

    def tensors(self, batch: LoadedBatch) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W), channels last in memory, and labels (N,) on the device."""
        device = self.group.device
        x = torch.from_numpy(batch.images).permute(0, 3, 1, 2)  # NHWC in memory: channels last
        return x.to(device), torch.from_numpy(batch.labels).to(device)

    def step(self, batch: LoadedBatch, t: float, epoch: int, number: int) -> float:
        """One update at ``t`` epochs; returns the loss, the mean over the processes.

        Raises InputError when the loss or a gradient is not finite.
        """
        x, y = self.tensors(batch)
        for settings in self.optimizer.param_groups:
            settings["lr"] = self.recipe.lr_at(t) * settings.get("lr_scale", 1.0)
        self.optimizer.zero_grad(set_to_none=True)
        total: Tensor = self.module(x, y, epoch)
        value, _ = self.group.mean_and_any(float(total.detach()), False)
        finite = math.isfinite(value)
        if finite:
            self.scaler.scale(total).backward()  # type: ignore[no-untyped-call]
            self.scaler.unscale_(self.optimizer)
            limit = self.recipe.clip_norm or math.inf
            norm = nn.utils.clip_grad_norm_(self.network.parameters(), limit)
            finite = bool(torch.isfinite(norm)) or self._scale_can_fall()
        if not finite:
            at = f"epoch {epoch + 1}, step {number + 1}"
            raise divergence(self.network, lambda: self.plain.outputs(x), value, at)
        self.scaler.step(self.optimizer)  # in f16 skipped where a gradient overflowed
        self.scaler.update()
        return value

    def _scale_can_fall(self) -> bool:
        """In f16 a gradient that overflows first of all means that the loss scale is too large."""
        return self.scaler.is_enabled() and self.scaler.get_scale() > 1.0


def rng_state(device: torch.device) -> dict[str, Tensor]:
    """The state of this process's random numbers (dropout's, for one)."""
    state = {"cpu": torch.get_rng_state()}
    return state if device.type == "cpu" else {**state, "cuda": torch.cuda.get_rng_state(device)}


def set_rng_state(state: dict[str, Tensor], device: torch.device) -> None:
    """The opposite of ``rng_state``."""
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)
