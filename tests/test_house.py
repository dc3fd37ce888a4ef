"""The rules of the house, executed: who may import whom, and what works without which package."""

from __future__ import annotations

import ast
import importlib.machinery
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import edgereid.native

ROOT = Path(__file__).parents[1]
ROOMS_AT_THE_TOP = ("export", "calibration", "bench")

# Package -> the files (or folders) of edgereid/ that may import it, even within a function.
VENDORS: dict[str, tuple[str, ...]] = {
    "torch": (
        "models/",
        "losses.py",
        "train/",
        "profile/",
        "engines/eager.py",
        "export/torch_onnx.py",
        "export/registered.py",
        "evaluation/shard.py",
        "show/activation.py",
    ),
    "torchvision": ("models/", "train/"),
    "fvcore": ("profile/",),
    "safetensors": ("train/", "models/stored.py", "engines/eager.py", "export/torch_onnx.py"),
    "onnx": ("export/", "calibration/", "bench/roofline/", "bench/inspect/", "train/qat/"),
    "onnxscript": ("export/torch_onnx.py",),
    "onnxruntime": (
        "engines/onnxruntime.py",
        "calibration/session.py",
        "bench/roofline/onnxruntime_layers.py",
    ),
    "openvino": (
        "engines/openvino.py",
        "export/openvino_ir.py",
        "bench/roofline/openvino_layers.py",
    ),
    "tensorrt": ("engines/tensorrt/", "export/tensorrt/"),
    "cuda": ("engines/tensorrt/",),
    "pynvml": ("bench/energy/nvml.py",),
    "h5py": ("data/cuhk03_mat.py",),
    "scipy": ("data/cuhk03_mat.py",),
    "tensorboard": ("train/",),
    "pytorch_quantization": ("train/qat/pytorch_quantization_backend.py",),
    "absl": ("train/qat/pytorch_quantization_backend.py",),
    "modelopt": ("train/qat/modelopt_backend.py",),
    # The commands check for it before they measure.
    "matplotlib": ("bench/", "cli/bench.py", "profile/plot.py", "cli/profile.py", "search/plot.py"),
}

# Room -> rooms it may import besides itself; `base` is at the bottom and may import within itself.
BASE = {"bundle", "manifest", "images", "native", "errors", "files", "progress", "cpus"}
MIDDLE = {"engines", "retrieval", "data"}
LAYERS: dict[str, set[str]] = {
    **dict.fromkeys(BASE, BASE),
    "data": BASE,
    "retrieval": BASE,
    "models": {"errors"},
    "losses": {"errors", "models"},
    "engines": BASE | {"models"},  # the eager engine builds the network
    "profile": BASE | {"models", "bench"},  # labels of a drawing
    "evaluation": BASE | MIDDLE,
    # training with quantisation rounds where the export does
    "train": BASE | MIDDLE | {"models", "losses", "evaluation", "calibration", "export"},
    "calibration": BASE | MIDDLE,
    "export": BASE | MIDDLE | {"models", "calibration", "evaluation"},
    "bench": BASE | MIDDLE | {"evaluation"},
    "show": BASE | MIDDLE | {"evaluation"},
    # the search for precisions measures (bench) what it has quantised (export)
    "search": BASE | MIDDLE | {"evaluation", "calibration", "export", "bench"},
    "cli": BASE
    | MIDDLE
    | {"train", "profile", "export", "calibration", "bench", "models", "evaluation", "show"}
    | {"search"},
    "pytest_plugin": BASE | {"bench", "data"},
    "__main__": {"cli"},
    "": set(),  # edgereid/__init__.py
}


@dataclass(frozen=True, slots=True)
class Module:
    """A module of the package; ``path`` is relative to edgereid/, whatever folder holds it."""

    name: str
    path: str
    room: str
    tree: ast.Module

    def imports(self) -> Iterator[str]:
        """Every imported module's full name, from anywhere in the file."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{self.path}:{node.lineno}: a relative import"
                assert node.module is not None
                yield node.module
                if node.module == "edgereid":
                    yield from (f"edgereid.{alias.name}" for alias in node.names)


def package_modules() -> list[Module]:
    found = []
    for file in sorted(
        f for top in ("edgereid", *ROOMS_AT_THE_TOP) for f in (ROOT / top).rglob("*.py")
    ):
        parts = file.relative_to(ROOT).with_suffix("").parts
        if parts[0] == "edgereid":
            parts = parts[1:]
        if (
            len(parts) > 1
            and file.is_relative_to(ROOT / "edgereid")
            and parts[0] in ROOMS_AT_THE_TOP
        ):
            continue  # reached through the link; counted where it lies
        path = "/".join(parts) + ".py"
        dotted = [p for p in ("edgereid", *parts) if p != "__init__"]
        room = "" if parts == ("__init__",) else parts[0]
        found.append(
            Module(".".join(dotted), path, room, ast.parse(file.read_text(encoding="utf-8")))
        )
    return found


MODULES = package_modules()


def may_import(module: Module, package: str) -> bool:
    return any(
        module.path == place or (place.endswith("/") and module.path.startswith(place))
        for place in VENDORS[package]
    )


def run_python(code: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_rooms_at_the_top_are_linked_into_the_package_and_were_found() -> None:
    for room in ROOMS_AT_THE_TOP:
        assert (ROOT / "edgereid" / room).resolve() == ROOT / room
        assert any(m.room == room for m in MODULES)


def test_the_compiled_kernels_are_the_ones_in_use() -> None:
    file = edgereid.native._kernels.__file__
    assert file is not None
    assert file.endswith(tuple(importlib.machinery.EXTENSION_SUFFIXES))


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.path)
def test_a_module_imports_only_the_rooms_below_it_and_the_vendors_it_may(module: Module) -> None:
    assert module.room in LAYERS, f"{module.path}: a new room needs a row in LAYERS"
    for name in module.imports():
        top, _, rest = name.partition(".")
        assert top not in ROOMS_AT_THE_TOP, f"{module.path} imports {name}: say edgereid.{name}"
        if top in VENDORS:
            assert may_import(module, top), f"{module.path} may not import {top}"
        room = rest.partition(".")[0]
        if top == "edgereid" and room and room != "__version__":
            allowed = LAYERS[module.room] | {module.room}
            assert room in allowed, f"{module.path} may not import edgereid.{room}"


IMPORT_WITHOUT = """
import importlib, json, sys
forbidden, modules = (json.loads(a) for a in sys.argv[1:])
class Forbid:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in forbidden:
            raise ModuleNotFoundError(f"{name} is forbidden here", name=name)
sys.meta_path.insert(0, Forbid())
for module in modules:
    try:
        importlib.import_module(module)
    except Exception as error:
        sys.exit(f"{module} cannot be imported without {forbidden}: {error!r}")
"""


def _groups() -> dict[frozenset[str], list[str]]:
    """The modules by what they may not import."""
    groups: dict[frozenset[str], list[str]] = {}
    for module in MODULES:
        forbidden = frozenset(v for v in VENDORS if not may_import(module, v))
        groups.setdefault(forbidden, []).append(module.name)
    return groups


@pytest.mark.parametrize(("forbidden", "modules"), _groups().items(), ids=lambda x: f"{len(x)}")
def test_every_module_can_be_imported_where_the_packages_it_may_not_use_are_missing(
    forbidden: frozenset[str], modules: list[str]
) -> None:
    run_python(IMPORT_WITHOUT, json.dumps(sorted(forbidden)), json.dumps(modules))


HELP_OF_ALL = """
import contextlib, io, json, sys
heavy = json.loads(sys.argv[1])
from edgereid.cli.main import COMMANDS, main
for arguments in [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)]:
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            code = main(arguments)
        except SystemExit as stop:
            code = stop.code
    assert code in (0, None), (arguments, code)
    assert "edgereid" in out.getvalue(), arguments
    loaded = sorted(set(heavy) & set(sys.modules))
    assert not loaded, f"edgereid {' '.join(arguments)} imports {loaded}"
print(len(COMMANDS))
"""


def test_no_help_imports_anything_heavy() -> None:
    heavy = [*VENDORS, "numpy", "PIL", "scipy", "sklearn"]
    assert int(run_python(HELP_OF_ALL, json.dumps(heavy))) >= 5
