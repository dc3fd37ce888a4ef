"""Look at everything and say what to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edgereid.bench.doctor.device import World, device_warnings, gpus, jetson, meters, processor
from edgereid.bench.doctor.needs import PURPOSES, Environment, lacking, task
from edgereid.bench.doctor.packages import Found, look_at_all
from edgereid.bench.doctor.report import Report, Section
from edgereid.bench.jetson.board import Board, board, board_notes
from edgereid.errors import UsageError


def examine(
    purpose: str | None = None,
    world: World | None = None,
    look: Callable[[], Mapping[str, Found]] = look_at_all,
    environment: Environment | None = None,
) -> Report:
    """Examine this device; ``purpose`` is one of ``PURPOSES``, None for all of them as advice.

    Raises UsageError on an unknown purpose. ``world`` None: this machine; ``environment`` None:
    the one this runs in.
    """
    if purpose is not None and purpose not in PURPOSES:
        raise UsageError(f"unknown purpose {purpose!r}. Known: {', '.join(PURPOSES)}.")
    where = World() if world is None else world
    warnings = device_warnings(where)  # before the packages are imported, which is work
    found, here = look(), board(where.root)
    cards, card = gpus(where)
    sections = [processor(where), Section("packages", tuple(f.fact() for f in found.values()))]
    sections.append(cards)
    if here is not None:
        sections.append(jetson(here))
    sections.append(meters(where))
    wanted = [purpose] if purpose else _advisable(here, card)
    own = Environment.present() if environment is None else environment
    tasks = (task(name, found, here, own) for name in wanted)
    needed = lacking(PURPOSES[purpose], found, card or here is not None) if purpose else []
    return Report(
        sections=tuple(sections),
        warnings=(*warnings, *(board_notes(here) if here is not None else ())),
        purpose=purpose,
        lacking=tuple(needed),
        to_do=tuple(t for t in tasks if t is not None),
    )


def _advisable(here: Board | None, card: bool) -> list[str]:
    """What one does on such a device: a Jetson runs engines, a PC exports; TensorRT needs a GPU."""
    if here is not None:
        return ["bench", "tensorrt"]
    return [name for name, purpose in PURPOSES.items() if card or not purpose.gpu]
