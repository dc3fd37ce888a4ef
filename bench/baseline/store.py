"""The folder of baselines: ``MACHINE/ENGINE/TIME-COMMIT-CONTENT.json``, one record a file.

The files are byte-stable and line by line comparable, so the folder may be committed, cached by a
CI service or merged from several branches: no index, nothing is ever rewritten.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edgereid.bench.baseline.record import Engine, Record, record_from_json
from edgereid.errors import InputError, StorageError
from edgereid.files import dump_json, read_json, write_text

FOLDER = Path(".edgereid/baselines")
#: Of one engine on one machine; a folder that holds more was not made by this program.
MAX_RECORDS = 10_000


@dataclass(frozen=True, slots=True)
class Store:
    """Baselines under ``folder``, which need not exist yet."""

    folder: Path = FOLDER

    def path(self, record: Record) -> Path:
        return self.folder / record.machine / record.engine.folder / record.file

    def save(self, records: Iterable[Record]) -> list[Path]:
        """Keep ``records``; one that is there already stays as it is. Raises StorageError."""
        if self.folder.exists() and not self.folder.is_dir():
            raise StorageError(f"{self.folder} is no folder: choose another with --folder.")
        paths = []
        for record in records:
            path = self.path(record)
            if not path.exists():
                write_text(path, dump_json(record.to_json()))
            paths.append(path)
        return paths

    def history(self, machine: str, engine: Engine) -> list[Record]:
        """What is kept of an engine on a machine, the oldest first. Raises InputError on a file
        that is no record of them."""
        found = []
        for path in self._files(machine, engine.folder):
            record = record_from_json(read_json(path), str(path))
            if (record.machine, record.engine.digest) != (machine, engine.digest):
                raise InputError(f"{path} is of another engine or machine: remove it.")
            found.append(record)
        return sorted(found, key=lambda r: (r.time, r.file))

    def engines(self, machine: str) -> list[Engine]:
        """The engines kept for a machine, each as it was last."""
        home = self.folder / machine
        if not home.is_dir():
            return []
        found = []
        for folder in sorted(p.name for p in home.iterdir() if p.is_dir()):
            files = self._files(machine, folder)
            if files:  # names begin with the time
                found.append(record_from_json(read_json(files[-1]), str(files[-1])).engine)
        return found

    def _files(self, machine: str, engine: str) -> list[Path]:
        home = self.folder / machine / engine
        files = sorted(p for p in home.glob("*.json") if not p.name.startswith("."))
        if len(files) > MAX_RECORDS:
            raise InputError(f"{home} holds more than {MAX_RECORDS:,} records: remove old ones.")
        return files
