"""How near `edgereid eval` comes to the bare engine: files to metrics against tensors in memory.

    python benchmarks/eval_pipeline.py dslnet-int8/engine.xml [--precision bf16] [--images 5000]

Draws JPEG crops, then alternates, in one run and with the same threads: the engine alone on
preprocessed batches that are ready in memory; the evaluation (hash, decode, resize, normalise,
engine); decoding alone, with all its threads and with one. Metrics and the writing of the cache are
measured once and counted into the evaluation's time. Prints images a second, processor time,
the ratio evaluation / engine (at least 0.85 is wanted) and the bound of the cores: where engine and
decoding both need processor time, one image costs at least 1/engine + 1/(decoding on one core x
cores) seconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgereid.bundle import Bundle
from edgereid.data.market1501 import load_dataset
from edgereid.data.synth import DEMO, synthesise
from edgereid.data.types import ReidDataset
from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
from edgereid.evaluation.cache import FeatureCache
from edgereid.evaluation.extract import Extraction, extract
from edgereid.evaluation.loading import Image, digests, load
from edgereid.evaluation.options import Protocol
from edgereid.evaluation.score import images_needed, score
from edgereid.evaluation.subject import Subject, batch_size, warm_up
from edgereid.images import Preprocessing, load_batch

POOL = 24  # batches in memory for the bare engine
WANTED = 0.85


@dataclass
class Part:
    """Wall-clock and processor seconds of one of the things compared, by round."""

    name: str
    images: int = 0
    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def time(self, work: Callable[[], object], images: int) -> None:
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.process_time() - cpu)
        self.images += images

    @property
    def rate(self) -> float:
        return self.images / sum(self.wall)

    def line(self) -> str:
        cpu = 1e3 * sum(self.cpu) / self.images
        return f"{self.name:34} {self.rate:9,.1f} images/s   {cpu:7.3f} ms of processor an image"


def crops(folder: Path, count: int) -> ReidDataset:
    """``count`` drawn crops of many persons, a tenth of them queries."""
    drawn = load_dataset(synthesise(folder, DEMO).root)
    every = [*drawn.train, *drawn.query, *drawn.gallery]
    order = np.random.default_rng(0).permutation(len(every))[:count]
    picked = tuple(every[i] for i in order)
    if len(picked) < count:
        raise SystemExit(f"only {len(picked)} crops are drawn: --images {len(picked)} at most")
    return ReidDataset("crops", folder, (), picked[: count // 10], picked[count // 10 :])


def measure(
    subject: Subject, dataset: ReidDataset, extraction: Extraction, rounds: int, folder: Path
) -> dict[str, Part]:
    size = batch_size(subject.engine, extraction.batch)
    paths = images_needed(dataset, Protocol())
    pool = [
        load_batch(paths[i * size : (i + 1) * size], subject.preprocessing) for i in range(POOL)
    ]
    parts = {n: Part(n) for n in ("engine alone", "evaluation", "decoding", "decoding, 1 thread")}
    names = ("engine alone", "evaluation")
    found: list[NDArray[np.float32]] = []
    keys: list[bytes] = []
    warm_up(subject, size)
    edges = [len(paths) * i // rounds // size * size for i in range(rounds)] + [len(paths)]
    for turn in range(rounds):
        chunk = paths[edges[turn] : edges[turn + 1]]

        def alone(count: int = len(chunk)) -> None:
            for i in range(-(-count // size)):
                subject.engine.run(pool[i % POOL])

        def evaluation(chunk: list[Path] = chunk) -> None:
            keys.extend(hashes := digests(chunk, extraction.threads))
            images = [Image(p, h) for p, h in zip(chunk, hashes, strict=True)]
            found.append(extract(subject, images, extraction).features)

        work = dict(zip(names, (alone, evaluation), strict=True))
        for name in names[:: 1 if turn % 2 else -1]:
            parts[name].time(work[name], len(chunk))
        decode(parts["decoding"], chunk, subject.preprocessing, size, extraction.threads)
        decode(parts["decoding, 1 thread"], chunk[: 20 * size], subject.preprocessing, size, 1)

    def finish() -> None:
        features = np.concatenate(found)
        FeatureCache(folder / "cache").store({"engine": "benchmark"}, keys, features)
        score(features, dataset, Protocol(), subject.distance)

    parts["metrics"] = Part("metrics and cache")
    parts["metrics"].time(finish, len(paths))
    return parts


def decode(part: Part, paths: list[Path], kind: Preprocessing, size: int, workers: int) -> None:
    images = [Image(p) for p in paths]
    part.time(lambda: sum(count for _, count in load(images, kind, size, workers)), len(paths))


def report(parts: dict[str, Part], cores: int) -> None:
    engine, whole, last = parts["engine alone"], parts["evaluation"], parts["metrics"]
    for part in parts.values():
        print(part.line())
    share = sum(last.wall) / len(whole.wall)  # of the metrics, in a round
    ratios = [e / (w + share) for e, w in zip(engine.wall, whole.wall, strict=True)]
    low, ratio, high = statistics.quantiles(ratios, n=4)
    spent = sum(engine.cpu) / (sum(whole.cpu) + sum(last.cpu))
    single = parts["decoding, 1 thread"].rate
    bound = 1 / (1 / engine.rate + 1 / (single * cores)) / engine.rate
    print(f"files to metrics / engine alone: {ratio:.3f}, the median of {len(ratios)} rounds")
    print(f"  quartiles {low:.3f} to {high:.3f}; in processor time {spent:.3f}")
    print(f"bound of {cores} cores that engine and decoding share: {bound:.3f}")
    if ratio >= WANTED:
        print(f"at least {WANTED}: decoding does not hold the engine up")
    elif bound < WANTED:
        print(f"below {WANTED}: the cores are the limit, {ratio / bound:.2f} of it is reached")
    else:
        print(f"below {WANTED}, and the cores would allow it: the pipeline is the limit")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("engine", type=Path, help="an engine file in a bundle")
    parser.add_argument("--runtime", default="openvino")
    parser.add_argument("--precision")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--workers", type=int)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--crops", type=Path, help="a folder drawn before, or to draw into")
    args = parser.parse_args()
    manifest = Bundle.open(args.engine).manifest
    extraction = Extraction(args.batch, args.workers)
    cores = len(os.sched_getaffinity(0))
    options = EngineOptions(args.threads, args.precision)
    with (
        tempfile.TemporaryDirectory() as folder,
        open_engine(args.engine, options, args.runtime) as engine,
    ):
        dataset = crops(args.crops or Path(folder) / "crops", args.images)
        subject = Subject(engine, manifest.preprocessing, manifest.distance)
        print(
            f"{args.engine.name} on {engine.info.runtime} {engine.info.precision}, "
            f"{engine.info.threads} threads, batch {args.batch}, {extraction.threads} workers"
        )
        report(measure(subject, dataset, extraction, args.rounds, Path(folder)), cores)


if __name__ == "__main__":
    main()
