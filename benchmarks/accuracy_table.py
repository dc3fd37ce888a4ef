"""One table over the networks, of the files that accuracy_many.py wrote.

    python benchmarks/accuracy_table.py benchmarks/results/accuracy_many-*.json

A row an engine of ours: mAP and Rank-1 against float, in points with the 95 % interval over people,
what the usual peer of its runtime loses (NNCF's default, `quantize_static` by MinMax), and how far
our mAP is above NNCF's. Below, the mean over the networks of each column of points.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from tabulate import tabulate

PEERS = {
    "openvino": "NNCF default (OpenVINO)",
    "onnxruntime": "quantize_static MinMax u8 (ONNX Runtime)",
}
HEADERS = ("engine", "float mAP", "mAP", "Rank-1", "peer's mAP", "its Rank-1", "above NNCF's mAP")


def points(change: dict[str, float] | None) -> str:
    """A change with its interval."""
    if change is None:
        return ""
    return f"{change['points']:+.2f} ({change['low']:+.2f} to {change['high']:+.2f})"


def rows(result: dict[str, Any]) -> list[tuple[str, list[str], list[float]]]:
    """Of one network: the runtime, the cells and the numbers that means are taken of."""
    lines = result["rows"]
    named = {line["label"]: line for line in lines}
    found = []
    for line in lines[1:]:
        if line["peer"]:
            continue
        peer = named[PEERS[line["runtime"]]]
        columns = [line["map_change"], line["rank1_change"]]
        columns += [peer["map_change"], peer["rank1_change"]]
        label = line["label"].split()[-1]
        cells = [label, f"{lines[0]['mean_ap']:.2f}", *map(points, columns)]
        cells.append(points(line.get("map_above_nncf")))
        found.append((line["runtime"], cells, [c["points"] for c in columns]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("results", nargs="+", type=Path, metavar="FILE")
    results = [json.loads(path.read_text("utf-8")) for path in parser.parse_args().results]
    found = [row for result in results for row in rows(result)]
    for runtime in PEERS:
        own = [(cells, numbers) for name, cells, numbers in found if name == runtime]
        if not own:
            continue
        table = [cells for cells, _ in own]
        print(tabulate(table, HEADERS, tablefmt="github", disable_numparse=True))
        columns = zip(*(numbers for _, numbers in own), strict=True)
        means = ", ".join(f"{statistics.mean(column):+.2f}" for column in columns)
        print(f"\nmeans of mAP, Rank-1, the peer's mAP and Rank-1: {means}\n")
    sizes = sorted({(result["queries"], result["people"]) for result in results})
    print("; ".join(f"{queries:,} queries of {people} people" for queries, people in sizes))


if __name__ == "__main__":
    main()
