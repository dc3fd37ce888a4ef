"""Optimization profiles, and how a batch of any size is put into them.

A plan takes the shapes between the minimum and the maximum of one of its profiles. A batch above
every maximum is split, one below every minimum is filled up; TensorRT itself refuses both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from edgereid.errors import InputError

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Profile:
    """The shapes (N, C, H, W) that TensorRT built the plan for, axis by axis."""

    index: int
    minimum: Shape
    optimum: Shape
    maximum: Shape

    def takes_image(self, image: Shape) -> bool:
        """Whether an image (C, H, W) lies within, whatever the batch."""
        return len(image) + 1 == len(self.minimum) and all(
            low <= size <= high
            for low, size, high in zip(self.minimum[1:], image, self.maximum[1:], strict=True)
        )

    def __str__(self) -> str:
        return " to ".join("x".join(str(n) for n in s) for s in (self.minimum, self.maximum))


@dataclass(frozen=True, slots=True)
class Launch:
    """``count`` images from ``start`` on, run in the shape ``shape`` of the profile ``profile``;
    the batch is filled up when ``shape[0]`` is larger than ``count``."""

    profile: int
    start: int
    count: int
    shape: Shape


def launches(profiles: Sequence[Profile], shape: Shape) -> tuple[Launch, ...]:
    """How to run a batch of ``shape`` (N, C, H, W), N at least 1.

    Full batches of the largest maximum first. The rest goes into the profile whose optimum is
    nearest, or, where no profile takes so few, into the smallest minimum above it.
    Raises InputError when no profile takes images of that size.
    """
    image = shape[1:]
    able = [p for p in profiles if p.takes_image(image)]
    if not able:
        given = "x".join(str(n) for n in shape)
        raise InputError(
            f"no optimization profile of the plan takes {given}: it takes "
            f"{'; '.join(str(p) for p in profiles)}."
        )
    largest = max(able, key=lambda p: (p.maximum[0], -p.index))
    found: list[Launch] = []
    start, left = 0, shape[0]
    while left > 0:
        count = min(left, largest.maximum[0])
        profile = _best(able, count)
        batch = max(count, profile.minimum[0])
        found.append(Launch(profile.index, start, count, (batch, *image)))
        start, left = start + count, left - count
    return tuple(found)


def _best(profiles: Sequence[Profile], count: int) -> Profile:
    """Where ``count`` images, not more than the largest maximum, go."""
    fitting = [p for p in profiles if p.minimum[0] <= count <= p.maximum[0]]
    if fitting:
        return min(fitting, key=lambda p: (abs(p.optimum[0] - count), p.index))
    above = [p for p in profiles if p.minimum[0] > count]
    return min(above, key=lambda p: (p.minimum[0], p.index))
