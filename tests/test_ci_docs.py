"""The page on CI and its files: valid by the services' own schemas, every command executed.

Executed is what is written, with two substitutes: ``pip install`` is checked instead (its package,
its extras), and ``edgereid bench`` measures more briefly.
"""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from packaging.requirements import Requirement
from PIL import Image

ROOT = Path(__file__).parents[1]
save_network = runpy.run_path(str(ROOT / "tests" / "plugin" / "colours_network.py"))["save_network"]
PAGE = ROOT / "docs" / "ci.md"
GITHUB, GITLAB = (
    ROOT / "docs" / "ci" / "github-workflow.yml",
    ROOT / "docs" / "ci" / "gitlab-ci.yml",
)
#: Half a point of Rank-1 wants so many people even if nothing is lost.
PERSONS = 700
#: Nobody's CI sets these for us.
SERVICE = {"CI_COMMIT_BRANCH": "main", "CI_DEFAULT_BRANCH": "main"}


def load(path: Path) -> Any:
    yaml = pytest.importorskip("ruamel.yaml")
    return yaml.YAML(typ="safe").load(path)


def fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def page_commands() -> Iterator[str]:
    for block in fenced("sh"):
        yield from re.sub(r"\\\n\s*", "", block).strip().splitlines()


def github_commands() -> Iterator[str]:
    for step in load(GITHUB)["jobs"]["engines"]["steps"]:
        if "run" in step:
            yield step["run"]


def gitlab_commands() -> Iterator[str]:
    for name, job in load(GITLAB).items():
        yield from (job["before_script"] if name.startswith(".") else job["script"])


@pytest.mark.parametrize(
    ("schema", "file"),
    [("vendor.github-workflows", GITHUB), ("vendor.gitlab-ci", GITLAB)],
    ids=["github", "gitlab"],
)
def test_the_file_is_valid_by_the_published_schema(schema: str, file: Path) -> None:
    pytest.importorskip("check_jsonschema")
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema]
    done = subprocess.run([*command, str(file)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_schema_finds_a_mistake(tmp_path: Path) -> None:
    pytest.importorskip("check_jsonschema")
    broken = tmp_path / "workflow.yml"
    broken.write_text(GITHUB.read_text().replace("runs-on:", "runs_on:"))
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    done = subprocess.run(
        [*command, "vendor.github-workflows", str(broken)], capture_output=True, timeout=60
    )
    assert done.returncode == 1


def test_the_jobs_are_those_the_page_speaks_of() -> None:
    assert load(GITHUB)["env"] == load(GITLAB)[".engines"]["variables"]
    for commands in (list(github_commands()), list(gitlab_commands()), list(page_commands())):
        text = "\n".join(commands)
        for wanted in (
            "edgereid gate",
            "pytest tests/engines",
            "edgereid bench",
            "baseline compare",
        ):
            assert wanted in text
    for file in (GITHUB, GITLAB):
        assert f"(ci/{file.name})" in PAGE.read_text()


def _draw(folder: Path) -> None:
    """Market-1501 layout; a person is eighteen shades, which noise hardly blurs."""
    rng = np.random.default_rng(5)
    for subset, camera, persons in (
        ("bounding_box_train", 1, 1),
        ("query", 1, PERSONS),
        ("bounding_box_test", 2, PERSONS),
    ):
        (folder / subset).mkdir(parents=True)
        for pid in range(1, persons + 1):
            colours = np.random.default_rng(pid).integers(40, 216, size=(3, 2, 3))
            pixels = np.kron(colours, np.ones((8, 8, 1))) + rng.normal(0, 8, size=(24, 16, 3))
            image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            image.save(folder / subset / f"{pid:04}_c{camera}s1_000000_00.jpg", quality=95)


def _save_bundle(folder: Path) -> None:
    from edgereid.bundle import Manifest, describe_file, write_manifest
    from edgereid.images import Preprocessing

    folder.mkdir(parents=True)
    save_network(folder / "model.onnx", 0.0)
    save_network(folder / "engine.onnx", 1e-4)
    files = (
        describe_file(folder / "model.onnx", "float", "onnxruntime", "f32"),
        describe_file(folder / "engine.onnx", "engine", "onnxruntime", "int8"),
    )
    write_manifest(folder, Manifest("dslnet", 18, Preprocessing(24, 16), files))


def _script(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's checkout: bundle, data, the page's test file and settings, one commit."""
    folder = tmp_path_factory.mktemp("ci") / "project"
    _draw(folder / "data")
    _save_bundle(folder / "engines" / "dslnet-int8")
    (python,) = fenced("python")
    (toml,) = fenced("toml")
    (folder / "tests" / "engines").mkdir(parents=True)
    (folder / "tests" / "engines" / "test_engines.py").write_text(python)
    (folder / "pyproject.toml").write_text(toml)
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "--quiet"], ["add", "pyproject.toml"], ["commit", "--quiet", "-m", "1"]):
        subprocess.run([*git, *words], cwd=folder, check=True)
    brief = "--min-time 0.05 --min-count 3 --max-time 0.2 --batch 1"
    edgereid = f"{sys.executable} -m edgereid"
    _script(
        folder.parent / "bin" / "edgereid",
        f'case "$1" in bench) exec {edgereid} "$@" {brief};; *) exec {edgereid} "$@";; esac',
    )
    _script(folder.parent / "bin" / "pip", 'printf "%s\\n" "$@" > ../pip.txt')
    return folder


def run(command: str, project: Path, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    home = f"{project.parent / 'bin'}:{Path(sys.executable).parent}"
    registered = any(e.name == "edgereid" for e in metadata.entry_points(group="pytest11"))
    environment = {
        **os.environ,
        **SERVICE,
        **variables,
        "PATH": f"{home}:{os.environ['PATH']}",
        "GITHUB_STEP_SUMMARY": str(project / "summary.md"),
        "PYTEST_ADDOPTS": "" if registered else "-p edgereid.pytest_plugin",
    }
    return subprocess.run(
        ["bash", "-e", "-c", command],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def check_install(project: Path) -> None:
    """What ``pip install`` was given: this package with extras it has, and pytest."""
    verb, *given = (project.parent / "pip.txt").read_text().split()
    assert verb == "install"
    ours, *others = (Requirement(text) for text in given)
    assert ours.name == "edgereid"
    declared = (ROOT / "pyproject.toml").read_text()
    assert ours.extras
    assert all(re.search(rf"^{extra} = \[", declared, re.MULTILINE) for extra in ours.extras)
    assert [r.name for r in others] == ["pytest"]


@pytest.mark.parametrize("source", ["page", "github", "gitlab"])
def test_every_command_works_as_written(source: str, project: Path) -> None:
    commands = {"page": page_commands, "github": github_commands, "gitlab": gitlab_commands}[source]
    variables = {} if source == "page" else dict(load(GITHUB)["env"])
    count = 0
    for command in commands():
        done = run(command, project, variables)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        if command.startswith("pip"):
            check_install(project)
        count += 1
    assert count >= 5
    if source != "gitlab":  # it shows the JUnit file instead
        assert "Accuracy gate: PASS" in (project / "summary.md").read_text()
    assert (project / "gate.xml").is_file()
    assert 'name="edgereid_gate"' in (project / "tests.xml").read_text()
    assert list((project / ".edgereid" / "baselines").rglob("*.json"))
    assert list((project / ".edgereid" / "features").iterdir())
