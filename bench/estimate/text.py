"""An estimate on a terminal, and the table of devices."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from edgereid.bench.estimate.constants import Constants
from edgereid.bench.estimate.devices import FIGURES, PRECISIONS, RATES, Device
from edgereid.bench.estimate.fit import COVERAGE
from edgereid.bench.estimate.result import Estimate, Predicted
from edgereid.bench.roofline.text import percent, table
from edgereid.bench.wording import NOTHING, milliseconds
from edgereid.evaluation.targets import PRECISION_NAMES

COLUMNS = (
    "precision", "batch", "predicted ms", "90 % interval", "predicted images/s",
    "predicted mJ an image", "compute %", "memory %", "launch %",
)  # fmt: skip


def text(estimate: Estimate, known: Constants) -> str:
    """The table and what a reader must know."""
    device = estimate.device
    head = (
        f"PREDICTED, not measured: {estimate.network} on {device.title}, {device.power_mode}; "
        f"{estimate.macs / 1e9:.3f} GMACs an image in {estimate.layers} layers"
    )
    lines = [head, "", table(COLUMNS, [_row(row) for row in estimate.rows]), ""]
    return "\n".join([*lines, *(f"- {note}" for note in _notes(estimate, known))]) + "\n"


def _row(row: Predicted) -> list[str]:
    star = " *" if row.calibrated else ""
    shares = (row.compute_share, row.memory_share, row.launch_share)
    return [
        PRECISION_NAMES[row.precision] + star,
        str(row.batch),
        milliseconds(row.ms),
        f"{milliseconds(row.low_ms)} to {milliseconds(row.high_ms)}",
        f"{row.images_per_s:,.0f}",
        milliseconds(row.energy_mj),
        *(percent(share) for share in shares),
    ]


def _notes(estimate: Estimate, known: Constants) -> Iterable[str]:
    e = known.held_out
    yield (
        f"error on {e.figures} published latencies of devices the fit had not seen: median "
        f"{100 * e.median:.0f} %, {100 * COVERAGE:.0f} % within a factor of {e.factor:.2f} "
        "(docs/estimate.md)"
    )
    if any(row.calibrated for row in estimate.rows):
        yield "* scaled by a measured engine; the interval is that of such calibration"
    yield "of a TensorRT engine on the GPU alone, without copies, decoding and preprocessing"
    if any(row.precision == "int8" for row in estimate.rows):
        yield "INT8 as if every convolution and matrix product ran in it: a bound, not a placement"
    yield (
        f"energy as if {estimate.device.watts:g} W were drawn, the largest budget stated: an upper "
        "bound in modes that keep to it"
    )
    yield from estimate.notes


DEVICE_COLUMNS = ("device", "name", "INT8", "FP16", "FP32", "GB/s", "W", "power mode")


def devices_text(found: Iterable[Device]) -> str:
    """Every device with its figures, then the source of each."""
    rows, lines = [], []
    for device in found:
        rates = [
            f"{2 * device.peaks[p] / 1e12:g}" if p in device.peaks else NOTHING
            for p in reversed(PRECISIONS)
        ]
        rows.append([device.title, device.name, *rates, f"{device.bandwidth / 1e9:g}"])
        rows[-1] += [f"{device.watts:g}", device.power_mode]
        lines += ["", device.name]
        lines += [f"  {', '.join(s.fields)}: {s.quote}\n    {s.url}" for s in device.sources]
        lines += [f"  {name}: {how}" for name, how in device.derived.items()]
    head = "dense rates in 1e12 operations a second (1 MAC is 2), GPU alone"
    return f"{head}\n\n{table(DEVICE_COLUMNS, rows, words=2)}\n" + "\n".join(lines) + "\n"


def devices_json(found: Iterable[Device]) -> dict[str, Any]:
    """The same for a program."""
    return {
        "kind": "edgereid-devices",
        "devices": [
            {
                "name": d.name,
                "title": d.title,
                "family": d.family,
                **{f: _rate(d, p) for p, f in RATES.items()},
                "bandwidth_gb_s": d.bandwidth / 1e9,
                "watts": d.watts,
                "power_mode": d.power_mode,
                "derived": d.derived,
                "sources": [
                    {"fields": list(s.fields), "quote": s.quote, "url": s.url, "read": s.read}
                    for s in d.sources
                ],
            }
            for d in found
        ],
        "figures": list(FIGURES),
    }


def _rate(device: Device, precision: str) -> float | None:
    return 2 * device.peaks[precision] / 1e12 if precision in device.peaks else None
