"""Time and memory of k-reciprocal re-ranking, and its agreement with the dense NumPy code that
peers share (``--peer``: that one needs minutes and 6 GiB or more at Market-1501 size).

Every case runs in a process of its own: peak memory is that process's, the features included.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

SIZES = {"market1501": (3368, 15913, 1501), "msmt17": (11659, 82161, 3060)}
DIMENSIONS = 512


def features(size: str) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Query and gallery features (Q, 512) and (G, 512): persons with scatter, of length 1."""
    queries, gallery, persons = SIZES[size]
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((persons, DIMENSIONS), dtype=np.float32)
    who = rng.integers(0, persons, queries + gallery)
    noise = rng.standard_normal((queries + gallery, DIMENSIONS), dtype=np.float32)
    all_features = centres[who] + 1.2 * noise
    all_features /= np.linalg.norm(all_features, axis=1, keepdims=True)
    return all_features[:queries], all_features[queries:]


def run_case(kind: str, size: str, threads: int, out: Path | None) -> dict[str, float]:
    query, gallery = features(size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    if kind == "peer":
        from dense_reranking import rerank

        final = rerank(query, gallery)
        seconds = time.perf_counter() - start
        if out is not None:
            np.save(out, final)
    else:
        from edgereid.retrieval.rerank import ReRanking, reranked_blocks

        expected = None if out is None or not out.exists() else np.load(out, mmap_mode="r")
        worst, checking = 0.0, 0.0
        for first, block in reranked_blocks(query, gallery, ReRanking(), "euclidean", threads):
            if expected is not None:
                at = time.perf_counter()
                worst = max(
                    worst, float(np.abs(expected[first : first + len(block)] - block).max())
                )
                checking += time.perf_counter() - at
        seconds = time.perf_counter() - start - checking
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    found = {"seconds": seconds, "peak_gib": peak / 2**20, "beyond_gib": (peak - before) / 2**20}
    return found | (
        {"largest_difference": worst} if kind == "ours" and expected is not None else {}
    )


def in_process(kind: str, size: str, threads: int, out: Path | None) -> dict[str, float]:
    command = [sys.executable, __file__, "--case", kind, "--size", size, "--threads", str(threads)]
    command += ["--expected", str(out)] if out else []
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="market1501", choices=SIZES)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--peer", action="store_true", help="run the dense peer, too")
    parser.add_argument("--expected", type=Path, help="where the peer's result is kept (.npy)")
    parser.add_argument("--case", choices=("peer", "ours"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.case:
        print(json.dumps(run_case(args.case, args.size, args.threads, args.expected)))
        return
    times = {}
    for kind in ("ours", "peer", "ours") if args.peer else ("ours",):
        found = in_process(kind, args.size, args.threads, args.expected)
        times.setdefault(kind, []).append(found["seconds"])
        print(args.size, kind, ", ".join(f"{k} {v:.3g}" for k, v in found.items()), flush=True)
    if args.peer:
        print(f"peer / ours: {times['peer'][0] / np.median(times['ours']):.0f} times")


if __name__ == "__main__":
    main()
