"""From a bundle to what the field's own software reads: choose the format, write a directory.

The directory is written whole or not at all; equal bundles and options give equal bytes.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import edgereid
from edgereid.export.deploy.deepstream import deepstream
from edgereid.export.deploy.options import (
    DeepStreamOptions,
    DeployOptions,
    TritonOptions,
)
from edgereid.export.deploy.output import Output
from edgereid.export.deploy.source import Source
from edgereid.export.deploy.triton import triton
from edgereid.export.deploy.trtexec import trtexec
from edgereid.files import atomic_directory, dump_json, sha256
from edgereid.manifest import MANIFEST

#: What was written and from what; also how a directory is known as one that may be replaced.
RECORD = "edgereid-deploy.json"


@dataclass(frozen=True, slots=True)
class Deployment:
    """What was written: ``files`` maps names relative to ``directory`` to their SHA-256."""

    directory: Path
    format: str
    files: Mapping[str, str]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "directory": str(self.directory),
            "format": self.format,
            "files": dict(self.files),
            "notes": list(self.notes),
        }


def deploy(options: DeployOptions) -> Deployment:
    """Write the configuration, and the network it names, into ``options.out``.

    Raises InputError, IntegrityError, UsageError and StorageError; ``options.out`` is then as it
    was.
    """
    source = Source.open(options.bundle)
    output = _output(source, options)
    with atomic_directory(options.out, overwrite=options.overwrite, marker=RECORD) as directory:
        files = _write(directory, output)
        record = {
            "edgereid": edgereid.__version__,
            "files": files,
            "format": options.format,
            "manifest": sha256(source.bundle.directory / MANIFEST),
            "notes": list(output.notes),
        }
        (directory / RECORD).write_text(dump_json(record), encoding="utf-8")
    return Deployment(options.out, options.format, files, output.notes)


def _output(source: Source, options: DeployOptions) -> Output:
    own = options.own
    if isinstance(own, TritonOptions):
        return triton(source, options, own)
    if isinstance(own, DeepStreamOptions):
        return deepstream(source, options, own)
    return trtexec(source, options, own)


def _write(directory: Path, output: Output) -> dict[str, str]:
    """Write everything and return the digests, by name."""
    for name in (*output.contents, *output.copies):
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
    for name, path in output.copies.items():
        shutil.copyfile(path, directory / name)
    for name, data in output.contents.items():
        (directory / name).write_bytes(data)
        if name in output.scripts:
            (directory / name).chmod(0o755)
    names = sorted((*output.contents, *output.copies))
    return {name: sha256(directory / name) for name in names}
