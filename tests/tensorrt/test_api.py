"""The API data, against facts that were looked up by other means (headers, documentation)."""

from __future__ import annotations

import importlib.util

import pytest
from trt_fakes.api import RELEASES, load, parse, simple
from trt_fakes.cuda_runtime import BINDINGS, parameters
from trt_fakes.cuda_runtime import load as load_cuda


@pytest.mark.parametrize("release", RELEASES)
def test_a_release_has_the_classes_that_every_release_has(release: str) -> None:
    api = load(release)
    assert api.version.startswith(release + ".")
    for name in ("Builder", "OnnxParser", "Runtime", "ICudaEngine", "IExecutionContext", "Dims"):
        assert name in api.classes
    assert "build_serialized_network" in api.classes["Builder"].members
    assert "execute_async_v3" in api.classes["IExecutionContext"].members


#: Numbers of enumerations by release, "-" where there is none (TensorRT's headers).
NUMBERS = [
    ("BuilderFlag", "EXCLUDE_LEAN_RUNTIME", (16, 14, 14, 14, 13)),
    ("BuilderFlag", "VERSION_COMPATIBLE", (15, 13, 13, 13, 12)),
    ("BuilderFlag", "REFIT", (5, 4, 4, 4, 4)),
    ("BuilderFlag", "FP16", (0, 0, 0, 0, None)),
    ("NetworkDefinitionCreationFlag", "STRONGLY_TYPED", (None, 1, 1, 1, 0)),
    ("NetworkDefinitionCreationFlag", "EXPLICIT_BATCH", (0, 0, 0, 0, None)),
    ("DataType", "INT64", (None, 8, 8, 8, 8)),
]


@pytest.mark.parametrize(("enum", "name", "numbers"), NUMBERS, ids=lambda x: str(x))
def test_numbers_of_enumerations_are_those_of_the_headers(
    enum: str, name: str, numbers: tuple[int | None, ...]
) -> None:
    assert tuple(load(r).enums[enum].get(name) for r in RELEASES) == numbers


#: Members that came or went (TensorRT's release notes and migration guides).
MEMBERS = [
    ("IBuilderConfig", "max_workspace_size", "8.6"),
    ("IBuilderConfig", "int8_calibrator", "8.6 10.3 10.13 10.16"),
    ("ILayer", "set_output_type", "8.6 10.3 10.13 10.16"),
    ("ICudaEngine", "num_bindings", "8.6"),
    ("ICudaEngine", "device_memory_size", "8.6 10.3 10.13 10.16"),
    ("ICudaEngine", "device_memory_size_v2", "10.3 10.13 10.16 11.4"),
    ("IExecutionContext", "infer_shapes", "8.6 10.3 10.13 10.16 11.4"),
    ("OnnxParser", "supports_model", "8.6 10.3 10.13 10.16"),
    ("Builder", "platform_has_fast_fp16", "8.6 10.3 10.13 10.16"),
]


@pytest.mark.parametrize(("owner", "name", "releases"), MEMBERS)
def test_members_are_in_the_releases_that_have_them(owner: str, name: str, releases: str) -> None:
    assert [r for r in RELEASES if name in load(r).classes[owner].members] == releases.split()


@pytest.mark.parametrize(
    ("text", "names", "optional", "returns"),
    [
        ("f(self: A, x: int, y: str = None) -> bool", ["x", "y"], [False, True], "bool"),
        ("f(self: A, s: S = <S.STATIC: 0>) -> None", ["s"], [True], "None"),
        (
            "f(a: Tuple[int, bool], b: List[List[int]]) -> List[A]",
            ["a", "b"],
            [False] * 2,
            "list[A]",
        ),
        ("f(iterable)", ["iterable"], [False], ""),
        ("f()", [], [], ""),
    ],
)
def test_signatures_are_read_as_pybind11_writes_them(
    text: str, names: list[str], optional: list[bool], returns: str
) -> None:
    signature = parse(text)
    assert [p.name for p in signature.parameters] == names
    assert [p.optional for p in signature.parameters] == optional
    assert signature.returns == returns


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("nvonnxparser::OnnxParserFlag", "OnnxParserFlag"),
        ("nvinfer1::ILogger::Severity", "ILogger.Severity"),
        ("ILogger.Severity", "ILogger.Severity"),
        ("nvinfer1::v_1_0::IErrorRecorder", "IErrorRecorder"),
        ("collections.abc.Sequence[typing.SupportsInt]", "list[int]"),
        ("typing_extensions.Buffer", "buffer"),
    ],
)
def test_types_have_one_name_whatever_the_release_wrote(written: str, meant: str) -> None:
    assert simple(written) == meant


def test_parameters_of_cuda_functions_are_read_from_their_first_line() -> None:
    line = "cudaMemcpyAsync(dst, src, size_t count, kind: cudaMemcpyKind, stream)"
    assert parameters(line) == ["dst", "src", "count", "kind", "stream"]
    assert parameters("cudaStreamCreate()") == []
    assert parameters("cudaGraphInstantiate(graph, char *pLogBuffer, size_t bufferSize)") == [
        "graph",
        "pLogBuffer",
        "bufferSize",
    ]


@pytest.mark.parametrize("kind", BINDINGS)
def test_every_kind_of_cuda_bindings_has_what_an_engine_needs(kind: str) -> None:
    names = load_cuda(BINDINGS[kind])["names"]
    for name in ("cudaMalloc", "cudaHostAlloc", "cudaMemcpyAsync", "cudaGraphLaunch"):
        assert "function" in names[name]


@pytest.mark.skipif(importlib.util.find_spec("cuda") is None, reason="cuda-bindings is not here")
def test_the_data_of_the_cuda_bindings_agree_with_the_installed_package() -> None:
    runtime = pytest.importorskip("cuda.bindings.runtime")
    version = pytest.importorskip("cuda.bindings").__version__
    if not version.startswith("13."):
        pytest.skip(f"the data are of 13.5, {version} is installed")
    names = load_cuda("13.5")["names"]
    missing = [n for n in names if not hasattr(runtime, n)]
    assert len(missing) < len(names) // 50, missing  # another 13.x may lack a few
    for name, thing in names.items():
        if hasattr(runtime, name) and "enum" in thing:
            real = {n: int(v) for n, v in getattr(runtime, name).__members__.items()}
            assert real.items() >= {k: v for k, v in thing["enum"].items() if k in real}.items()
        elif hasattr(runtime, name) and "function" in thing:
            assert parameters(getattr(runtime, name).__doc__.splitlines()[0]) == parameters(
                thing["function"]
            )
