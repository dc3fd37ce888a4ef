"""Numbers as people read them, the same in every table, sentence and page."""

from __future__ import annotations

from edgereid.bench.bootstrap import Drop
from edgereid.bench.result import Row
from edgereid.bench.stats import Ratio

NOTHING = "-"


def milliseconds(value: float) -> str:
    """Three significant digits or so: 0.912, 8.31, 83.1, 831."""
    decimals = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{value:.{decimals}f}"


def points(fraction: float) -> str:
    """A fraction as hundredths: 0.7812 -> 78.1."""
    return f"{100 * fraction:.1f}"


def megabytes(count: int) -> str:
    return f"{count / 1e6:.2f}"


def times(ratio: Ratio) -> str:
    return f"{ratio.value:.2f}x"


def times_with_interval(ratio: Ratio) -> str:
    if ratio.low is None or ratio.high is None:
        return times(ratio)
    return f"{ratio.value:.2f}x ({ratio.low:.2f} to {ratio.high:.2f})"


def _signed(value: float) -> str:
    """With its sign; a zero has none."""
    text = f"{value:+.2f}"
    return "0.00" if text in ("-0.00", "+0.00") else text


def change(drop: Drop) -> str:
    """A drop as the change it is: a drop of 0.2 is -0.20."""
    return _signed(-drop.points)


def interval(drop: Drop) -> str:
    """The interval of the change, lowest first."""
    return f"{_signed(-drop.high)} to {_signed(-drop.low)}"


def title(row: Row) -> str:
    """ "dslnet-int8/engine.xml (OpenVINO INT8)"."""
    return f"{row.file} ({row.label.rpartition(': ')[2]})"


def listing(items: list[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
