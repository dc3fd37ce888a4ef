"""Which builds the files on a command line are, recognised by what they hold.

A build begins with a plan or with the inspector's JSON; a profile or a log belongs to the build
named before it. What a bundle vouches for brings its ONNX file and the precision asked for along.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgereid.bench.inspect.json_text import parse, read_text
from edgereid.bench.inspect.layers import Information, from_value, is_information
from edgereid.bench.inspect.times import LayerTimes, is_profile
from edgereid.bench.inspect.times import from_value as times_from_value
from edgereid.bench.inspect.trtexec_log import TrtexecRun, is_log, trtexec_runs
from edgereid.bundle import Bundle
from edgereid.errors import InputError, UsageError

PLANS = (".plan", ".engine")
#: An object or a list, be it cut off; a log of trtexec begins with the time in brackets.
_JSON = re.compile(r"\s*(?:\{|\[\s*(?:[{\[\"\]]|$))")


@dataclass(frozen=True, slots=True)
class Given:
    """What was given of one build. ``plan`` is set where the engine itself is to be asked."""

    label: str
    path: Path
    plan: Path | None = None
    information: Information | None = None
    times: LayerTimes | None = None
    logs: tuple[TrtexecRun, ...] = ()


def given(paths: Sequence[Path]) -> list[Given]:
    """The builds that ``paths`` are. Raises InputError on a file that is none of the kinds, and
    UsageError on a profile given twice."""
    builds: list[Given] = []
    for path in paths:
        for file in _files(path):
            _add(builds, file)
    return builds


def _files(path: Path) -> list[Path]:
    """A directory stands for the plans of its bundle."""
    if not path.is_dir():
        return [path]
    bundle = Bundle.open(path)
    plans = [bundle.path(f) for f in bundle.manifest.files if f.name.endswith(PLANS)]
    if not plans:
        raise UsageError(f"{path} has no plan: build one on the device with `edgereid build`.")
    return plans


def _add(builds: list[Given], path: Path) -> None:
    if path.suffix.lower() in PLANS:
        if not path.is_file():
            raise InputError(f"{path} does not exist: give a plan, JSON or a log of trtexec.")
        builds.append(Given(path.name, path, plan=path))
        return
    text = read_text(path)
    value = _json(text, path)
    if is_information(value):
        builds.append(Given(path.name, path, information=from_value(value, str(path))))
        return
    if value is None and not is_log(text):
        raise InputError(
            f"{path} is none of what can be inspected: a plan, JSON of trtexec "
            "--exportLayerInfo or --exportProfile, or what trtexec 8.2 or later printed."
        )
    last = builds[-1] if builds else Given(path.name, path)
    if is_profile(value):
        if last.times is not None:
            raise UsageError(f"{path} is a second profile of {last.label}: one belongs to a build.")
        last = replace(last, times=times_from_value(value, str(path)))
    elif value is None:
        last = replace(last, logs=(*last.logs, *trtexec_runs(text, str(path))))
    else:
        raise InputError(f"{path} is JSON, but neither layer information nor a profile of layers.")
    builds[-1:] = [last]


def _json(text: str, path: Path) -> Any:
    """The value of a JSON text; None of another text."""
    return parse(text, str(path)) if _JSON.match(text) else None
