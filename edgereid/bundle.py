"""A bundle: a directory with ``manifest.json``, the only thing passed between commands.

Opening a bundle checks every file against the SHA-256 in its manifest, so a changed byte is
refused. ``docs/bundle.md`` gives the format.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edgereid.errors import InputError, IntegrityError
from edgereid.files import dump_json, read_json, sha256, write_text
from edgereid.manifest import MANIFEST, ROLES, SCHEMA, BundleFile, Manifest

__all__ = [
    "MANIFEST",
    "ROLES",
    "SCHEMA",
    "Bundle",
    "BundleFile",
    "Manifest",
    "describe_file",
    "replace_accuracy",
    "total_bytes",
    "write_manifest",
]


@dataclass(frozen=True, slots=True)
class Bundle:
    """An opened bundle: every file listed exists and has the bytes its manifest vouches for."""

    directory: Path
    manifest: Manifest

    @staticmethod
    def is_bundle(path: Path) -> bool:
        """Whether ``path`` is a bundle's directory or lies in one."""
        return (path if path.is_dir() else path.parent).joinpath(MANIFEST).is_file()

    @staticmethod
    def open(path: Path, *, verify: bool = True) -> Bundle:
        """Open the bundle that ``path`` is, or that the file ``path`` lies in.

        Raises InputError when there is none or its manifest cannot be read, IntegrityError when a
        file is missing or changed.
        """
        if not path.exists():
            raise InputError(f"{path} does not exist: give a bundle's directory or an engine file.")
        directory = path if path.is_dir() else path.parent
        manifest = directory / MANIFEST
        if not manifest.is_file():
            raise InputError(
                f"{directory} is no bundle: it has no {MANIFEST}. `edgereid export` makes one."
            )
        bundle = Bundle(directory, Manifest.from_json(read_json(manifest), str(manifest)))
        if verify:
            bundle.verify()
        return bundle

    def verify(self) -> None:
        """Check every file; raises IntegrityError that names the first one that is missing, lies
        outside the bundle, or has another size or SHA-256."""
        for file in self.manifest.files:
            path = self.path(file)
            if not path.is_file():
                raise IntegrityError(
                    f"{path} is missing: copy the whole bundle or export it again."
                )
            if path.resolve().parent != self.directory.resolve():
                raise IntegrityError(
                    f"{path} is a link out of its bundle: put the file itself there."
                )
            size = path.stat().st_size
            if size != file.bytes or sha256(path) != file.sha256:
                got = "another SHA-256" if size == file.bytes else f"{size:,} bytes"
                raise IntegrityError(
                    f"{path} is not the file its manifest vouches for ({got} instead of "
                    f"{file.bytes:,} bytes with SHA-256 {file.sha256[:12]}...): "
                    "it was changed or damaged; copy the bundle or export it again."
                )

    def path(self, file: BundleFile) -> Path:
        """Where a file of this bundle lies."""
        return self.directory / file.name

    def find(self, role: str, runtime: str | None = None) -> tuple[BundleFile, ...]:
        """The files with a role (and runtime), in the order of their names."""
        return tuple(
            f
            for f in self.manifest.files
            if f.role == role and (runtime is None or f.runtime == runtime)
        )

    def file(self, name: str) -> BundleFile:
        """The entry of a file name; raises IntegrityError when the manifest does not list it."""
        for f in self.manifest.files:
            if f.name == name:
                return f
        raise IntegrityError(
            f"{self.directory / name} is not listed in its bundle's {MANIFEST}: "
            "nothing vouches for it."
        )


def describe_file(
    path: Path, role: str, runtime: str | None = None, precision: str | None = None
) -> BundleFile:
    """The manifest's entry of a file that exists. Raises InputError when it cannot be read."""
    return BundleFile(path.name, role, sha256(path), path.stat().st_size, runtime, precision)


def write_manifest(directory: Path, manifest: Manifest) -> Bundle:
    """Write ``manifest.json``, atomically, and return the bundle.

    Raises InputError when the manifest could not be read back, IntegrityError when a file it lists
    is not in place (nothing is written then), StorageError when it cannot be written.
    """
    value = manifest.to_json()
    bundle = Bundle(directory, Manifest.from_json(value, "the manifest to write"))
    bundle.verify()
    write_text(directory / MANIFEST, dump_json(value))
    return bundle


def replace_accuracy(bundle: Bundle, accuracy: dict[str, Any]) -> Bundle:
    """Record measured accuracy in the manifest; the files stay as they are."""
    return write_manifest(bundle.directory, replace(bundle.manifest, accuracy=accuracy))


def total_bytes(files: Iterable[BundleFile]) -> int:
    """The size of several files together, in bytes."""
    return sum(f.bytes for f in files)
