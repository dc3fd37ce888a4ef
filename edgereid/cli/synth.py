"""``edgereid synth``."""

from __future__ import annotations

import argparse
from pathlib import Path

HELP = "Draw a labelled data set of pedestrians in the Market-1501 layout (no download)."
_EXAMPLES = """\
examples:
  edgereid synth data                        the built-in task: 350 ids to train, 120 to test
  edgereid synth small --ids 60 --cameras 3  the same in small, for a quick try
"""


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dir", type=Path, metavar="DIR", help="a new or empty folder")
    parser.add_argument(
        "--ids", type=int, default=470, help="persons in all (default: %(default)s)"
    )
    parser.add_argument(
        "--test-ids",
        type=int,
        help="how many of them are only tested on (default: about a quarter)",
    )
    parser.add_argument(
        "--cameras", type=int, default=4, help="cameras, 2 to 9 (default: %(default)s)"
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="same seed, same images (default: %(default)s)"
    )
    parser.add_argument("--workers", type=int, help="processes (default: one a core)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace) -> int:
    import json
    import time

    from edgereid.data.synth import SynthOptions, synthesise
    from edgereid.progress import progress

    start = time.monotonic()
    options = SynthOptions.sized(args.ids, args.cameras, args.seed, args.test_ids)
    result = synthesise(args.dir, options, workers=args.workers, progress=progress)
    seconds = time.monotonic() - start
    if args.json:
        counts = {"train": result.train, "query": result.query, "gallery": result.gallery}
        report = {
            "path": str(result.root),
            "existed": result.existed,
            "train_ids": options.train_ids,
            "test_ids": options.test_ids,
            "cameras": options.cameras,
            "seed": options.seed,
            "images": counts,
            "seconds": round(seconds, 3),
        }
        print(json.dumps(report, indent=2))
        return 0
    what = "is there already" if result.existed else f"drawn in {seconds:.0f} s"
    print(
        f"{result.root}: {what}\n"
        f"  train    {result.train:>6} images of {options.train_ids} persons\n"
        f"  query    {result.query:>6} images of {options.test_ids} other persons\n"
        f"  gallery  {result.gallery:>6} images, {options.distractors} of them distractors, "
        f"{options.junk} junk"
    )
    return 0
