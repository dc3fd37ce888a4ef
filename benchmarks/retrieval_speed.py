"""From features to all retrieval metrics, against the single-precision matrix product alone.

Random features and labels of the size of the public datasets; product and metrics alternate in one
run with the same threads; the ratio is the median over rounds. Peak memory is that of a process of
its own, beyond the features. ``million``: 1,000 queries against 1,000,000 gallery images.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

SIZES = {
    "market1501": (3368, 15913, 750, 6),
    "msmt17": (11659, 82161, 3060, 15),
    "million": (1000, 1_000_000, 20_000, 8),
}
DIMENSIONS = 512


def peak_gib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def run_case(size: str, rounds: int, product: bool) -> dict[str, object]:
    from edgereid.retrieval import evaluate
    from edgereid.retrieval.distances import rows_of_a_block

    queries, gallery, persons, cameras = SIZES[size]
    rng = np.random.default_rng(0)
    q = rng.standard_normal((queries, DIMENSIONS), dtype=np.float32)
    g = rng.standard_normal((gallery, DIMENSIONS), dtype=np.float32)
    labels = [
        rng.integers(1, persons + 1, queries),
        rng.integers(1, cameras + 1, queries),
        rng.integers(-1, persons + 1, gallery),
        rng.integers(1, cameras + 1, gallery),
    ]
    before, times = peak_gib(), []
    rows = rows_of_a_block(queries, gallery)
    buffer = np.empty((rows if product else 1, gallery), dtype=np.float32)
    for _ in range(rounds + 1):
        start = time.perf_counter()
        if product:  # in blocks of the same size: faster than into one large matrix
            for first in range(0, queries, rows):
                part = q[first : first + rows]
                np.matmul(part, g.T, out=buffer[: len(part)])
        middle = time.perf_counter()
        evaluate(q, labels[0], labels[1], g, labels[2], labels[3])
        times.append((middle - start, time.perf_counter() - middle))
    return {"times": times[1:], "beyond_gib": peak_gib() - before, "features_gib": before}


def in_process(size: str, rounds: int, product: bool) -> dict[str, object]:
    command = [sys.executable, __file__, "--size", size, "--rounds", str(rounds)]
    command += ["--case", "product" if product else "memory"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, object] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=SIZES, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--case", choices=("product", "memory"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(run_case(args.size[0], args.rounds, args.case == "product")))
        return
    print(f"{len(os.sched_getaffinity(0))} processors, features of {DIMENSIONS} numbers")
    for size in args.size or SIZES:
        timed = np.array(in_process(size, args.rounds, True)["times"])
        memory = in_process(size, 0, False)["beyond_gib"]
        product, metrics = np.median(timed, axis=0)
        ratio = np.median(timed[:, 1] / timed[:, 0])
        print(
            f"{size:11} product {product:6.2f} s, features to metrics {metrics:6.2f} s, "
            f"ratio {ratio:.2f}; memory beyond the features {memory:.2f} GiB",
            flush=True,
        )


if __name__ == "__main__":
    main()
