"""``edgereid eval``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgereid.evaluation.options import EvalOptions

HELP = """Measure the retrieval accuracy of an engine or a checkpoint on a dataset.

PATH is a bundle's directory (all its engines, one row each), a file in it, a bare engine file, or a
checkpoint (.safetensors). Features are kept in a cache by content, so that only new images are run.
Under torchrun the processes share the images; the result is the same."""


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("path", type=Path, metavar="PATH", help="a bundle, an engine file or a checkpoint")
    add("--data", type=Path, metavar="DIR", required=True, help="dataset folder")
    add("--layout", metavar="NAME", help="the folder's layout (default: recognised)")
    add("--runtime", action="append", default=[], metavar="NAME", help="only this (repeatable)")
    add("--precision", metavar="NAME", help="f32, bf16, f16, int8: of a bundle, only these engines")
    add("--trust", action="store_true", help="run native engine files that no manifest vouches for")
    add = parser.add_argument_group("protocol").add_argument
    add("--metric", default="auto", help="auto (as the manifest says), cosine, euclidean")
    add("--ap", default="precision", help="average precision: precision, trapezoid")
    add(
        "--flip",
        action=argparse.BooleanOptionalAction,
        help="mean of the features of an image and its mirror image (as the manifest says)",
    )
    add("--multi-query", metavar="HOW", help="pool the images of a person by a camera: mean, max")
    add("--rerank", action="store_true", help="k-reciprocal re-ranking (k1 20, k2 6, weight 0.3)")
    add("--skip-corrupt", action="store_true", help="leave out unreadable images, and list them")
    add = parser.add_argument_group("running").add_argument
    add("--batch", type=int, default=16, metavar="N", help="images a run (default 16)")
    add("--threads", type=int, metavar="N", help="threads the engine may use (default: all)")
    add("--workers", type=int, metavar="N", help="threads that decode (default: one a processor)")
    add("--cache", type=Path, metavar="DIR", help="where features are kept (the user's cache)")
    add("--no-cache", action="store_true", help="run every image, keep nothing")
    add = parser.add_argument_group("output").add_argument
    add("--out", type=Path, metavar="FILE", help="write all of it, per-query values too, as JSON")
    add("--json", action="store_true", help="print one JSON object instead of the table")


def run(args: argparse.Namespace) -> int:
    from edgereid.cli.outputs import check_output
    from edgereid.evaluation.run import run_eval
    from edgereid.evaluation.table import text
    from edgereid.files import dump_json, write_text
    from edgereid.progress import note

    options = options_of(args)
    if args.out is not None:
        check_output(args.out)
    result = run_eval(options)
    if result is None:  # another process of the group reports
        return 0
    sys.stdout.write(dump_json(result.summary()) if args.json else text(result))
    sys.stdout.flush()  # what was measured is seen even if the file cannot be written
    if args.out is not None:
        write_text(args.out, dump_json(result.to_json()))
        note(f"result: {args.out}")
    return 0


def options_of(args: argparse.Namespace) -> EvalOptions:
    """The options a command line asks for; raises UsageError."""
    from edgereid.cli.outputs import cache_folder
    from edgereid.evaluation.extract import Extraction
    from edgereid.evaluation.options import EvalOptions, Protocol
    from edgereid.retrieval.rerank import ReRanking

    reranking = ReRanking() if args.rerank else None
    return EvalOptions(
        path=args.path,
        data=args.data,
        layout=args.layout,
        runtimes=tuple(args.runtime),
        precision=args.precision,
        threads=args.threads,
        extraction=Extraction(args.batch, args.workers, args.flip),
        protocol=Protocol(args.metric, args.ap, args.multi_query, reranking),
        skip_corrupt=args.skip_corrupt,
        cache=cache_folder(args.cache, args.no_cache),
        trust=args.trust,
    )
