"""The table of published and predicted latencies, as the documentation shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from edgereid.bench.estimate.constants import Constants, Errors
from edgereid.bench.estimate.devices import Device
from edgereid.bench.estimate.fit import COVERAGE, HeldOut
from edgereid.bench.wording import milliseconds
from edgereid.evaluation.targets import PRECISION_NAMES

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
UNTOLD = "TensorRT (not stated)"


def markdown(constants: Constants, devices: Mapping[str, Device]) -> str:
    """Every published figure beside its prediction, the errors by device, the fitted constants."""
    rows = ["| device | network | in | batch | published ms | predicted ms | error | source |"]
    rows.append("|---|---|---|--:|--:|--:|--:|---|")
    rows += [_row(point, devices) for point in constants.points]
    lines = [*rows, "", *_by_device(constants.points, devices), "", *_errors(constants), ""]
    lines += [_constants(constants)]
    return "\n".join(lines) + "\n"


def _row(point: HeldOut, devices: Mapping[str, Device]) -> str:
    m = point.measurement
    cells = [devices[m.device].title, m.network, PRECISION_NAMES.get(m.precision, m.precision)]
    cells += [str(m.batch), milliseconds(m.ms), milliseconds(point.predicted_ms)]
    return f"| {' | '.join(cells)} | {_percent(point.error)} | {m.source} |"


def _percent(log: float) -> str:
    return f"{100 * np.expm1(log):+.0f} %"


def _by_device(points: Sequence[HeldOut], devices: Mapping[str, Device]) -> list[str]:
    lines = ["| device | figures | median error | worst |", "|---|--:|--:|--:|"]
    for name in dict.fromkeys(x.measurement.device for x in points):
        logs = [x.error for x in points if x.measurement.device == name]
        worst = max(logs, key=abs)
        middle = f"{100 * np.expm1(np.median(np.abs(logs))):.0f} %"
        title = devices[name].title
        lines.append(f"| {title} | {len(logs)} | {middle} | {_percent(worst)} |")
    return lines


def _errors(constants: Constants) -> list[str]:
    rows: tuple[tuple[str, Errors], ...] = (
        ("nothing measured (each board held out)", constants.held_out),
        ("one engine of another network measured on the device", constants.same_device),
        ("the network measured on another device", constants.same_network),
    )
    share = f"{100 * COVERAGE:.0f} % within"
    lines = [f"| calibration | comparisons | median error | {share} |", "|---|--:|--:|--:|"]
    lines += [
        f"| {words} | {e.figures} | {100 * e.median:.0f} % | a factor of {e.factor:.2f} |"
        for words, e in rows
    ]
    return lines


def _constants(constants: Constants) -> str:
    e = constants.efficiency
    return (
        f"Fitted to all of them: matrix units {e.matrix:.3f} of their peak (before "
        f"Ampere {e.early_matrix:.3f}), vector units {e.vector:.3f}, thin layers "
        f"{e.thin:.3f}, memory {e.memory:.3f}, "
        f"{1e6 * e.launch_jetson:.2f} microseconds a layer on a Jetson and "
        f"{1e6 * e.launch_desktop:.2f} on a desktop device."
    )


def replace_table(page: str, table: str) -> str:
    """The page with the text between its two marks replaced."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{table}{END}{after}"
