"""Everything whose rate is a roof, ready to be timed: the probes in each runtime, numpy's product,
and the streams."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.latency import Samples
from edgereid.bench.opening import Opener
from edgereid.bench.roofline.bandwidth import Stream
from edgereid.bench.roofline.probes import PROBES, probe_images, write_probe
from edgereid.bench.roofline.result import Band, Peak, Rate
from edgereid.bench.stats import summarise
from edgereid.cpus import usable_cpus
from edgereid.engines.base import EngineOptions
from edgereid.errors import EdgeReidError
from edgereid.evaluation.result import LeftOut
from edgereid.evaluation.targets import label

#: (runtime, precision): what is asked for and must be what runs.
PROBED = (
    ("onnxruntime", "f32"),
    ("onnxruntime", "int8"),
    ("openvino", "f32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)
_NUMPY_SIDE = 1024


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """A probe that may be run: ``macs`` multiply-adds a run."""

    runtime: str
    precision: str
    kind: str
    macs: int
    run: Callable[[NDArray[np.float32]], object]
    images: NDArray[np.float32]


def open_probes(
    folder: Path, threads: int, stack: ExitStack, opener: Opener
) -> tuple[list[Arithmetic], list[LeftOut]]:
    """Write the probes into ``folder`` and open them in every runtime; ``stack`` closes them. What
    does not run here, or not in the precision asked for, is left out."""
    found: list[Arithmetic] = []
    left_out: list[LeftOut] = []
    for index, kind in enumerate(PROBES):
        files = {int8: folder / f"probe{index}{'q' * int8}.onnx" for int8 in (False, True)}
        macs = {int8: write_probe(file, kind, int8) for int8, file in files.items()}
        for runtime, precision in PROBED:
            int8 = precision == "int8"
            name = f"the peak of {label(runtime, precision)} by {kind}"
            options = EngineOptions(threads, precision if precision == "bf16" else None)
            try:
                engine = stack.enter_context(opener(files[int8], options, runtime))
            except EdgeReidError as error:
                left_out.append(LeftOut(name, str(error)))
                continue
            if engine.info.precision != precision:
                left_out.append(LeftOut(name, f"it runs as {engine.info.precision} here"))
                continue
            found.append(
                Arithmetic(runtime, precision, kind, macs[int8], engine.run, probe_images())
            )
    if threads == usable_cpus():
        found.append(_numpy())
    else:
        left_out.append(LeftOut("numpy's peak", f"its threads cannot be held to {threads}"))
    return found, left_out


def _numpy() -> Arithmetic:
    """numpy's own product of matrices, with as many threads as its library takes."""
    rng = np.random.default_rng(2)
    b = rng.standard_normal((_NUMPY_SIDE, _NUMPY_SIDE), dtype=np.float32)
    out = np.empty_like(b)

    def run(a: NDArray[np.float32]) -> object:
        return np.matmul(a, b, out=out)

    side = _NUMPY_SIDE
    a = rng.standard_normal((side, side), dtype=np.float32)
    return Arithmetic("numpy", "f32", "matrix products", side**3, run, a)


def rate(samples: Samples, work: int) -> Rate:
    """Samples of runs that do ``work`` MACs or bytes each."""
    s = summarise(samples.all_ns, batch=1)
    return Rate(
        best=work / max(s.min_ms, 1e-6) * 1e3,
        median=work / max(s.p50_ms, 1e-6) * 1e3,
        cv=s.cv or 0.0,
        runs=s.count,
    )


def peaks_of(probes: Sequence[Arithmetic], samples: Sequence[Samples]) -> tuple[Peak, ...]:
    """The probes as timed."""
    return tuple(
        Peak(p.runtime, p.precision, p.kind, rate(s, p.macs))
        for p, s in zip(probes, samples, strict=True)
    )


def bands_of(streams: Sequence[Stream], samples: Sequence[Samples]) -> tuple[Band, ...]:
    """The streams as timed."""
    return tuple(
        Band(x.level, x.kind, x.array_bytes, rate(s, x.nbytes), x.doubt)
        for x, s in zip(streams, samples, strict=True)
    )
