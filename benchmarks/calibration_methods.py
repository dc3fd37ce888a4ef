"""What each way to choose thresholds, and each repair, costs in embeddings: against min-max.

    python benchmarks/calibration_methods.py BUNDLE --data DIR [--map] [--json FILE]

BUNDLE has the float `model.onnx` (`edgereid export dslnet`); DIR is a dataset in an official layout
or a folder of training crops. For every target: each method with nothing else, then each repair
alone and all together on top of --base (a method). Judged on training images that were not
calibrated on: one minus the centred cosine to the float network, and its ratio to the error of
min-max in the same run. The engines are those of the target; TensorRT's model runs in ONNX Runtime,
in float between its roundings. --map also gives mAP and Rank-1 over query and gallery of DIR and
their change against the float engine of the same runtime, of mAP with its 95 % interval over
people; that takes up to minutes a row.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from tabulate import tabulate

from edgereid.bench.gate.bootstrap_t import bounds
from edgereid.bench.gate.pairs import pair
from edgereid.bench.machine import machine
from edgereid.calibration import auto
from edgereid.calibration.collect import collect
from edgereid.calibration.histogram import Histogram
from edgereid.calibration.images import choose_images
from edgereid.calibration.table import CalibrationTable, decide
from edgereid.calibration.thresholds import AUTO, METHODS, Decision
from edgereid.data.layouts import open_dataset
from edgereid.data.types import ReidDataset
from edgereid.engines.base import Engine, EngineOptions
from edgereid.engines.open import open_engine
from edgereid.evaluation.score import evaluate_subject
from edgereid.evaluation.subject import Subject
from edgereid.export.graph import Graph
from edgereid.export.openvino_ir import write_ir
from edgereid.export.placement import all_ranges, schemes_needed, tensors_seen
from edgereid.export.policy import POLICIES, PlacementPolicy
from edgereid.export.repair.equalize import equalize
from edgereid.export.repair.judge import Judge
from edgereid.export.repair.mended import Mended
from edgereid.export.repair.options import RepairOptions
from edgereid.export.repair.steps import IMAGES, mend
from edgereid.files import dump_json, read_json, write_text
from edgereid.images import load_batch
from edgereid.manifest import Manifest
from edgereid.progress import note
from edgereid.retrieval import RetrievalResult

Images = NDArray[np.float32]
REPAIRS = {
    "+ equalize": RepairOptions(equalize=True, rounding="nearest"),
    "+ weight scales by mse": RepairOptions("mse", rounding="nearest"),
    "+ learned rounding": RepairOptions(rounding="learned"),
    "+ bias correction": RepairOptions(bias_correction=True, rounding="nearest"),
    "+ learned rounding, bias correction": RepairOptions(rounding="learned", bias_correction=True),
    "+ all four": RepairOptions("mse", True, True, "learned"),
}


def runtime_of(target: str) -> str:
    """What runs a target's model here."""
    return target if target == "openvino" else "onnxruntime"


@dataclass(frozen=True, slots=True)
class Network:
    """A float model in a file, what its tensors held, and the images it is calibrated on."""

    path: Path
    model: Any
    seen: dict[str, Histogram]
    images: Images
    threads: int

    @staticmethod
    def of(model: Any, path: Path, images: Images, threads: int) -> Network:
        onnx.save(model, str(path))
        graph, policies = Graph(model), tuple(POLICIES.values())
        tensors = tensors_seen(graph, policies)
        seen = collect(path, np.split(images, len(images)), tensors, threads=threads)
        seen = all_ranges(graph, policies, seen)
        return Network(path, model, seen, images, threads)

    def table(self, policy: PlacementPolicy, method: str, percentile: float) -> CalibrationTable:
        nonnegative = {n: h.low >= 0 for n, h in self.seen.items()}
        needed = schemes_needed(Graph(self.model), (policy,), nonnegative)
        if method == AUTO:
            few = self.images[: auto.IMAGES]
            seen = self.seen.values()
            return auto.decide_by_output(self.path, seen, needed, few, {}, self.threads)
        return decide(self.seen.values(), needed, Decision(method, percentile), {})


@dataclass(frozen=True, slots=True)
class Accuracy:
    """In per cent and points; ``map_interval``: 95 %, over people."""

    map: float
    rank1: float
    map_change: float
    map_interval: tuple[float, float]
    rank1_change: float


@dataclass(frozen=True, slots=True)
class Task:
    """Query and gallery, and what the float engine of each runtime in use makes of them."""

    manifest: Manifest
    dataset: ReidDataset
    whole: dict[str, RetrievalResult]

    @staticmethod
    def of(
        model: Path, manifest: Manifest, data: Path, targets: Iterable[str], threads: int
    ) -> Task:
        task = Task(manifest, open_dataset(data), {})
        for runtime in sorted({runtime_of(target) for target in targets}):
            with open_engine(model, EngineOptions(threads=threads), runtime) as engine:
                task.whole[runtime] = task.evaluate(engine)
        return task

    def evaluate(self, engine: Engine) -> RetrievalResult:
        subject = Subject(engine, self.manifest.preprocessing, self.manifest.distance)
        return evaluate_subject(subject, self.dataset)

    def accuracy(self, engine: Engine, runtime: str) -> Accuracy:
        whole, found = self.whole[runtime], self.evaluate(engine)
        people = [self.dataset.query[i].pid for i in found.query_index]
        drop = pair(whole.average_precision, found.average_precision, people)
        low, high = bounds(drop, 0.025, 0.025)
        return Accuracy(
            100 * float(found.mean_ap),
            100 * float(found.rank(1)),
            -100 * drop.drop,
            (-100 * high, -100 * low),
            100 * float(found.rank(1) - whole.rank(1)),
        )


@dataclass(frozen=True, slots=True)
class Row:
    """``error``: one minus the mean centred cosine to float."""

    name: str
    target: str
    error: float
    accuracy: Accuracy | None

    def cells(self, worst: float) -> list[str]:
        found = [self.name, self.target, f"{self.error:.6f}", f"{self.error / worst:.2f}"]
        if (a := self.accuracy) is not None:
            low, high = a.map_interval
            found += [f"{a.map:.2f}", f"{a.map_change:+.2f} ({low:+.2f} to {high:+.2f})"]
            found += [f"{a.rank1_change:+.2f}"]
        return found


HEADERS = ("method", "target", "1 - centred cosine", "x min-max", "mAP", "change", "Rank-1")


@dataclass(frozen=True, slots=True)
class Bench:
    """Opens quantised models as their target runs them, and judges them."""

    folder: Path
    judge: Judge
    task: Task | None  # for mAP

    def row(self, name: str, target: str, model: Any) -> Row:
        path = self.folder / "engine.onnx"
        onnx.save(model, str(path))
        runtime = runtime_of(target)
        if runtime == "openvino":
            write_ir(path, path := path.with_suffix(".xml"))
        with open_engine(path, EngineOptions(threads=self.judge.threads), runtime) as engine:
            if target == "tensorrt":
                error = self.judge.error(model)
            else:
                singles = np.split(self.judge.crops, len(self.judge.crops))
                got = np.concatenate([engine.run(image) for image in singles])
                error = self.judge.error_of(got)
            accuracy = None if self.task is None else self.task.accuracy(engine, runtime)
        return Row(name, target, error, accuracy)


def rows(
    bench: Bench, target: str, networks: dict[bool, Network], base: str, with_auto: bool
) -> Iterator[Row]:
    """All rows of a target; ``networks``: the float one as it is and equalised."""
    policy, plain = POLICIES[target], networks[False]
    methods = [(m, m, 99.99) for m in (*METHODS, *([AUTO] if with_auto else []))]
    methods.insert(3, ("percentile 99.999", "percentile", 99.999))
    for name, method, percentile in methods:
        table = plain.table(policy, method, percentile)
        yield bench.row(name, target, Mended().quantize(plain.model, table, policy)[0])
    for name, options in REPAIRS.items():
        network = networks[options.equalize]
        table = network.table(policy, base, 99.99)
        images = network.images[:IMAGES]
        mended = mend(network.model, table, policy, images, options, bench.judge).mended
        quantised, _ = mended.quantize(network.model, table, policy)
        yield bench.row(f"{base} {name}", target, quantised)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="dataset or folder of crops")
    parser.add_argument("--images", type=int, default=256)
    parser.add_argument("--judged", type=int, default=128)
    parser.add_argument("--targets", default=",".join(POLICIES), metavar="NAME,NAME")
    parser.add_argument("--base", default="mse", choices=[*METHODS, AUTO])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument(
        "--no-auto", action="store_true", help="leave out auto, which takes minutes"
    )
    parser.add_argument("--map", action="store_true", help="accuracy of every row, too")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    manifest = Manifest.from_json(read_json(args.bundle / "manifest.json"))
    paths = choose_images(args.data, args.images + args.judged).paths
    images = load_batch(paths[: args.images], manifest.preprocessing)
    crops = load_batch(paths[args.images :], manifest.preprocessing)
    model = onnx.load(str(args.bundle / "model.onnx"))
    with open_engine(args.bundle / "model.onnx", EngineOptions(threads=args.threads)) as engine:
        reference = np.concatenate([engine.run(c) for c in np.split(crops, len(crops))])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        equal, _ = equalize(model, images[:32], args.threads)
        networks = {
            False: Network.of(model, folder / "float.onnx", images, args.threads),
            True: Network.of(equal, folder / "equalized.onnx", images, args.threads),
        }
        judge = Judge(crops, reference, args.threads)
        targets = args.targets.split(",")
        task = None
        if args.map:
            path = args.bundle / "model.onnx"
            task = Task.of(path, manifest, args.data, targets, args.threads)
        bench = Bench(folder, judge, task)
        everything = []
        for target in targets:
            found = []
            for row in rows(bench, target, networks, args.base, not args.no_auto):
                note(f"{target}, {row.name}: {row.error:.6f}")
                found.append(row)
            everything += found
            cells = [row.cells(found[0].error) for row in found]
            headers = HEADERS[: len(cells[0])]
            print(tabulate(cells, headers, tablefmt="github", disable_numparse=True), flush=True)
            print()
    if args.json:
        report = {
            "benchmark": "calibration_methods",
            "command": ["python", f"benchmarks/{Path(__file__).name}", *sys.argv[1:]],
            "network": manifest.network,
            "machine": asdict(machine()),
            "rows": [asdict(row) for row in everything],
        }
        write_text(args.json, dump_json(report))


if __name__ == "__main__":
    main()
