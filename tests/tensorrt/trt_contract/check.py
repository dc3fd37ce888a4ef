"""All releases together: what is wrong, with file, line and releases."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from trt_fakes.api import RELEASES

from trt_contract.program import Program
from trt_contract.run import Facts, Problem, Run


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """Something wrong at one place."""

    file: str
    line: int
    name: str
    what: str
    releases: tuple[str, ...]

    def __str__(self) -> str:
        where = ", ".join(self.releases)
        return f"{self.file}:{self.line}: {self.name}: {self.what} (TensorRT {where})"


def analyse(
    program: Program, facts: Facts | None = None, releases: Sequence[str] = RELEASES
) -> dict[str, Run]:
    """All releases, to the end.

    A function that no code under the contract reaches in any release is called by somebody else, in
    every release; one that is reached in some releases only is guarded by who calls it.
    """
    static = list(program.functions)
    runs = {release: Run(program, release, facts or {}) for release in releases}
    for run in runs.values():
        for module in list(program.modules.values()):
            run.walk_module(module)
    while True:
        for run in runs.values():
            run.settle()
        reached = {key for run in runs.values() for key in run.reached}
        left = [key for key in static if key not in reached]
        if not left:
            return runs
        any_run = next(iter(runs.values()))
        called = {to for key in left for to in any_run.references(key) - {key}}
        for key in [k for k in left if k not in called] or left[:1]:
            for run in runs.values():
                run.reach(key, {})


def findings(runs: Mapping[str, Run]) -> list[Finding]:
    """Everything that is wrong, in the order of files and lines."""
    found: dict[Problem, list[str]] = defaultdict(list)
    for release, run in runs.items():
        for problem in run.problems:
            found[problem].append(release)
    for place in {place for run in runs.values() for place in run.used}:
        if not any(run.has(place[2].removeprefix("trt.")) for run in runs.values()):
            found[(*place, "exists in no release")] = list(runs)
            found.pop((*place, "does not exist"), None)
    return sorted(Finding(*p, tuple(r)) for p, r in found.items())


def names_used(run: Run) -> set[str]:
    """Every name of TensorRT that the code uses in that release."""
    return {name for (_, _, name), there in run.used.items() if there}
