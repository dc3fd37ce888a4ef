"""The packages that edgereid can use: which are installed, of which version, and do they work.

Each is imported in a process of its own with a time limit.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from edgereid.bench.doctor.report import Fact
from edgereid.cpus import usable_cpus

TIMEOUT_S = 60.0
#: The child finds modules where its parent does.
_CHILD = (
    "import json, sys; order = json.loads(sys.argv[1]); sys.path[:] = order['sys_path']; "
    "from edgereid.bench.doctor.probe import main; main(order['modules'])"
)


@dataclass(frozen=True, slots=True)
class Package:
    """A package: its name for pip, the modules of which one is imported, the oldest version that
    is accepted (of pyproject.toml) and the versions that are tested (of constraints.txt)."""

    name: str
    modules: tuple[str, ...]
    minimum: str | None = None
    tested: tuple[str, ...] = ()


PACKAGES = {
    p.name: p
    for p in (
        Package("numpy", ("numpy",), "1.26", ("2.4.6", "2.2.6")),
        Package("pillow", ("PIL",), "10.1", ("13.0.0", "12.3.0")),
        Package("torch", ("torch",), "2.6", ("2.12.1",)),
        Package("torchvision", ("torchvision",), "0.21", ("0.27.1",)),
        Package("safetensors", ("safetensors",), "0.4.3", ("0.8.0",)),
        Package("fvcore", ("fvcore",), "0.1.5.post20221221", ("0.1.5.post20221221",)),
        Package("onnx", ("onnx",), "1.17", ("1.23.2",)),
        Package("onnxscript", ("onnxscript",), "0.3", ("0.7.2",)),
        Package("onnxruntime", ("onnxruntime",), "1.20", ("1.31.1", "1.23.2")),
        Package("openvino", ("openvino",), "2025.0", ("2026.4.1",)),
        Package("matplotlib", ("matplotlib",), "3.8", ("3.11.2", "3.10.9")),
        Package("tensorrt", ("tensorrt",), "8.5"),
        Package("cuda-python", ("cuda.bindings.runtime", "cuda.cudart"), "11.8"),
    )
}
#: Distributions that bring a module under another name.
_OTHER_NAMES = {
    "onnxruntime": ("onnxruntime-gpu",),
    "tensorrt": ("tensorrt-cu13", "tensorrt-cu12"),
    "cuda-python": ("cuda-bindings",),
}

OK, ABSENT, BROKEN, OLD = "ok", "absent", "broken", "too old"


@dataclass(frozen=True, slots=True)
class Found:
    """One package as found. ``state`` is OK, ABSENT, BROKEN (``reason`` says how) or OLD."""

    package: Package
    state: str
    version: str | None = None
    says: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def usable(self) -> bool:
        return self.state == OK

    def fact(self) -> Fact:
        name, version = self.package.name, self.version or "version unknown"
        if self.state == ABSENT:
            return Fact(name, None, "not installed")
        if self.state == BROKEN:
            return Fact(name, None, f"{version} is installed and cannot be used: {self.reason}")
        if self.state == OLD:
            return Fact(name, None, f"{version} is too old: {self.package.minimum} is needed")
        return Fact(name, "; ".join((version, self._tested(), *self.says)))

    def _tested(self) -> str:
        if not self.package.tested:
            return "not tested with any version"
        if (self.version or "").partition("+")[0] in self.package.tested:
            return "tested"
        return f"not tested (tested: {self.package.tested[0]})"


def release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: (2, 12, 1) of "2.12.1+cu130", (1, 20) of "1.20rc1"."""
    found = re.match(r"[0-9]+(?:\.[0-9]+)*", version)
    return tuple(int(n) for n in found[0].split(".")) if found else ()


def _older(version: str, minimum: str) -> bool:
    """Whether it is known to be older; a version that is no number is not known to be."""
    have, need = release(version), release(minimum)
    return bool(have) and have + (0,) * (len(need) - len(have)) < need


def installed_version(package: Package) -> str | None:
    """What the package's metadata say; None without any (Debian's may have none)."""
    for name in (package.name, *_OTHER_NAMES.get(package.name, ())):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def look_at(package: Package, timeout_s: float = TIMEOUT_S) -> Found:
    """Find one package and import it elsewhere."""
    version = installed_version(package)
    top = package.modules[0].partition(".")[0]
    try:
        known = top in sys.modules or importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        known = False
    if not known:
        return Found(package, ABSENT)
    answer = _import_elsewhere(package.modules, timeout_s)
    version = version or answer.get("version")
    if "error" in answer:
        reason = answer["error"]
        return Found(package, ABSENT if reason is None else BROKEN, version, reason=reason)
    if version and package.minimum and _older(version, package.minimum):
        return Found(package, OLD, version)
    return Found(package, OK, version, tuple(answer.get("says", ())))


def _import_elsewhere(modules: Sequence[str], timeout_s: float) -> dict[str, Any]:
    order = json.dumps({"modules": list(modules), "sys_path": sys.path})
    try:
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, order],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        return {"error": f"importing it takes longer than {timeout_s:g} s"}
    if done.returncode < 0:
        return {"error": f"importing it ends the process with signal {-done.returncode}"}
    if done.returncode > 0:
        return {"error": f"importing it ends the process with exit code {done.returncode}"}
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        answer = None
    return answer if isinstance(answer, dict) else {"error": "importing it ends the process"}


def look_at_all(packages: Sequence[Package] = tuple(PACKAGES.values())) -> dict[str, Found]:
    """Every package by its name; as many at once as there are processors."""
    with ThreadPoolExecutor(usable_cpus()) as pool:
        found = pool.map(look_at, packages)
        return {f.package.name: f for f in found}
