"""Steps per second of the training loop against a plain PyTorch loop of the same network and batch.

Rounds alternate between the two in one process; the ratio is the median over the rounds. Also: the
share of the epoch's time that our loop waits for data, and bf16 against f32 steps.
--json FILE keeps the ratio of every round.

    python benchmarks/train_speed.py --network dslnet --batch 32 --steps 6 --rounds 5
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from edgereid.data.types import ImageRecord
from edgereid.files import dump_json, write_text
from edgereid.images import Preprocessing
from edgereid.models import registry
from edgereid.train import recipe as recipes
from edgereid.train.images import LoadedBatch, TrainingImages, load_ahead
from edgereid.train.optimise import make_optimizer
from edgereid.train.processes import Processes, choose_device
from edgereid.train.recipe import Recipe
from edgereid.train.step import AUTOCAST, Stepper

PEOPLE = 16


def draw(folder: Path, images: int) -> list[ImageRecord]:
    """Images of noise at the size of a person's crop."""
    rng = np.random.default_rng(0)
    records = []
    for i in range(images):
        path = folder / f"{i}.jpg"
        Image.fromarray(rng.integers(0, 256, (128, 64, 3), dtype=np.uint8)).save(path)
        records.append(ImageRecord(path, i % PEOPLE + 1, 1))
    return records


class Plain:
    """What a tutorial writes: forward, cross entropies, backward, step."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        torch.manual_seed(0)
        network = registry.build(recipe.network, PEOPLE).to(device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.train()
        self.optimizer = make_optimizer(self.network, recipe)
        self.dtype, self.device = AUTOCAST[recipe.precision], device

    def step(self, batch: LoadedBatch) -> None:
        x = torch.from_numpy(batch.images).permute(0, 3, 1, 2).to(self.device)
        y = torch.from_numpy(batch.labels).to(self.device)
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(x.device.type, self.dtype, enabled=self.dtype != torch.float32):
            output = self.network.forward_train(x)
            logits = (*output.logits, *output.aux_logits)
            loss = sum(torch.nn.functional.cross_entropy(z.float(), y) for z in logits)
        assert isinstance(loss, torch.Tensor)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        loss.item()


class Ours:
    """The step of ``edgereid train`` and its loader."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        torch.manual_seed(0)
        network = registry.build(recipe.network, PEOPLE).to(device)
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.network.train()
        optimizer = make_optimizer(self.network, recipe)
        self.stepper = Stepper(self.network, optimizer, recipe, Processes(device))

    def step(self, batch: LoadedBatch) -> None:
        self.stepper.step(batch, 0.5, 0, 0)


def seconds(side: Plain | Ours, batches: list[LoadedBatch]) -> float:
    start = time.perf_counter()
    for batch in batches:
        side.step(batch)
    return (time.perf_counter() - start) / len(batches)


def compare(
    a: Plain | Ours, b: Plain | Ours, batches: list[LoadedBatch], rounds: int
) -> list[float]:
    """Of each round time(a) / time(b); the order alternates."""
    for side in (a, b):
        side.step(batches[0])
    ratios = []
    for i in range(rounds):
        if i % 2:
            tb, ta = seconds(b, batches), seconds(a, batches)
        else:
            ta, tb = seconds(a, batches), seconds(b, batches)
        ratios.append(ta / tb)
    return ratios


def waiting(side: Ours, images: TrainingImages, recipe: Recipe, size: Preprocessing) -> float:
    """The share of the time that the steps wait for the loader, after the first batch."""
    n = recipe.identities * recipe.images
    indices = [np.arange(i, i + n) for i in range(0, len(images) - n + 1, n)]
    waited, worked = 0.0, 0.0
    loaded = load_ahead(images, indices, 0, 0, 0, recipe.augmentation, size)
    side.step(next(loaded))
    left = time.perf_counter()
    for batch in loaded:
        start = time.perf_counter()
        waited += start - left
        side.step(batch)
        left = time.perf_counter()
        worked += left - start
    return waited / (waited + worked)


def processor() -> str:
    """The processor's units for bf16, as the kernel names them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return "unknown"
    return ", ".join(f for f in ("avx512f", "avx512_bf16", "amx_bf16") if f in text) or "none"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="dslnet")
    parser.add_argument("--batch", type=int, default=16, help="a multiple of 4")
    parser.add_argument("--steps", type=int, default=4, help="of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--json", type=Path, metavar="FILE")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    device = choose_device(args.device)
    spec = registry.entry(args.network).input
    size = Preprocessing(spec.height, spec.width, mean=spec.mean, std=spec.std)
    recipe = recipes.from_json(
        {
            "name": "speed", "network": args.network, "epochs": 1, "optimizer": "sgd", "lr": 1e-4,
            "sizes": [{"start": 0, "height": spec.height, "width": spec.width}],
            "identities": args.batch // 4, "images": 4, "aux_weight": 1.0,
            "augmentation": {"flip": 0.5, "zoom": 0.125, "erase": 0.5},
        }
    )  # fmt: skip
    bf16 = recipes.override(recipe, ["precision=bf16"])
    with tempfile.TemporaryDirectory() as folder:
        images = TrainingImages(draw(Path(folder), args.batch * max(8, args.steps)))
        rows = [np.arange(i * args.batch, (i + 1) * args.batch) for i in range(args.steps)]
        batches = list(load_ahead(images, rows, 0, 0, 0, recipe.augmentation, size))
        ours = Ours(recipe, device)
        speed = compare(Plain(recipe, device), ours, batches, args.rounds)
        print(f"{args.network}, batch {args.batch}, {args.threads} thread(s), {device}")
        print(f"steps per second, ours / plain loop: {statistics.median(speed):.3f}", flush=True)
        waited = waiting(ours, images, recipe, size)
        print(f"waiting for data: {100 * waited:.1f} % of the time", flush=True)
        gain = compare(ours, Ours(bf16, device), batches, args.rounds)
        print(f"steps per second, bf16 / f32: {statistics.median(gain):.2f} ({processor()})")
    if args.json:
        found = {
            "network": args.network,
            "batch": args.batch,
            "height": spec.height,
            "width": spec.width,
            "threads": args.threads,
            "device": str(device),
            "processor": processor(),
            "torch": torch.__version__,
            "ours_to_plain": speed,
            "waiting": waited,
            "bf16_to_f32": gain,
        }
        write_text(args.json, dump_json(found))


if __name__ == "__main__":
    main()
