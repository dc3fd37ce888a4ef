"""The real CUDA bindings on a machine without a GPU: one clear line."""

from __future__ import annotations

import subprocess
import sys
import types
from pathlib import Path

import pytest

from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
from edgereid.engines.tensorrt.cuda import BINDINGS, CudaError, find_device, load_cuda
from edgereid.errors import MissingRuntimeError

TRUST = EngineOptions(trust=True)


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    path = tmp_path / "engine.plan"
    path.write_bytes(b"ftrt" + bytes(20) + bytes((10, 3, 0, 26)) + bytes(100))
    return path


@pytest.fixture
def _tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    """A TensorRT that is installed and not reached."""
    monkeypatch.setitem(sys.modules, "tensorrt", types.ModuleType("tensorrt"))


@pytest.fixture
def _no_gpu() -> None:
    pytest.importorskip("cuda.bindings.runtime")
    try:
        count = load_cuda().call("cudaGetDeviceCount")
    except CudaError:
        return
    if count:
        pytest.skip("there is a GPU")


@pytest.mark.usefixtures("_no_gpu")
def test_the_real_bindings_without_a_gpu_give_one_line_with_what_is_missing() -> None:
    with pytest.raises(MissingRuntimeError) as caught:
        find_device(load_cuda())
    message = str(caught.value)
    assert "NVIDIA GPU with its driver" in message
    assert "cudaGetDeviceCount: cudaError" in message
    assert "`edgereid doctor`" in message
    assert "\n" not in message


@pytest.mark.usefixtures("_no_gpu", "_tensorrt")
def test_a_plan_where_tensorrt_is_installed_but_no_gpu_gives_that_line(plan: Path) -> None:
    with pytest.raises(MissingRuntimeError, match="needs an NVIDIA GPU with its driver"):
        open_engine(plan, TRUST)


@pytest.mark.usefixtures("_tensorrt")
def test_a_plan_without_the_cuda_bindings_says_what_to_install(
    plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cuda", *BINDINGS):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingRuntimeError) as caught:
        open_engine(plan, TRUST)
    assert str(caught.value) == (
        "TensorRT is installed, but not the CUDA Python bindings (cuda.bindings.runtime or "
        'cuda.cudart): pip install "edgereid[tensorrt]"; on a Jetson what `edgereid doctor` says.'
    )


@pytest.mark.usefixtures("_tensorrt")
def test_bindings_that_are_installed_but_broken_are_not_called_missing(
    plan: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    package = tmp_path / "cuda" / "bindings"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "runtime.py").write_text("import libcudart_helper_that_is_missing\n")
    for name in [n for n in sys.modules if n == "cuda" or n.startswith("cuda.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingRuntimeError, match=r"runtime cannot be imported: No module named"):
        open_engine(plan, TRUST)


def test_the_old_name_of_the_bindings_is_taken_where_the_new_one_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    package, old = types.ModuleType("cuda"), types.ModuleType("cuda.cudart")
    package.__path__ = []  # a package without anything in it
    monkeypatch.setitem(sys.modules, "cuda", package)
    monkeypatch.setitem(sys.modules, "cuda.cudart", old)
    for name in [n for n in sys.modules if n.startswith("cuda.bindings")]:
        monkeypatch.delitem(sys.modules, name)
    found = load_cuda()
    assert (found.api, found.module) == (old, "cuda.cudart")


def test_a_missing_tensorrt_says_that_a_jetson_has_it_from_jetpack(
    plan: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises(MissingRuntimeError) as caught:
        open_engine(plan, TRUST)
    assert 'tensorrt is not installed: pip install "edgereid[tensorrt]"' in str(caught.value)
    assert "JetPack" in str(caught.value)


def test_the_package_is_imported_without_tensorrt_cuda_and_torch() -> None:
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(['tensorrt', 'cuda', 'torch', 'onnx']))\n"
        "import edgereid.engines.tensorrt.engine\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=root
    )
    assert done.returncode == 0, done.stderr
