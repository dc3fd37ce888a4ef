"""Everything that decides the bits of a feature, apart from the image."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Any

from PIL import __version__ as pillow
from PIL import features

from edgereid import __version__
from edgereid.engines.companions import companions
from edgereid.evaluation.extract import Extraction
from edgereid.evaluation.subject import Subject, batch_size
from edgereid.files import dump_json, sha256

_CPUINFO = Path("/proc/cpuinfo")
_PACKAGE = Path(__file__).parents[1]
_CODE = (
    "images.py",
    "models/*.py",
    "engines/*.py",
    "evaluation/loading.py",
    "evaluation/subject.py",
)
_DECODERS = ("libjpeg_turbo", "jpg", "zlib", "webp")


def engine_files(path: Path) -> tuple[Path, ...]:
    """An engine file and the files it keeps its weights in."""
    return (path, *(path.parent / name for name in companions(path)))


def engine_identity(
    subject: Subject, files: Sequence[Path], precision: str | None, extraction: Extraction
) -> dict[str, Any]:
    """The engine's files by SHA-256, the runtime and its settings, the preprocessing, the decoders,
    our own code and the processor, as JSON values. Names and places of files do not matter."""
    info = subject.engine.info
    return {
        "edgereid": __version__,
        "files": [sha256(path) for path in files],
        "runtime": info.runtime,
        "runtime_version": info.version,
        "precision_asked": precision,
        "precision": info.precision,
        "threads": info.threads,
        "details": sha256_of(repr(sorted(info.details.items())).encode()).hexdigest(),
        "batch": batch_size(subject.engine, extraction.batch),
        "flip": subject.flips(extraction.flip),
        "preprocessing": subject.preprocessing.to_json(),
        "decoders": {"pillow": pillow, **{n: str(features.version(n)) for n in _DECODERS}},
        "code": code(),
        "processor": processor(),
    }


def code(package: Path = _PACKAGE) -> str:
    """A digest of the package's code between an image file and its features: a network that was
    edited gives others with the same weights and the same version."""
    files = sorted(f for part in _CODE for f in package.glob(part))
    return sha256_of("".join(f"{f.name} {sha256(f)}\n" for f in files).encode()).hexdigest()


def processor(cpuinfo: Path = _CPUINFO) -> str:
    """A digest of the processor's model and instruction sets, on which rounding may depend."""
    wanted = ("vendor_id", "model name", "flags", "Features", "CPU implementer", "CPU part")
    try:
        lines = cpuinfo.read_text(errors="replace").partition("\n\n")[0].splitlines()
    except OSError:
        lines = [platform.processor()]
    kept = [line for line in lines if line.startswith(wanted)] or lines
    return sha256_of(dump_json([platform.machine(), kept]).encode()).hexdigest()
