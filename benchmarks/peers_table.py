"""One table over the networks, of the files that int8_peers.py wrote.

    python benchmarks/peers_table.py benchmarks/results/int8_peers-*.json

A row a bundle of ours, batch 1: the network's float mAP; what our OpenVINO engine loses of mAP and
Rank-1 and its centred cosine; its speed relative to NNCF's default and to the best float engine of
OpenVINO in the same run; what NNCF's default loses; how many peers were in the run, and which of
them are better in both mAP and latency. Below, the geometric mean over the networks of the speed
relative to NNCF's default; of several bundles of a network the slowest counts.
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


def engines(result: dict[str, Any]) -> list[Row]:
    """Our OpenVINO engines, one a bundle."""
    rows: list[Row] = result["rows"]
    return [row for row in rows if not row["peer"] and row["label"].endswith(OURS)]


def line(ours: Row, rows: list[Row]) -> list[str]:
    """The cells of one bundle among the rows of its network."""
    named = {row["label"]: row for row in rows}
    whole, default = named[FLOAT[0]], named[DEFAULT]
    speed, low, high = ours["speed"][BATCH]
    best = min((named[name] for name in FLOAT if name in named), key=median)
    return [
        ours["label"].split()[-1].removesuffix(f"/{OURS}"),
        f"{whole['mean_ap']:.2f}",
        f"{ours['mean_ap'] - whole['mean_ap']:+.2f}",
        f"{ours['rank1'] - whole['rank1']:+.2f}",
        f"{ours['centred_cosine']:.4f}",
        f"{speed:.2f} ({low:.2f} to {high:.2f})",
        f"{median(best) / median(ours):.2f} ({best['label'].split()[0]})",
        f"{default['mean_ap'] - whole['mean_ap']:+.2f}",
        f"{default['centred_cosine']:.4f}",
        str(sum(row["peer"] for row in rows)),
        ", ".join(ours["better_in_both"]) or "none",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="FILE")
    results = [json.loads(path.read_text("utf-8")) for path in parser.parse_args().results]
    headers = [
        "bundle",
        "float mAP",
        "mAP",
        "Rank-1",
        "cosine",
        "speed to NNCF's default",
        "to the best float",
        "NNCF mAP",
        "NNCF cosine",
        "peers",
        "better in both",
    ]
    cells = [line(row, result["rows"]) for result in results for row in engines(result)]
    print(tabulate(cells, headers, tablefmt="github", disable_numparse=True))
    mean = statistics.geometric_mean(
        [min(float(row["speed"][BATCH][0]) for row in engines(result)) for result in results]
    )
    print(f"\ngeometric mean of the speeds relative to NNCF's default: {mean:.2f}")


if __name__ == "__main__":
    main()
