"""ruff, mypy --strict and the sizes of files and functions, as tests."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("edgereid", "export", "calibration", "bench")
FILES = sorted(
    f
    for folder in FOLDERS
    for f in (ROOT / folder).rglob("*.py")
    if not any(parent.is_symlink() for parent in f.parents)
)
NATIVE = sorted((ROOT / "edgereid" / "native" / "src").iterdir())

FILE_LINES = 260
FUNCTION_LINES = 40
# What may be longer, and why. An entry that is no longer needed fails the test.
LONGER_FILES: dict[str, str] = {}
LONGER_FUNCTIONS: dict[str, str] = {}


def name_of(file: Path) -> str:
    return str(file.relative_to(ROOT))


def run_tool(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, cwd=ROOT, timeout=280
    )
    assert done.returncode == 0, f"{' '.join(arguments)}:\n{done.stdout}{done.stderr}"


def test_ruff_finds_nothing() -> None:
    run_tool("ruff", "check", "--no-fix", ".")


def test_mypy_strict_finds_nothing() -> None:
    run_tool("mypy")


@pytest.mark.parametrize("file", [*FILES, *NATIVE], ids=name_of)
def test_a_file_can_be_read_in_one_go(file: Path) -> None:
    lines = len(file.read_text(encoding="utf-8").splitlines())
    allowed = name_of(file) in LONGER_FILES
    assert (lines > FILE_LINES) == allowed, f"{lines} lines, the limit is {FILE_LINES}"


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_a_function_fits_on_a_screen(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = (node.end_lineno or 0) - body[0].lineno + 1 if body else 0
            allowed = f"{name_of(file)}:{node.name}" in LONGER_FUNCTIONS
            assert (lines > FUNCTION_LINES) == allowed, (
                f"{node.name} has {lines} lines, the limit is {FUNCTION_LINES}"
            )


def test_every_exception_to_the_sizes_is_about_something_that_exists() -> None:
    for name in [*LONGER_FILES, *(n.partition(":")[0] for n in LONGER_FUNCTIONS)]:
        assert (ROOT / name).is_file(), name
