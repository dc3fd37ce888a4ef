"""What an inspection found: records that the tables and ``--json`` are views of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from edgereid.bench.inspect.trtexec_log import TrtexecRun

#: What a layer is there for: the nodes of the network; changes of layout or type (reformats, casts,
#: quantisers); other steps of TensorRT's own (constants, copies of shapes); not known.
GROUPS = ("nodes", "changes", "own", "unmatched")


@dataclass(frozen=True, slots=True)
class Step:
    """A layer of the engine. ``nodes`` of the ONNX file it stands for; ``unknown``: names in it
    that the file does not have; ``ms`` a run, ``precision`` and ``macs`` are None where they are
    not told; ``inferred``: TensorRT tells no types here, kernel and weights speak for the
    precision; ``key`` says what it stands for, to find it in another build."""

    name: str
    kind: str
    group: str
    precision: str | None
    doubt: str
    inferred: bool
    nodes: tuple[str, ...]
    unknown: tuple[str, ...]
    ms: float | None
    macs: int
    tactic: str
    key: str


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node of the ONNX file. ``layers`` that name it; ``ran``: the precision of the one that does
    its arithmetic, None where it is not clear; ``verdict`` where INT8 was asked for: "kept",
    "refused" or "unclear", where FP32 was to stay: "kept", "lowered" or "unclear", else ""."""

    name: str
    op: str
    macs: int | None
    layers: tuple[str, ...]
    ran: str | None
    verdict: str
    ms: float | None


@dataclass(frozen=True, slots=True)
class BuildResult:
    """One engine. ``ms``: sum of its layers' times, None where none is told; ``statistic``: of
    how many ``runs`` that is the median or mean; ``joined``: with an ONNX file; ``warnings`` are
    about the engine, ``notes`` about what is known of it."""

    label: str
    form: str | None
    steps: tuple[Step, ...]
    rows: tuple[NodeRow, ...]
    ms: float | None
    runs: int | None
    statistic: str | None
    joined: bool
    logs: tuple[TrtexecRun, ...] = ()
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def of_group(self, group: str) -> tuple[Step, ...]:
        """The layers of one group."""
        return tuple(step for step in self.steps if step.group == group)

    def share(self, steps: Sequence[Step]) -> float | None:
        """Part of the engine's time that some layers take, 0 to 1; None where it is not told."""
        if not self.ms or any(step.ms is None for step in steps):
            return None
        return sum(step.ms or 0.0 for step in steps) / self.ms

    @property
    def macs(self) -> int:
        """MACs of the network, as far as they could be counted."""
        return sum(row.macs or 0 for row in self.rows)

    def to_json(self) -> dict[str, Any]:
        """All of it; milliseconds and counts at one image."""
        value = asdict(self)
        value["layers"] = value.pop("steps")
        value["nodes"] = value.pop("rows")
        value["groups"] = {
            group: {
                "layers": len(steps),
                "ms": None if any(s.ms is None for s in steps) else sum(s.ms or 0 for s in steps),
                "time_share": self.share(steps),
            }
            for group, steps in ((group, self.of_group(group)) for group in GROUPS)
        }
        return value


@dataclass(frozen=True, slots=True)
class Pair:
    """A layer in two builds; None where one of them has none for the same nodes. ``changed``:
    what differs of precision and tactic, or "only in one"."""

    first: Step | None
    second: Step | None
    changed: tuple[str, ...]

    @property
    def ms_change(self) -> float | None:
        """Milliseconds that the second takes longer; None where a time is not told."""
        if self.first is None or self.second is None:
            return None
        if self.first.ms is None or self.second.ms is None:
            return None
        return self.second.ms - self.first.ms


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two builds, layer by layer. ``unclear``: layers that could not be told apart by what they
    stand for."""

    first: str
    second: str
    pairs: tuple[Pair, ...]
    unclear: int = 0

    @property
    def different(self) -> tuple[Pair, ...]:
        """The pairs in which anything differs but the time."""
        return tuple(pair for pair in self.pairs if pair.changed)

    def to_json(self) -> dict[str, Any]:
        """All pairs, with what differs."""
        return {
            "first": self.first,
            "second": self.second,
            "unclear": self.unclear,
            "pairs": [
                {
                    "first": None if p.first is None else asdict(p.first),
                    "second": None if p.second is None else asdict(p.second),
                    "changed": list(p.changed),
                    "ms_change": p.ms_change,
                }
                for p in self.pairs
            ],
        }


@dataclass(frozen=True, slots=True)
class Inspection:
    """All builds, and each but the first beside the first."""

    builds: tuple[BuildResult, ...]
    comparisons: tuple[Comparison, ...] = field(default=())

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of all builds."""
        return tuple(f"{b.label}: {w}" for b in self.builds for w in b.warnings)

    def to_json(self) -> dict[str, Any]:
        """One object with ``kind`` "edgereid-inspect"."""
        return {
            "kind": "edgereid-inspect",
            "builds": [build.to_json() for build in self.builds],
            "comparisons": [c.to_json() for c in self.comparisons],
            "warnings": list(self.warnings),
        }
