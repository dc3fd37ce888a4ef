"""What an engine was built from, and which precision was asked for there.

A plan's manifest says it. Elsewhere ``--graph`` names the ONNX file, whose quantizers say where
INT8 is asked for; a manifest that lists that file says it of more nodes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgereid.bundle import Bundle
from edgereid.errors import InputError
from edgereid.files import sha256
from edgereid.manifest import Manifest

#: Asked of a node whose arithmetic float16 cannot carry; "int8" is asked of others.
KEPT_FLOAT = "f32"


@dataclass(frozen=True, slots=True)
class Origin:
    """``graph`` None: not known, ``why`` says more; ``asked``: node -> "int8", None: not stated, so
    the quantizers in the file decide; ``kept``: nodes of which ``KEPT_FLOAT`` is asked."""

    graph: Path | None
    asked: Mapping[str, str] | None = None
    kept: tuple[str, ...] = ()
    why: str = ""


def origin_of(path: Path, plan: bool, graph: Path | None) -> Origin:
    """Where the build in the file ``path`` comes from; ``graph`` is what the user named, a file or
    a bundle, and goes before what a manifest says. Raises InputError and IntegrityError."""
    built = _built(path) if plan else {}
    kept = _texts(built.get("float_layers"))
    if graph is not None:
        chosen = _network(graph) if graph.is_dir() else graph
        return Origin(chosen, _asked(chosen), kept)
    file = built.get("onnx")
    name, digest = (file.get("file"), file.get("sha256")) if isinstance(file, dict) else ("", "")
    if not isinstance(name, str) or "/" in name or not (path.parent / name).is_file():
        return Origin(None)
    chosen = path.parent / name
    if isinstance(digest, str) and digest not in ("", sha256(chosen)):
        return Origin(
            None,
            why=f"{name} is no longer the file that {path.name} was built from: "
            "its nodes are not joined; build the plan again, or name that file with --graph",
        )
    return Origin(chosen, _asked(chosen), kept)


def _built(path: Path) -> Mapping[str, Any]:
    """What the manifest says of how a plan was built; empty where there is none."""
    manifest = _manifest(path)
    plans = manifest.provenance.get("plans") if manifest is not None else None
    found = plans.get(path.name) if isinstance(plans, dict) else None
    return found if isinstance(found, dict) else {}


def _manifest(path: Path) -> Manifest | None:
    if not Bundle.is_bundle(path):
        return None
    return Bundle.open(path, verify=False).manifest


def _asked(graph: Path) -> Mapping[str, str] | None:
    """The nodes the manifest calls INT8. Those it calls float just were not quantized: nobody asks
    that they stay FP32."""
    manifest = _manifest(graph)
    listed = None if manifest is None else manifest.precision.get(graph.name)
    return None if listed is None else {k: v for k, v in listed.items() if v == "int8"}


def _network(directory: Path) -> Path:
    """Of a bundle the file that `edgereid build` takes: Q/DQ for TensorRT, else the float one."""
    bundle = Bundle.open(directory)
    names = [f.name for f in (*bundle.find("data"), *bundle.find("float"))]
    found = [bundle.directory / name for name in names if name.endswith(".onnx")]
    if not found:
        raise InputError(f"{directory} has no ONNX file for TensorRT: name it with --graph.")
    return found[0]


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(str(name) for name in value) if isinstance(value, (dict, list)) else ()
