"""The operating system's own files about the machine: a value, or the reason why it is absent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Reading:
    """A value, or ``None`` with the reason why it is absent."""

    value: Any
    absent: str | None = None


UNRECORDED = Reading(None, "this result does not record it")


def file_text(path: Path) -> str | None:
    """The text in a file, None when it cannot be read."""
    try:
        return path.read_text(errors="replace").strip("\0\n ")
    except OSError:
        return None


def value_in(path: Path, convert: Callable[[str], Any]) -> Reading:
    """One file's value; absent when it cannot be read or understood."""
    text = file_text(path)
    if not text:
        return Reading(None, f"{path} cannot be read")
    try:
        return Reading(convert(text))
    except (ValueError, IndexError):
        return Reading(None, f"{path} is not understood")


def numbers(
    files: Iterable[Path], name: Callable[[Path], str], absent: str, unit: float = 1
) -> Reading:
    """Name -> number in the file over ``unit``; equal names are summed, empty ones passed over."""
    found: dict[str, float] = {}
    for file in sorted(files):
        key, text = name(file), file_text(file) or ""
        if key and text.lstrip("-").isdigit():
            found[key] = found.get(key, 0) + int(text) / unit
    return Reading(found) if found else Reading(None, absent)


def cpuinfo(root: Path) -> dict[str, list[str]]:
    """Field -> its values, one a processor."""
    fields: dict[str, list[str]] = {}
    for line in (file_text(root / "proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if value:
            fields.setdefault(name.strip(), []).append(value.strip())
    return fields


def memory_field(root: Path, field: str) -> Reading:
    """A field of /proc/meminfo in bytes."""

    def convert(text: str) -> int:
        line = next(x for x in [*text.splitlines(), f"{field}:"] if x.startswith(f"{field}:"))
        return int(line.split()[1]) * 1024

    return value_in(root / "proc/meminfo", convert)
