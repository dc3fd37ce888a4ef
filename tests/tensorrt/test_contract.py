"""Every name that edgereid takes from TensorRT exists in each release where it is taken."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from trt_contract import Finding, Program, Run, analyse, distinctive_names, findings, names_used
from trt_fakes import RELEASES, installed
from trt_fakes.cuda_runtime import BINDINGS
from trt_fakes.cuda_runtime import load as load_cuda

ROOT = Path(__file__).parents[2]
WEAK_TYPING = "BuilderFlag.FP16"
STRONG_TYPING = "NetworkDefinitionCreationFlag.STRONGLY_TYPED"
CALIBRATORS = "IInt8EntropyCalibrator2"

#: Conditions that stand for a feature test made elsewhere: what must exist where the condition is
#: true, and where it is false. Each is proved by a test below.
FACTS: dict[str, tuple[str | None, str | None]] = {
    "recipe.typing == STRONG": (STRONG_TYPING, WEAK_TYPING),
    "recipe.typing != WEAK": (STRONG_TYPING, WEAK_TYPING),
    "what.constrain": (WEAK_TYPING, None),
    "job.cache is None": (None, CALIBRATORS),
}


@pytest.fixture(scope="module")
def program() -> Program:
    return Program.of_package(ROOT, distinctive_names())


@pytest.fixture(scope="module")
def runs(program: Program) -> dict[str, Run]:
    return analyse(program, FACTS)


def test_all_names_exist_in_every_release_where_they_are_used(runs: dict[str, Run]) -> None:
    wrong = findings(runs)
    assert not wrong, "\n" + "\n".join(map(str, wrong))


#: What a build and a run cannot do without: the analysis must have seen the code use it.
NEEDED = {
    "Builder",
    "Builder.create_network",
    "OnnxParser.parse",
    "Builder.build_serialized_network",
    "IBuilderConfig.set_memory_pool_limit",
    "IOptimizationProfile.set_shape",
    "Runtime.deserialize_cuda_engine",
    "ICudaEngine.get_tensor_name",
    "IExecutionContext.set_input_shape",
    "IExecutionContext.set_tensor_address",
    "IExecutionContext.execute_async_v3",
}


def test_the_analysis_saw_what_a_build_and_a_run_need_in_every_release(
    runs: dict[str, Run],
) -> None:
    for release, run in runs.items():
        missing = {f"trt.{name}" for name in NEEDED} - names_used(run)
        assert not missing, f"TensorRT {release}: {sorted(missing)} is used nowhere"


def test_every_fact_is_about_a_condition_that_the_code_has(program: Program) -> None:
    conditions = {
        ast.unparse(node)
        for module in program.modules.values()
        for node in ast.walk(module.tree)
        if isinstance(node, ast.expr)
    }
    assert set(FACTS) <= conditions


@pytest.mark.parametrize("release", RELEASES)
def test_the_fact_holds_that_a_typing_is_only_chosen_where_it_exists(release: str) -> None:
    from edgereid.errors import UsageError
    from edgereid.export.tensorrt.recipe import choose_typing

    with installed(release) as fake:
        trt: Any = fake.trt
        weak = hasattr(trt.BuilderFlag, "FP16")
        strong = hasattr(trt.NetworkDefinitionCreationFlag, "STRONGLY_TYPED")
        for asked in ("auto", "weak", "strong"):
            for half in (False, True):
                try:
                    typing = choose_typing(trt, asked, half)
                except UsageError:
                    continue
                assert {"weak": weak, "strong": strong}[typing]


@pytest.mark.parametrize("release", RELEASES)
def test_the_fact_holds_that_a_calibration_cache_is_refused_without_calibrators(
    release: str,
) -> None:
    from edgereid.errors import UsageError
    from edgereid.export.tensorrt import implicit

    with installed(release) as fake:
        trt: Any = fake.trt
        if hasattr(trt, CALIBRATORS):
            implicit.require(trt, "weak")
        else:
            with pytest.raises(UsageError):
                implicit.require(trt, "weak")


@pytest.mark.slow
@pytest.mark.timeout(1800)  # a minute and a half of computing
def test_every_single_use_is_found_when_it_is_misspelt(
    program: Program, runs: dict[str, Run]
) -> None:
    sources = {module.file: module.text for module in program.modules.values()}
    places = {
        (file, line, name.rpartition(".")[2]): release
        for release, run in runs.items()
        for (file, line, name), there in run.used.items()
        if there and "__" not in name
    }
    unnoticed = []
    for (file, line, name), release in sorted(places.items()):
        lines = sources[file].split("\n")
        spoilt, count = re.subn(rf"([.\"']){name}\b", rf"\1{name}_", lines[line - 1])
        if count != 1:
            continue  # not on the line where its expression begins, or several
        lines[line - 1] = spoilt
        changed = Program({**sources, file: "\n".join(lines)})
        if not findings(analyse(changed, FACTS, [release])):
            unnoticed.append(f"{file}:{line}: {name}")
    assert len(places) > 100
    assert not unnoticed


# --- names of the CUDA runtime ----------------------------------------------------------------


def cuda_names(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Attributes and whole string constants that are named as the CUDA runtime names things."""
    for node in ast.walk(tree):
        name = ""
        if isinstance(node, ast.Attribute):
            name = node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            name = node.value
        if re.fullmatch(r"cuda[A-Z]\w+", name):
            yield getattr(node, "lineno", 0), name


def test_every_name_of_the_cuda_runtime_exists_in_all_kinds_of_bindings() -> None:
    seen = set()
    for kind in BINDINGS.values():
        names = load_cuda(kind)["names"]
        known = set(names) | {m for n in names.values() for m in n.get("enum", ())}
        for file in sorted((ROOT / "edgereid" / "engines" / "tensorrt").glob("*.py")):
            for line, name in cuda_names(ast.parse(file.read_text(encoding="utf-8"))):
                seen.add(name)
                assert name in known, f"{file.name}:{line}: {name} is not in the bindings {kind}"
    assert "cudaMemcpyAsync" in seen


# --- the test itself can fail -----------------------------------------------------------------


Conditions = dict[str, tuple[str | None, str | None]]


def wrong_in(code: str, facts: Conditions | None = None) -> list[Finding]:
    return findings(analyse(Program({"edgereid/x.py": code}), facts))


def names(code: str) -> list[tuple[str, tuple[str, ...]]]:
    return [(f.name, f.releases) for f in wrong_in(code)]


NOT_86 = tuple(r for r in RELEASES if r != "8.6")


WRONG = {
    "a name that exists nowhere": (
        "def f(trt): return trt.Bilder",
        ("trt.Bilder", RELEASES),
    ),
    "a wrong member of an enumeration": (
        "import tensorrt as trt\ndef f(): return trt.BuilderFlag.FP61",
        ("trt.BuilderFlag.FP61", RELEASES),
    ),
    "a member that 8.6 lacks": (
        "def f(trt): return trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED",
        ("trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED", ("8.6",)),
    ),
    "a member that 11.4 lacks": (
        "def f(trt): return trt.BuilderFlag.FP16",
        ("trt.BuilderFlag.FP16", ("11.4",)),
    ),
    "a wrong keyword": (
        "def f(builder): return builder.create_network(flag=1)",
        ("trt.Builder.create_network", RELEASES),
    ),
    "too many arguments": (
        "def f(trt, log): return trt.Runtime(log, 1)",
        ("trt.Runtime", RELEASES),
    ),
    "a missing argument": (
        "def f(context): context.set_input_shape('x')",
        ("trt.IExecutionContext.set_input_shape", RELEASES),
    ),
    "an argument that only 10 takes": (
        "def f(trt, engine):\n    return engine.create_execution_context(strategy=None)",
        ("trt.ICudaEngine.create_execution_context", ("8.6",)),
    ),
    "a constructor that does not exist": (
        "def f(trt): return trt.IBuilderConfig()",
        ("trt.IBuilderConfig", RELEASES),
    ),
    "a property that cannot be set": (
        "def f(engine): engine.name = 'x'",
        ("trt.ICudaEngine.name", RELEASES),
    ),
    "a member after a chain of calls": (
        "def f(trt, log):\n"
        "    b = trt.Builder(log)\n"
        "    c = b.create_builder_config()\n"
        "    c.max_workspace_size = 1",
        ("trt.IBuilderConfig.max_workspace_size", NOT_86),
    ),
    "a name kept in an attribute": (
        "class A:\n"
        "    def __init__(self, trt, log):\n"
        "        self._r = trt.Runtime(log)\n"
        "    def go(self, data):\n"
        "        e = self._r.deserialize_cuda_engine(data)\n"
        "        return e.num_bindings",
        ("trt.ICudaEngine.num_bindings", NOT_86),
    ),
    "a name kept in a dataclass": (
        "from dataclasses import dataclass\n"
        "@dataclass\n"
        "class S:\n"
        "    thing: object\n"
        "def f(trt, log):\n"
        "    return g(S(thing=trt.Builder(log)))\n"
        "def g(s: S):\n"
        "    return s.thing.build_engine",
        ("trt.Builder.build_engine", NOT_86),
    ),
    "a guard of another name": (
        "def f(trt):\n    if hasattr(trt.BuilderFlag, 'BF16'):\n        return trt.BuilderFlag.FP4",
        ("trt.BuilderFlag.FP4", ("10.3",)),
    ),
    "a feature test that no release passes": (
        "def f(trt):\n    if hasattr(trt.BuilderFlag, 'FP161'):\n        return 1",
        ("trt.BuilderFlag.FP161", RELEASES),
    ),
    "the wrong branch of a guard": (
        "def f(trt):\n"
        "    if not hasattr(trt.BuilderFlag, 'FP16'):\n"
        "        return trt.BuilderFlag.FP16",
        ("trt.BuilderFlag.FP16", ("11.4",)),
    ),
    "an overridden method with other parameters": (
        "def f(trt):\n"
        "    class L(trt.ILogger):\n"
        "        def log(self, severity): pass\n"
        "    return L()",
        ("trt.ILogger.log", RELEASES),
    ),
    "a helper that is called without its guard": (
        "def f(trt): return g(trt)\ndef g(trt): return trt.IProgressMonitor",
        ("trt.IProgressMonitor", ("8.6",)),
    ),
    "something that cannot be resolved": (
        "def f(thing): return thing.execute_async_v3(0)",
        (".execute_async_v3", RELEASES),
    ),
}


@pytest.mark.parametrize("what", WRONG)
def test_the_contract_finds(what: str) -> None:
    code, expected = WRONG[what]
    assert names(code) == [expected]


RIGHT = {
    "hasattr": (
        "def f(trt):\n    if hasattr(trt.BuilderFlag, 'FP16'):\n        return trt.BuilderFlag.FP16"
    ),
    "an early return": (
        "def f(trt):\n"
        "    if not hasattr(trt.BuilderFlag, 'FP16'):\n"
        "        raise ValueError\n"
        "    return trt.BuilderFlag.FP16"
    ),
    "and, or, not": (
        "def f(trt, x):\n"
        "    if x and (hasattr(trt, 'IProgressMonitor') and not x):\n"
        "        return trt.IProgressMonitor"
    ),
    "a conditional expression": (
        "def f(engine):\n"
        "    return (engine.device_memory_size_v2 if hasattr(engine, 'device_memory_size_v2')\n"
        "            else engine.device_memory_size)"
    ),
    "getattr with a default": (
        "def f(trt):\n"
        "    kind = getattr(trt, 'IProgressMonitor', None)\n"
        "    if kind is not None:\n"
        "        return trt.IProgressMonitor"
    ),
    "a variable": (
        "def f(trt):\n"
        "    there = hasattr(trt, 'IProgressMonitor')\n"
        "    return trt.IProgressMonitor if there else None"
    ),
    "a function that tests": (
        "def has(trt): return hasattr(trt.BuilderFlag, 'FP16')\n"
        "def f(trt):\n"
        "    if has(trt):\n"
        "        return trt.BuilderFlag.FP16"
    ),
    "a helper that is only called under the guard": (
        "def f(trt):\n"
        "    return g(trt) if hasattr(trt, 'IProgressMonitor') else None\n"
        "def g(trt):\n"
        "    class M(trt.IProgressMonitor):\n"
        "        def step_complete(self, phase, step): return True\n"
        "    return M()"
    ),
    "an AttributeError that is caught": (
        "def f(trt):\n"
        "    try:\n"
        "        return trt.BuilderFlag.FP16\n"
        "    except AttributeError:\n"
        "        return None"
    ),
    "overloads of a release": (
        "def f(trt, engine):\n"
        "    if hasattr(trt, 'ExecutionContextAllocationStrategy'):\n"
        "        return engine.create_execution_context(\n"
        "            trt.ExecutionContextAllocationStrategy.USER_MANAGED)\n"
        "    return engine.create_execution_context_without_device_memory()"
    ),
    "a list that is iterated": (
        "def flags(trt):\n"
        "    found = [trt.BuilderFlag.TF32]\n"
        "    return found\n"
        "def f(trt, config):\n"
        "    for flag in flags(trt):\n"
        "        config.set_flag(flag)\n"
        "        flag.name"
    ),
    "a class of ours beside TensorRT": (
        "class Engine:\n"
        "    def run_it_now_please(self): pass\n"
        "def f(engine: Engine):\n"
        "    engine.run_it_now_please()"
    ),
}


@pytest.mark.parametrize("what", RIGHT)
def test_the_contract_understands(what: str) -> None:
    assert names(RIGHT[what]) == []


def test_a_fact_stands_for_a_feature_test_made_elsewhere() -> None:
    code = "def f(trt, recipe):\n    if recipe.weak:\n        return trt.BuilderFlag.FP16"
    assert [f.releases for f in wrong_in(code)] == [("11.4",)]
    assert wrong_in(code, {"recipe.weak": (WEAK_TYPING, None)}) == []


def test_a_finding_tells_file_line_name_and_releases() -> None:
    (found,) = wrong_in("def f(trt):\n    return trt.BuilderFlag.FP16")
    assert str(found) == ("edgereid/x.py:2: trt.BuilderFlag.FP16: does not exist (TensorRT 11.4)")


def test_guards_reach_across_files() -> None:
    sources = {
        "edgereid/a.py": (
            "from edgereid.b import make\n"
            "def f(trt):\n"
            "    return make(trt) if hasattr(trt, 'IProgressMonitor') else None"
        ),
        "edgereid/b.py": "def make(trt):\n    return trt.IProgressMonitor",
    }
    assert findings(analyse(Program(sources))) == []
    sources["edgereid/a.py"] = "from edgereid.b import make\ndef f(trt):\n    return make(trt)"
    assert [f.file for f in findings(analyse(Program(sources)))] == ["edgereid/b.py"]
