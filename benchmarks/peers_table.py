"""One table over the networks, of the files that int8_peers.py wrote.

    python benchmarks/peers_table.py benchmarks/results/int8_peers-*.json

A row a network, batch 1: float mAP; what our OpenVINO engine loses of mAP and Rank-1 and its
centred cosine; its speed relative to NNCF's default and to the best float engine of OpenVINO in
the same run; what NNCF's default loses; the peers that are better in both mAP and latency. Below,
the geometric mean of the speeds relative to NNCF's default.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from tabulate import tabulate

OURS = "engine.xml"
DEFAULT = "NNCF default (OpenVINO)"
FLOAT = ("FP32 (OpenVINO)", "BF16 (OpenVINO)")
BATCH = "1"
Row = dict[str, Any]


def median(row: Row) -> float:
    return float(row["latency_ms"][BATCH])


def line(result: dict[str, Any]) -> tuple[list[str], float]:
    """The cells of one network, and its speed relative to NNCF's default."""
    rows: list[Row] = result["rows"]
    named = {row["label"]: row for row in rows}
    whole, default = named[FLOAT[0]], named[DEFAULT]
    ours = next(row for row in rows if not row["peer"] and row["label"].endswith(OURS))
    speed, low, high = ours["speed"][BATCH]
    best = min((named[name] for name in FLOAT if name in named), key=median)
    better = [
        row["label"]
        for row in rows
        if row["peer"] and row["mean_ap"] > ours["mean_ap"] and median(row) < median(ours)
    ]
    cells = [
        result["network"],
        f"{whole['mean_ap']:.2f}",
        f"{ours['mean_ap'] - whole['mean_ap']:+.2f}",
        f"{ours['rank1'] - whole['rank1']:+.2f}",
        f"{ours['centred_cosine']:.4f}",
        f"{speed:.2f} ({low:.2f} to {high:.2f})",
        f"{median(best) / median(ours):.2f} ({best['label'].split()[0]})",
        f"{default['mean_ap'] - whole['mean_ap']:+.2f}",
        f"{default['centred_cosine']:.4f}",
        ", ".join(better) or "none",
    ]
    return cells, speed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="FILE")
    found = [line(json.loads(path.read_text("utf-8"))) for path in parser.parse_args().results]
    headers = [
        "network",
        "float mAP",
        "mAP",
        "Rank-1",
        "cosine",
        "speed to NNCF's default",
        "to the best float",
        "NNCF mAP",
        "NNCF cosine",
        "better in both",
    ]
    cells = [row for row, _ in found]
    print(tabulate(cells, headers, tablefmt="github", disable_numparse=True))
    mean = statistics.geometric_mean([speed for _, speed in found])
    print(f"\ngeometric mean of the speeds relative to NNCF's default: {mean:.2f}")


if __name__ == "__main__":
    main()
