"""Tables over the networks, of the files that int8_peers.py wrote.

    python benchmarks/peers_table.py benchmarks/results/int8_peers-*.json

One for OpenVINO and one for ONNX Runtime, a row a bundle of ours, batch 1: the network's float mAP;
what our engine of that runtime loses of mAP and Rank-1 and its centred cosine; its speed relative
to the usual peer of that runtime (NNCF's default, `quantize_static` by MinMax) and to its best
float engine in the same run; what the usual peer loses; how many peers were in the run, and which
of them are better in both mAP and latency. OpenVINO's rows face the peers of both runtimes, those
of ONNX Runtime its own. Below, the geometric mean over the networks of the speed relative to the
usual peer; of several bundles of a network the slowest counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from edgereid.bench.stats import Ratio, speed_ratio

BATCH = "1"
Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Runtime:
    """``ours``: the file of a bundle; ``usual``: the peer that speeds are relative to."""

    name: str
    ours: str
    usual: str
    floats: tuple[str, ...]
    faces_all: bool  # whether peers of other runtimes count


RUNTIMES = (
    Runtime(
        "OpenVINO",
        "engine.xml",
        "NNCF default (OpenVINO)",
        ("FP32 (OpenVINO)", "BF16 (OpenVINO)"),
        faces_all=True,
    ),
    Runtime(
        "ONNX Runtime",
        "engine.onnx",
        "quantize_static MinMax u8 (ONNX Runtime)",
        ("FP32 (ONNX Runtime)",),
        faces_all=False,
    ),
)
HEADERS = ("bundle", "float mAP", "mAP", "Rank-1", "cosine", "speed to the usual peer",
           "to the best float", "its mAP", "its cosine", "peers", "better in both")  # fmt: skip


def gain(ours: Row, other: Row) -> Ratio:
    """How many times as fast as another engine of the run ours is, round by round."""
    return speed_ratio(other["samples_ns"][BATCH], ours["samples_ns"][BATCH])


def engines(result: dict[str, Any], runtime: Runtime) -> list[Row]:
    """Our engines of a runtime, one a bundle."""
    rows: list[Row] = result["rows"]
    return [row for row in rows if not row["peer"] and row["label"].endswith(runtime.ours)]


def line(ours: Row, rows: list[Row], runtime: Runtime) -> list[str]:
    """The cells of one bundle among the rows of its network."""
    named = {row["label"]: row for row in rows}
    floats = [named[name] for name in runtime.floats if name in named]
    usual, whole = named[runtime.usual], floats[0]
    best = min(floats, key=lambda row: gain(ours, row).value)
    peers = [r for r in rows if r["peer"] and (runtime.faces_all or runtime.name in r["label"])]
    better = [r for r in peers if r["mean_ap"] > ours["mean_ap"] and gain(ours, r).value < 1]
    speed = gain(ours, usual)
    return [
        ours["label"].split()[-1].removesuffix(f"/{runtime.ours}"),
        f"{whole['mean_ap']:.2f}",
        f"{ours['mean_ap'] - whole['mean_ap']:+.2f}",
        f"{ours['rank1'] - whole['rank1']:+.2f}",
        f"{ours['centred_cosine']:.4f}",
        f"{speed.value:.2f} ({speed.low:.2f} to {speed.high:.2f})",
        f"{gain(ours, best).value:.2f} ({best['label'].split()[0]})",
        f"{usual['mean_ap'] - whole['mean_ap']:+.2f}",
        f"{usual['centred_cosine']:.4f}",
        str(len(peers)),
        ", ".join(row["label"] for row in better) or "none",
    ]


def slowest(result: dict[str, Any], runtime: Runtime) -> float:
    """The least speed of our engines relative to the usual peer."""
    usual = next(row for row in result["rows"] if row["label"] == runtime.usual)
    return min(gain(ours, usual).value for ours in engines(result, runtime))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="FILE")
    results = [json.loads(path.read_text("utf-8")) for path in parser.parse_args().results]
    for runtime in RUNTIMES:
        having = [result for result in results if engines(result, runtime)]
        if not having:
            continue
        cells = [line(row, r["rows"], runtime) for r in having for row in engines(r, runtime)]
        mean = statistics.geometric_mean([slowest(result, runtime) for result in having])
        print(f"{runtime.name}; the usual peer is {runtime.usual}\n")
        print(tabulate(cells, HEADERS, tablefmt="github", disable_numparse=True))
        print(f"\ngeometric mean of the speeds relative to it: {mean:.2f}\n")


if __name__ == "__main__":
    main()
