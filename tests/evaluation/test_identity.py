"""What decides the bits of a feature is in an engine's identity: a change of any of it asks the
engine again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgereid.engines.base import EngineInfo
from edgereid.evaluation import identity
from edgereid.evaluation.extract import Extraction
from edgereid.evaluation.identity import engine_identity, processor
from edgereid.evaluation.subject import Subject
from edgereid.images import Preprocessing

INFO = EngineInfo("openvino", "f32", 2, "1.0", {"streams": 1})
Change = Callable[[dict[str, Any]], object]


def info(**changes: Any) -> Change:
    return lambda case: setattr(case["subject"].engine, "info", replace(INFO, **changes))


def part(name: str, value: Any) -> Change:
    return lambda case: case.update({name: value})


CHANGES: dict[str, Change] = {
    "runtime": info(runtime="onnxruntime"),
    "precision in use": info(precision="bf16"),
    "threads": info(threads=1),
    "version of the runtime": info(version="1.1"),
    "details": info(details={"streams": 2}),
    "precision asked for": part("precision", "bf16"),
    "batch": part("extraction", Extraction(5)),
    "flip": part("extraction", Extraction(4, flip=True)),
    "the manifest's flip": lambda case: case.update(subject=replace(case["subject"], flip=True)),
    "preprocessing": lambda case: case.update(
        subject=replace(case["subject"], preprocessing=Preprocessing(16, 8))
    ),
    "the network's file": lambda case: case["files"][0].write_bytes(b"other"),
    "the weights beside it": lambda case: case["files"][1].write_bytes(b"other"),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_another_setting_is_another_identity(
    changed: str, law_engine: Any, small: Preprocessing, tmp_path: Path
) -> None:
    files = [tmp_path / "net.xml", tmp_path / "net.bin"]
    for file in files:
        file.write_bytes(b"content")
    engine = law_engine()
    engine.info = INFO
    case = {
        "subject": Subject(engine, small),
        "files": files,
        "precision": None,
        "extraction": Extraction(4),
    }
    before = engine_identity(**case)
    assert engine_identity(**case) == before
    CHANGES[changed](case)
    assert engine_identity(**case) != before


@pytest.mark.parametrize("name", ["processor", "code", "__version__", "pillow"])
def test_so_are_machine_code_and_versions(
    name: str, law_engine: Any, small: Preprocessing, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = (Subject(law_engine(), small), [], None, Extraction(4))
    before = engine_identity(*asked)
    value = "other" if isinstance(getattr(identity, name), str) else lambda: "other"
    monkeypatch.setattr(identity, name, value)
    assert engine_identity(*asked) != before


def test_only_the_names_and_places_of_files_do_not_matter(
    law_engine: Any, small: Preprocessing, tmp_path: Path
) -> None:
    found = []
    for name in ("a.onnx", "folder/b.onnx"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"content")
        engine = Subject(law_engine(), small)
        found.append(engine_identity(engine, [tmp_path / name], None, Extraction(4)))
    assert found[0] == found[1]


def test_a_processor_is_its_model_and_instructions_not_its_clock(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    found = []
    for text in (
        "model name: A\ncpu MHz: 1000\nflags: avx2\n\nmodel name: B\n",
        "model name: A\ncpu MHz: 2000\nflags: avx2\n\nmodel name: C\n",
        "model name: A\ncpu MHz: 1000\nflags: avx2 avx512f\n\n",
        "model name: B\ncpu MHz: 1000\nflags: avx2\n\n",
    ):
        cpuinfo.write_text(text)
        found.append(processor(cpuinfo))
    assert found[0] == found[1]
    assert len(set(found)) == 3
