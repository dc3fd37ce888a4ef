"""Everything a search measured, in the order it did, so that it can be stopped and taken up again.

The search is a function of what it measured, and it measures only through ``Journal.recall``. A
search that is taken up again therefore does what it did, from the file, and goes on from there.
Time that was used counts, too, so that a time budget ends both at the same step.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edgereid.errors import InputError
from edgereid.files import dump_json, read_json, write_text
from edgereid.progress import note

SCHEMA = 1


@dataclass(slots=True)
class Journal:
    """``path`` None: kept in memory only. ``binding``: what the measurements belong to (digests of
    model and table, options, machine); a file that is bound to something else is not used."""

    path: Path | None
    binding: str
    clock: Callable[[], float] = time.monotonic
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    seconds: float = 0.0  # of the steps asked for so far, in this run or an earlier one
    _counted: set[str] = field(default_factory=set)

    @staticmethod
    def open(
        path: Path | None, binding: str, clock: Callable[[], float] = time.monotonic
    ) -> Journal:
        """The journal at ``path``, a new one where there is none or it belongs to another search.

        Raises InputError when the file is no journal.
        """
        journal = Journal(path, binding, clock)
        if path is None or not path.exists():
            return journal
        value = read_json(path)
        steps = value.get("steps") if isinstance(value, dict) else None
        if not isinstance(steps, dict) or value.get("schema") != SCHEMA:
            raise InputError(f"{path} is no state of a search: remove it or name another file.")
        if value.get("binding") != binding:
            note(
                f"{path.name} is of another search (model, images, options or machine differ): "
                "starting over"
            )
            return journal
        journal.steps = {str(key): _step(path, step) for key, step in steps.items()}
        note(f"going on from {path.name}: {len(steps)} steps are done")
        return journal

    def recall(self, key: str, compute: Callable[[], Any]) -> Any:
        """The result of a step: as it was the first time, else computed and written down.

        ``compute`` gives what JSON can hold; what it gives comes back as JSON gives it back.
        """
        if key not in self.steps:
            start = self.clock()
            value = compute()
            self.steps[key] = {"value": value, "seconds": self.clock() - start}
            self._save()
        step = self.steps[key]
        if key not in self._counted:
            self._counted.add(key)
            self.seconds += step["seconds"]
        return step["value"]

    def _save(self) -> None:
        if self.path is not None:
            value = {"schema": SCHEMA, "binding": self.binding, "steps": self.steps}
            write_text(self.path, dump_json(value))


def _step(path: Path, step: Any) -> dict[str, Any]:
    seconds = step.get("seconds") if isinstance(step, dict) else None
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or "value" not in step:
        raise InputError(f"{path} is damaged: remove it, and the search starts over.")
    return {"value": step["value"], "seconds": float(seconds)}
