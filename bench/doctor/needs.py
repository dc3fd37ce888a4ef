"""What each purpose needs, what of it is lacking, and the commands that install it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edgereid.bench.doctor.packages import ABSENT, Found
from edgereid.bench.doctor.report import Task
from edgereid.bench.jetson.board import Board


@dataclass(frozen=True, slots=True)
class Purpose:
    """``all_of`` must be usable, one of ``any_of`` must be (when there are any); ``extra`` is the
    extra of this package that installs them."""

    all_of: tuple[str, ...] = ()
    any_of: tuple[str, ...] = ()
    extra: str = ""
    gpu: bool = False


CORE = ("numpy", "pillow")
PURPOSES = {
    "export": Purpose(
        (*CORE, "torch", "onnx", "onnxscript", "onnxruntime", "safetensors"), extra="export"
    ),
    "bench": Purpose(CORE, ("onnxruntime", "openvino", "tensorrt", "torch"), extra="onnxruntime"),
    "train": Purpose((*CORE, "torch", "torchvision", "safetensors", "fvcore"), extra="train"),
    "tensorrt": Purpose((*CORE, "tensorrt", "cuda-python", "onnx"), extra="tensorrt", gpu=True),
}
#: First number of JetPack -> the CUDA Python bindings of its CUDA. JetPack 5 has Python 3.8, which
#: edgereid does not run on.
CUDA_PYTHON = {"6": "cuda-python>=12.6,<13", "7": "cuda-python>=13,<14"}


@dataclass(frozen=True, slots=True)
class Environment:
    """The Python environment: in one of its own (venv), and without the system's packages."""

    own: bool
    closed: bool

    @classmethod
    def present(cls) -> Environment:
        own = sys.prefix != sys.base_prefix
        config = Path(sys.prefix) / "pyvenv.cfg"
        try:
            lines = config.read_text(encoding="utf-8", errors="replace").lower().splitlines()
        except OSError:
            lines = []
        words = [line.replace(" ", "") for line in lines]
        return cls(own, own and "include-system-site-packages=true" not in words)


def lacking(purpose: Purpose, found: Mapping[str, Found], gpu: bool) -> list[str]:
    """What ``purpose`` needs and is not there, a sentence each."""
    missing = [found[name] for name in purpose.all_of if not found[name].usable]
    sentences = [f"{f.package.name}: {f.fact().absent}" for f in missing]
    if purpose.any_of and not any(found[name].usable for name in purpose.any_of):
        sentences.append(f"a runtime: none of {', '.join(purpose.any_of)} can be used")
    if purpose.gpu and not gpu:
        sentences.append("an NVIDIA GPU: none was found")
    return sentences


def task(
    name: str,
    found: Mapping[str, Found],
    board: Board | None,
    environment: Environment,
) -> Task | None:
    """How to install what the purpose called ``name`` lacks; None when no package lacks."""
    purpose = PURPOSES[name]
    if not lacking(purpose, found, gpu=True):
        return None
    if name == "tensorrt" and board is not None:
        return Task(f"to {_WORDS[name]}", _on_jetson(found, board, environment))
    commands = [f'pip install "edgereid[{purpose.extra}]"']
    if name == "tensorrt":
        apart = [x for x in ("cuda-python", "onnx") if not found[x].usable]
        commands += [f"pip install {x}" for x in apart]
    return Task(f"to {_WORDS[name]}", tuple(commands))


_WORDS = {
    "export": "export and quantize",
    "bench": "bench an engine",
    "train": "train and profile",
    "tensorrt": "build and run TensorRT engines",
}


def _on_jetson(
    found: Mapping[str, Found], board: Board, environment: Environment
) -> tuple[str, ...]:
    """TensorRT comes with JetPack, through apt; an environment must be open to it."""
    commands = []
    if found["tensorrt"].state == ABSENT:
        if board.jetpack_installed.value is None or not environment.closed:
            commands += ["sudo apt-get update", "sudo apt-get install nvidia-jetpack"]
        if environment.closed:
            commands.append(
                "python3 -m venv --system-site-packages ~/edgereid-env  "
                "# this environment is closed to apt's packages"
            )
    if not found["cuda-python"].usable:
        generation = (board.jetpack.value or "").partition(".")[0]
        commands.append(f'pip install "{CUDA_PYTHON.get(generation, "cuda-python")}"')
    if not found["onnx"].usable:
        commands.append("pip install onnx")
    if not all(found[name].usable for name in CORE):
        commands.append("pip install edgereid")
    return tuple(commands) or ("see what the section 'packages' says of tensorrt",)
