"""What a failed build says to the user: TensorRT's reason, and what to do about it."""

from __future__ import annotations

import re

from edgereid.engines.tensorrt.logger import Log, clean
from edgereid.engines.vendor import one_line
from edgereid.errors import EdgeReidError, InputError, MissingRuntimeError

NO_GPU = "TensorRT found no usable GPU or driver"
#: What TensorRT's log says -> what to do. The first that fits is taken.
_ADVICE = (
    (
        r"insufficient workspace|increas\w* (the )?workspace|workspace size",
        "give the builder more memory with --workspace MIB",
    ),
    (
        r"out ?of ?memory|bad_alloc|cudamalloc|failed to allocate|resize\w* failed",
        "the device has no memory left; close other programs, or give a smaller --workspace MIB "
        "or a smaller largest --batch",
    ),
    (
        r"could not find any implementation",
        "try another --level or another precision, or keep that layer out of INT8; "
        "`edgereid lint` names layers that TensorRT is known to refuse",
    ),
)
_OTHERWISE = "docs/tensorrt.md, 'When a build fails', says what to try"
_GPU = (
    r"no cuda-capable device|cuda driver version|cuda initialization failure|"
    r"unable to determine gpu memory|no kernel image|error code 35\b"
)


def warnings(log: Log) -> list[str]:
    """What TensorRT remarked during a build that went well, each once."""
    return list(dict.fromkeys(filter(None, map(clean, log.raw.splitlines()))))


def no_gpu(log: Log) -> MissingRuntimeError:
    """The error where a builder cannot even be made."""
    why = f" ({_short(log.reason())})" if log.raw else ""
    return MissingRuntimeError(
        f"{NO_GPU}{why}: a plan is built on the device that will run it; in a container, give it "
        "the GPU (--gpus all, on a Jetson --runtime nvidia)."
    )


def build_error(what: str, log: Log, raised: Exception | None = None) -> EdgeReidError:
    """The error of a build that gave nothing; ``raised``: what the bindings raised, if they did."""
    told = f"{log.raw} {raised or ''}"
    if re.search(_GPU, told, re.IGNORECASE):
        return no_gpu(log)
    advice = (do for sign, do in _ADVICE if re.search(sign, told, re.IGNORECASE))
    reason = log.reason() if log.raw or raised is None else one_line(raised)
    return InputError(
        f"TensorRT could not build {what}: {_short(reason)}; {next(advice, _OTHERWISE)}."
    )


def _short(reason: str) -> str:
    return one_line(Exception(reason)).rstrip(".")
