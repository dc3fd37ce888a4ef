"""``edgereid show``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HELP = """Write a page of ranked lists: each query, what the engines find, right and wrong framed.

PATH is a bundle's directory (its float network beside its INT8 engine), or one or two engine
files, the reference first. The page is one HTML file that needs no network."""


def configure(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("paths", nargs="+", type=Path, metavar="PATH", help="a bundle, or one or two engines")
    add("--data", type=Path, required=True, metavar="DIR", help="dataset folder")
    add("--layout", metavar="NAME", help="of the dataset (default: recognised)")
    add("--out", type=Path, default=Path("lists.html"), metavar="FILE", help="(%(default)s)")
    add("--queries", type=int, default=50, metavar="N", help="how many (default %(default)s)")
    add("--top", type=int, default=10, metavar="N", help="entries a list (default %(default)s)")
    add("--sort", default="worst", metavar="HOW", help="worst, best, flips, file (%(default)s)")
    add("--metric", default="auto", metavar="NAME", help="auto, cosine, euclidean (%(default)s)")
    add("--maps", action="store_true", help="activation maps of the queries (needs torch)")
    add("--threads", type=int, metavar="N", help="threads an engine may use (default: all)")
    add("--cache", type=Path, metavar="DIR", help="where features are kept (the user's cache)")
    add("--no-cache", action="store_true", help="run every image, keep nothing")
    add("--trust", action="store_true", help="run native engine files that no manifest vouches for")
    add("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from edgereid.cli.outputs import cache_folder, check_output
    from edgereid.files import dump_json
    from edgereid.show.options import ShowOptions
    from edgereid.show.run import show

    check_output(args.out)
    shown = show(
        ShowOptions(
            paths=tuple(args.paths),
            data=args.data,
            out=args.out,
            layout=args.layout,
            queries=args.queries,
            top=args.top,
            sort=args.sort,
            metric=args.metric,
            maps=args.maps,
            threads=args.threads,
            trust=args.trust,
            cache=cache_folder(args.cache, args.no_cache),
        )
    )
    if args.json:
        sys.stdout.write(dump_json({**asdict(shown), "path": str(shown.path)}))
    else:
        print(f"{shown.path}: {shown.queries} queries, {shown.bytes / 1e6:.1f} MB")
    return 0
