"""``run_eval`` with an engine of a known law, as one process of several: see ``test_group.py``."""

from __future__ import annotations

import argparse
import os
import sys
from hashlib import sha256
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from conftest import LawEngine, of_the_place

from edgereid.data.types import ImageRecord, ReidDataset
from edgereid.engines.base import Engine, EngineInfo, EngineOptions
from edgereid.errors import EdgeReidError
from edgereid.evaluation import identity
from edgereid.evaluation.extract import Extraction
from edgereid.evaluation.options import EvalOptions
from edgereid.evaluation.run import run_eval


def dataset(folder: Path) -> ReidDataset:
    """The dataset that the test has drawn."""

    def records(subset: str, camid: int) -> tuple[ImageRecord, ...]:
        paths = sorted((folder / subset).iterdir())
        names = [p.stem.lstrip("qg").partition("_")[0] for p in paths]
        return tuple(
            ImageRecord(p, int(n) if n.isdigit() else 99, camid)
            for p, n in zip(paths, names, strict=True)
        )

    return ReidDataset("tiny", folder, (), records("query", 1), records("gallery", 2))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--data", default="data")
    parser.add_argument("--cache")
    parser.add_argument("--version", default="1.0")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--processor")
    parser.add_argument("--die", action="store_true")
    args = parser.parse_args()
    data = dataset(args.folder / args.data)
    if args.processor:
        identity.processor = lambda: sha256(args.processor.encode()).hexdigest()

    def opener(path: Path, options: EngineOptions, runtime: str | None) -> Engine:
        if args.die:
            os._exit(9)
        engine = LawEngine(of_the_place)
        engine.info = EngineInfo("onnxruntime", "f32", 2, args.version)
        return engine

    cache = args.folder / args.cache if args.cache else None
    path = args.folder / "net.safetensors"
    options = EvalOptions(path, data.root, extraction=Extraction(args.batch), cache=cache)
    try:
        result = run_eval(options, opener, data)
    except EdgeReidError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    if result is not None:
        (row,) = result.rows
        found = row.result
        sys.stdout.write(f"{found.average_precision.tolist()} {found.first_match.tolist()}\n")
        sys.stdout.write(f"run {row.images_run}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
