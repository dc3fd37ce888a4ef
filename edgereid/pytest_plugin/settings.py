"""What pytest's command line and ini file may say about the judging of engines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

#: What a test does when there are not enough queries to tell.
UNDECIDED = ("fail", "skip", "xfail")
NONE = "none"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a test is judged by unless it says otherwise. A budget of None is not judged;
    ``cache`` None: the user's cache folder, ``no_cache``: features are not kept."""

    data: Path | None = None
    layout: str | None = None
    reference: Path | None = None
    max_map_drop: float | None = 0.5
    max_rank1_drop: float | None = 0.5
    max_latency_ratio: float | None = None
    undecided: str = "fail"
    threads: int | None = None
    cache: Path | None = None
    no_cache: bool = False


@dataclass(frozen=True, slots=True)
class Setting:
    """How one is written: ``--edgereid-NAME``, or ``edgereid_NAME`` in the ini file. ``read`` gets
    the text and the folder that paths are relative to; it raises ValueError."""

    metavar: str
    help: str
    read: Callable[[str, Path], Any]


def _path(text: str, base: Path) -> Path:
    return base / Path(text).expanduser()


def _text(text: str, base: Path) -> str:
    return text


def _budget(text: str, base: Path) -> float | None:
    return None if text == NONE else float(text)


def _count(text: str, base: Path) -> int:
    return int(text)


def _policy(text: str, base: Path) -> str:
    if text not in UNDECIDED:
        raise ValueError(text)
    return text


SETTINGS = {
    "data": Setting("DIR", "dataset folder", _path),
    "layout": Setting("NAME", "of the dataset (default: recognised)", _text),
    "reference": Setting("PATH", "what to compare with (default: the bundle's own float)", _path),
    "max_map_drop": Setting("POINTS", "budget of mAP (0.5; none: not judged)", _budget),
    "max_rank1_drop": Setting("POINTS", "budget of Rank-1 (0.5; none: not judged)", _budget),
    "max_latency_ratio": Setting("X", "time over the reference's (none: not measured)", _budget),
    "undecided": Setting("WHAT", f"too few queries to tell: {', '.join(UNDECIDED)}", _policy),
    "threads": Setting("N", "threads an engine may use (default: all)", _count),
    "cache": Setting("DIR", "where features are kept (the user's cache; none: nowhere)", _path),
}


def flag(name: str) -> str:
    return f"--edgereid-{name.replace('_', '-')}"


def missing(name: str) -> str:
    """What to do where a setting is needed and not given."""
    return (
        f"no {name}: give {flag(name)} {SETTINGS[name].metavar}, or edgereid_{name} in "
        "pyproject.toml."
    )


def base_folder(config: pytest.Config) -> Path:
    """What paths in the ini file and in markers are relative to."""
    return config.inipath.parent if config.inipath else config.rootpath


def with_setting(settings: Settings, name: str, value: object, base: Path, source: str) -> Settings:
    """``settings`` with one more of them. Raises pytest.UsageError on what it cannot be."""
    text = NONE if value is None else str(value)
    if name == "cache" and text == NONE:
        return replace(settings, cache=None, no_cache=True)
    try:
        found = SETTINGS[name].read(text, base)
    except ValueError:
        allowed = f"{SETTINGS[name].metavar}, {SETTINGS[name].help}"
        raise pytest.UsageError(f"{source} {text!r}: {allowed}.") from None
    changes = {name: found, "no_cache": False} if name == "cache" else {name: found}
    return replace(settings, **changes)


def settings_of(config: pytest.Config) -> Settings:
    """The ini file's, overruled by the command line's. Raises pytest.UsageError."""
    settings = Settings()
    for name in SETTINGS:
        ini, given = config.getini(f"edgereid_{name}"), config.getoption(f"edgereid_{name}")
        for value, base, source in (
            (ini, base_folder(config), f"edgereid_{name}"),
            (given, config.invocation_params.dir, flag(name)),
        ):
            if value not in (None, ""):
                settings = with_setting(settings, name, value, base, source)
    return settings
