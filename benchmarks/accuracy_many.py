"""What engines keep of mAP and Rank-1, over several times the people of the built-in test set.

    pip install nncf
    edgereid synth data
    edgereid export dslnet --int8 --calib data
    python benchmarks/accuracy_many.py dslnet-int8 --data data --json results.json

One of the built-in task's 439 queries is 0.23 points of Rank-1, so an engine that loses nobody on
average still shows half a point more or less. Here the same seed draws more people, before the same
cameras, that no training, calibration or choice has seen: each of --groups is 120 of them with
their queries and a gallery with as many distractors as the built-in one; group 0 is the built-in
test set itself. Every group is ranked for itself; means are over the queries of all. Rows: the
float network, every engine of the bundles, NNCF's default and `quantize_static` by MinMax, which
get 256 training images of DATA. Printed: mAP and Rank-1 and their change from float, with the 95 %
interval over people; and how far our mAP is above that of NNCF's default, with its interval.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from int8_peers import our_rows
from quantization_peers import NNCF_DEFAULT, Images, Row, Setting, nncf_default, onnxruntime_rows
from tabulate import tabulate

from edgereid.bench.gate.bootstrap_t import bounds
from edgereid.bench.gate.pairs import pair
from edgereid.bench.machine import machine
from edgereid.data.layouts import open_dataset
from edgereid.data.synth.options import DEMO
from edgereid.data.synth.writer import synthesise
from edgereid.data.types import DISTRACTOR_PID, ImageRecord, ReidDataset
from edgereid.engines.open import open_engine
from edgereid.files import dump_json, write_text
from edgereid.images import iter_batches
from edgereid.progress import note
from edgereid.retrieval import RetrievalResult, evaluate
from edgereid.retrieval.centred import centred_cosines

EXTRACTION_BATCH = 16
TAIL = 0.025  # on each side
BUILT_IN_IDS = DEMO.train_ids + DEMO.test_ids
Part = Sequence[ImageRecord]


@dataclass
class Tally:
    """What one engine did, a value a query, over all groups."""

    average_precision: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)  # 1: a true match is on top
    people: list[int] = field(default_factory=list)
    cosines: list[float] = field(default_factory=list)  # a value a gallery image
    groups: list[dict[str, float]] = field(default_factory=list)

    def add(self, found: RetrievalResult, pids: Sequence[int], cosines: Any) -> None:
        first = (found.first_match == 1).astype(float)
        self.average_precision += found.average_precision.tolist()
        self.first += first.tolist()
        self.people += [pids[i] for i in found.query_index]
        self.cosines += cosines.tolist()
        self.groups.append(
            {"mean_ap": 100 * float(found.mean_ap), "rank1": 100 * float(first.mean())}
        )


def groups_of(data: ReidDataset, numbers: Sequence[int], folder: Path) -> Iterator[ReidDataset]:
    """The test sets of these numbers; 0 is that of ``data``."""
    last = max(numbers)
    more = data
    if last:
        options = replace(
            DEMO,
            train_ids=1,
            test_ids=BUILT_IN_IDS + last * DEMO.test_ids - 1,
            distractors=(last + 1) * DEMO.distractors,
            junk=0,
        )
        synthesise(folder / "people", options)
        more = open_dataset(folder / "people")
    nobody = sorted((r for r in more.gallery if r.pid == DISTRACTOR_PID), key=_serial)
    for number in numbers:
        if not number:
            yield data
            continue
        low = BUILT_IN_IDS + (number - 1) * DEMO.test_ids
        query, gallery = (
            [r for r in part if low < r.pid <= low + DEMO.test_ids]
            for part in (more.query, more.gallery)
        )
        strangers = nobody[number * DEMO.distractors : (number + 1) * DEMO.distractors]
        yield replace(more, query=tuple(query), gallery=(*gallery, *strangers))


def _serial(record: ImageRecord) -> str:
    """The third part of a name like ``0000_c1s1_000400_00.jpg``."""
    return record.path.name.split("_")[2]


def tally(rows: Sequence[Row], group: ReidDataset, setting: Setting, into: list[Tally]) -> None:
    """Add what every engine does with one group; the first row is the float network."""
    images = [_images(part, setting) for part in (group.query, group.gallery)]
    ids = [([r.pid for r in p], [r.camid for r in p]) for p in (group.query, group.gallery)]
    reference: Images | None = None
    for row, found in zip(rows, into, strict=True):
        query, gallery = (np.concatenate([row.engine.run(b) for b in part]) for part in images)
        reference = gallery if reference is None else reference
        result = evaluate(query, *ids[0], gallery, *ids[1])
        found.add(result, ids[0][0], centred_cosines(reference, gallery))
        note(f"{row.label}: mAP {100 * result.mean_ap:.2f}")


def _images(part: Part, setting: Setting) -> list[Images]:
    paths = [r.path for r in part]
    return list(iter_batches(paths, setting.preprocessing, EXTRACTION_BATCH, setting.threads))


def change(
    ours: Sequence[float], other: Sequence[float], people: Sequence[int]
) -> dict[str, float]:
    """Ours minus the other's, in points, with its 95 % interval over people."""
    pairs = pair(other, ours, people)
    low, high = bounds(pairs, TAIL, TAIL)
    return {"points": -100 * pairs.drop, "low": -100 * high, "high": -100 * low}


def summary(rows: Sequence[Row], tallies: Sequence[Tally]) -> list[dict[str, Any]]:
    """What is printed and written of every row."""
    whole = tallies[0]
    nncf = next((t for r, t in zip(rows, tallies, strict=True) if r.label == NNCF_DEFAULT), None)
    found = []
    for row, own in zip(rows, tallies, strict=True):
        line: dict[str, Any] = {
            "label": row.label,
            "peer": row.peer,
            "runtime": row.engine.info.runtime,
            "mean_ap": 100 * float(np.mean(own.average_precision)),
            "rank1": 100 * float(np.mean(own.first)),
            "centred_cosine": float(np.mean(own.cosines)),
            "groups": own.groups,
        }
        if own is not whole:
            line["map_change"] = change(own.average_precision, whole.average_precision, own.people)
            line["rank1_change"] = change(own.first, whole.first, own.people)
        if nncf is not None and not row.peer and own is not whole:
            line["map_above_nncf"] = change(
                own.average_precision, nncf.average_precision, own.people
            )
        found.append(line)
    return found


def table(lines: Sequence[dict[str, Any]]) -> str:
    """The summary in a table."""

    def cell(line: dict[str, Any], name: str) -> str:
        value = line.get(name)
        if value is None:
            return ""
        return f"{value['points']:+.2f} ({value['low']:+.2f} to {value['high']:+.2f})"

    cells = [
        [
            line["label"],
            f"{line['mean_ap']:.2f}",
            cell(line, "map_change"),
            f"{line['rank1']:.2f}",
            cell(line, "rank1_change"),
            f"{line['centred_cosine']:.4f}",
            cell(line, "map_above_nncf"),
        ]
        for line in lines
    ]
    headers = ["engine", "mAP", "change", "Rank-1", "change", "cosine", "mAP above NNCF's"]
    return str(tabulate(cells, headers, tablefmt="github", disable_numparse=True))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="+", type=Path, metavar="BUNDLE")
    parser.add_argument("--data", required=True, type=Path, help="of `edgereid synth`")
    parser.add_argument("--groups", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--images", type=int, default=256, help="of the training split, for peers")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--without", nargs="*", default=[], choices=["nncf", "ort"])
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if min(args.groups) < 0 or len(set(args.groups)) != len(args.groups):
        parser.error("--groups: different numbers from 0")
    return args


def main() -> None:
    args = arguments()
    with Setting.of(args) as setting:
        model = setting.model
        whole = Row("FP32 (OpenVINO)", open_engine(model, setting.options, "openvino"), False)
        rows = [whole, *our_rows(args.bundles, setting)]
        rows += [] if "nncf" in args.without else [nncf_default(setting)]
        if "ort" not in args.without:
            every = onnxruntime_rows(setting, ["u8"], ["MinMax"])
            rows += [row for row in every if row.engine.info.runtime == "onnxruntime"]
        tallies = [Tally() for _ in rows]
        for group in groups_of(setting.dataset, args.groups, setting.folder):
            tally(rows, group, setting, tallies)
        lines = summary(rows, tallies)
    print(table(lines))
    people, queries = len(set(tallies[0].people)), len(tallies[0].people)
    print(f"{queries:,} queries of {people} people in {len(args.groups)} groups")
    if args.json:
        command = ["python", f"benchmarks/{Path(__file__).name}", *sys.argv[1:]]
        result = {
            "benchmark": "accuracy_many",
            "command": command,
            "machine": asdict(machine()),
            "groups": args.groups,
            "queries": queries,
            "people": people,
            "rows": lines,
        }
        write_text(args.json, dump_json(result))


if __name__ == "__main__":
    main()
