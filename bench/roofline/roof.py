"""The roofline's arithmetic, apart from every runtime.

source: Williams, Waterman and Patterson, "Roofline: an insightful visual performance model for
multicore architectures", 2009. Work is counted in multiply-adds (MACs; 1 MAC = 2 operations) and
traffic in bytes: a step of m MACs and b bytes takes at least max(m / peak, b / bandwidth).
"""

from __future__ import annotations

from dataclasses import dataclass

COMPUTE, MEMORY = "compute", "memory"


@dataclass(frozen=True, slots=True)
class Roof:
    """What bounds a step: ``peak`` in MACs a second, ``bandwidth`` in bytes a second."""

    peak: float
    bandwidth: float

    @property
    def ridge(self) -> float:
        """The intensity, MACs a byte, above which arithmetic is the bound."""
        return self.peak / self.bandwidth

    def rate(self, intensity: float) -> float:
        """The most MACs a second at an intensity of MACs a byte."""
        return min(self.peak, intensity * self.bandwidth)

    def seconds(self, macs: float, nbytes: float) -> float:
        """The least time for so much work and traffic."""
        return max(macs / self.peak, nbytes / self.bandwidth)

    def bound(self, macs: float, nbytes: float) -> str:
        """``COMPUTE`` or ``MEMORY``, whichever takes longer at its roof."""
        return COMPUTE if macs / self.peak >= nbytes / self.bandwidth else MEMORY


@dataclass(frozen=True, slots=True)
class Standing:
    """A step beside its roof. ``seconds`` is the time it takes now, ``at_roof`` the least;
    ``peak_share`` compares its rate with the peak alone, ``roof_share`` with the roof above it.
    A share above 1 is reported as it is: the probe is then not the best this machine can do."""

    seconds: float
    at_roof: float
    bound: str
    rate: float  # MACs a second
    intensity: float  # MACs a byte
    peak_share: float
    roof_share: float

    @property
    def to_gain(self) -> float:
        """Seconds left to gain, never below 0."""
        return max(0.0, self.seconds - self.at_roof)


def stand(seconds: float, macs: float, nbytes: float, roof: Roof) -> Standing:
    """Compare a step of positive time with its roof; a step without MACs has rate 0."""
    at_roof = roof.seconds(macs, nbytes)
    rate = macs / seconds
    return Standing(
        seconds=seconds,
        at_roof=at_roof,
        bound=roof.bound(macs, nbytes),
        rate=rate,
        intensity=macs / nbytes if nbytes else 0.0,
        peak_share=rate / roof.peak,
        roof_share=at_roof / seconds,
    )
