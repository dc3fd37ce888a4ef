"""Plans that `edgereid build` makes, asked in each release's fake: built, loaded, run, joined.

The fakes choose layers by rules of their own; what is shown here is the way from a plan to a
verdict, and that nothing is left on the device.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trt_fakes import RELEASES, Failures, Fake, installed
from trt_fakes.inspecting import EngineInspector

from edgereid.bench.inspect.engine import Wanted, ask, medians, noise
from edgereid.bench.inspect.run import InspectOptions, inspect
from edgereid.bundle import Manifest, describe_file, write_manifest
from edgereid.cli.main import main
from edgereid.errors import InputError, IntegrityError, MissingRuntimeError
from edgereid.images import Preprocessing
from tests.bench.inspect.conftest import quantised_network

onnx = pytest.importorskip("onnx")
NEWEST = RELEASES[-1]
QUICK = ("--runs", "3", "--batch", "2")
Run = Callable[..., Any]


def embedding_network() -> Any:
    """Three INT8 convolutions, then a power (which a build keeps FP32), a mean, a vector."""
    model = quantised_network()
    graph, helper = model.graph, onnx.helper
    graph.initializer.append(onnx.numpy_helper.from_array(np.float32(3), "three"))
    graph.node.extend([
        helper.make_node("Pow", ["y", "three"], ["cubes"], name="Pow_44"),
        helper.make_node("GlobalAveragePool", ["cubes"], ["mean"], name="Pool_45"),
        helper.make_node("Flatten", ["mean"], ["features"], name="Flatten_46"),
    ])  # fmt: skip
    graph.input[0].CopyFrom(helper.make_tensor_value_info("x", 1, ["N", 3, 32, 16]))
    graph.output[0].CopyFrom(helper.make_tensor_value_info("features", 1, ["N", 8]))
    return model


@pytest.fixture(scope="module", autouse=True)
def _quick_collections() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "net-int8"
    folder.mkdir()
    (folder / "tensorrt.onnx").write_bytes(embedding_network().SerializeToString())
    files = (describe_file(folder / "tensorrt.onnx", "data", None, "int8"),)
    write_manifest(folder, Manifest("net", 8, Preprocessing(32, 16), files))
    return folder


@pytest.fixture
def inspected(bundle: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Build the bundle's plan and inspect it with ``words``; gives the JSON, or the exit code."""

    def run(*words: str, code: int = 0, build: tuple[str, ...] = ()) -> Any:
        assert main(["build", str(bundle), "--force", *build]) == 0
        capsys.readouterr()
        assert main(["inspect", str(bundle), *QUICK, *words, "--json"]) == code
        out = capsys.readouterr().out
        return json.loads(out) if out else None

    return run


def clean(fake: Fake) -> None:
    assert fake.allocated() == []
    assert fake.alive() == []


@pytest.mark.parametrize("release", RELEASES)
def test_each_release_tells_what_its_plan_is(release: str, inspected: Run) -> None:
    with installed(release) as fake:
        (build,) = inspected("--strict")["builds"]
        clean(fake)
    verdicts = {n["name"]: n["verdict"] for n in build["nodes"] if n["verdict"]}
    assert verdicts["Conv_9"] == verdicts["Conv_22"] == verdicts["Conv_34"] == "kept"
    assert build["warnings"] == []
    assert (build["runs"], build["statistic"]) == (3, "median")
    # the casts that a build puts in are known, too
    assert not any(layer["unknown"] for layer in build["layers"])
    assert all(layer["ms"] > 0 for layer in build["layers"])
    assert any(release in note and "batch 2" in note for note in build["notes"])


@pytest.mark.parametrize("release", RELEASES)
def test_open_shapes_are_closed_before_the_inspector_is_asked(
    release: str, inspected: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An inspector without a context that has shapes tells "N/A due to dynamic shapes"."""
    told = EngineInspector._end

    def end(self: Any, name: str, layer: Any) -> dict[str, Any]:
        found = told(self, name, layer)
        context = self.execution_context
        if context is None or not context.all_binding_shapes_specified:
            kept = {k: v for k, v in found.items() if k not in ("Format", "DataType")}
            return {**kept, "Format/Datatype": "N/A due to dynamic shapes"}
        return found

    monkeypatch.setattr(EngineInspector, "_end", end)
    with installed(release):
        (build,) = inspected("--strict")["builds"]
    assert not any(layer["inferred"] for layer in build["layers"])
    assert {n["verdict"] for n in build["nodes"] if n["name"].startswith("Conv")} == {"kept"}


@pytest.mark.parametrize("release", ["8.6", "10.3", NEWEST])
@pytest.mark.parametrize("chosen", ["Float", "Half"])
def test_a_builder_with_a_mind_of_its_own_is_caught(
    release: str, chosen: str, inspected: Run
) -> None:
    with installed(release, failures=Failures(chosen={"Conv_22": chosen})) as fake:
        (build,) = inspected("--strict", code=1)["builds"]
        clean(fake)
    (row,) = (n for n in build["nodes"] if n["name"] == "Conv_22")
    assert row["verdict"] == "refused"
    assert any("INT8 was asked for 1 node that" in w for w in build["warnings"])


def test_where_names_alone_are_told_no_precision_is(inspected: Run) -> None:
    with installed("10.3", failures=Failures(names_only=True)):
        (build,) = inspected()["builds"]
    assert {layer["precision"] for layer in build["layers"]} == {None}
    assert {n["verdict"] for n in build["nodes"] if n["name"].startswith("Conv")} == {"unclear"}


def test_a_power_that_the_build_kept_is_told_so(inspected: Run) -> None:
    with installed("10.3"):
        (build,) = inspected()["builds"]
    assert {n["name"]: n["verdict"] for n in build["nodes"]}["Pow_44"] == "kept"


@pytest.mark.parametrize("release", ["8.6", NEWEST])
def test_a_batch_or_a_profile_that_it_lacks_is_an_input_error(
    release: str, inspected: Run, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with installed(release) as fake:
        inspected(build=("--batch", "2,4,8"))
        for words, said in (
            (["--batch", "1"], "takes 2 to 8 images"),
            (["--batch", "9"], "takes 2 to 8 images"),
            (["--batch", "2", "--profile-index", "1"], "it has 1 optimisation profiles"),
        ):
            assert main(["inspect", str(bundle), *words]) == 3
            assert said in capsys.readouterr().err
        clean(fake)


def test_a_plan_that_nobody_vouches_for_is_not_run(
    inspected: Run, bundle: Path, tmp_path: Path
) -> None:
    with installed("10.3") as fake:
        inspected()
        loose = tmp_path / "loose.plan"
        loose.write_bytes((bundle / "engine.plan").read_bytes())
        logged = len(fake.messages)
        with pytest.raises(IntegrityError, match="--trust"):
            ask(loose, Wanted())
        assert len(fake.messages) == logged
        told = ask(loose, Wanted(runs=2, trust=True))
        assert told.times.runs == 2
        (bundle / "engine.plan").write_bytes(b"ftrt" + bytes(100))
        with pytest.raises(IntegrityError, match="not the file its manifest vouches for"):
            ask(bundle / "engine.plan", Wanted(trust=True))


@pytest.mark.parametrize(
    ("failures", "said"),
    [
        (Failures(context=True), "memory"),
        (Failures(execute_from=3), "illegal memory access"),
        (Failures(deserialize="Magic tag does not match"), "does not begin as a plan"),
        (Failures(cuda={"cudaMalloc": "cudaErrorMemoryAllocation"}), "cudaErrorMemoryAllocation"),
        (
            Failures(cuda={"cudaStreamSynchronize": ("cudaErrorIllegalAddress", 4)}),
            "cudaErrorIllegalAddress",
        ),
    ],
)
@pytest.mark.parametrize("release", ["8.6", "10.3", NEWEST])
def test_what_fails_on_the_device_is_one_line(
    release: str, failures: Failures, said: str, inspected: Run, bundle: Path
) -> None:
    with installed(release):
        inspected()
    with installed(release, failures=failures, expect_misuse=True):
        with pytest.raises(InputError, match=said) as caught:
            ask(bundle / "engine.plan", Wanted())
        assert "\n" not in str(caught.value)


def test_without_tensorrt_or_a_gpu_the_way_on_is_told(inspected: Run, bundle: Path) -> None:
    with installed("10.3"):
        inspected()
    with (
        installed(None),
        pytest.raises(MissingRuntimeError, match="--exportLayerInfo can be inspected anywhere"),
    ):
        ask(bundle / "engine.plan", Wanted())
    with installed("10.3", gpu=False), pytest.raises(MissingRuntimeError, match="GPU"):
        ask(bundle / "engine.plan", Wanted())


def test_noise_is_of_the_type_that_the_plan_takes() -> None:
    """Floats below zero are no bytes: what they become is up to the processor."""
    pixels = noise((2, 8, 4, 3), np.dtype(np.uint8))
    assert (pixels.dtype, pixels.min() < 16, pixels.max() > 239) == (np.uint8, True, True)
    half = noise((2, 3, 8, 4), np.dtype(np.float16))
    assert (half.dtype, bool(np.isfinite(half).all())) == (np.float16, True)


def test_the_median_is_over_runs_of_the_same_layers() -> None:
    told = medians([[("a", 1.0), ("a", 9.0)], [("a", 3.0), ("a", 9.0)], [("a", 2.0), ("a", 8.0)]])
    assert told.rows == (("a", 2.0), ("a", 9.0))
    for wrong, said in (
        ([[]], "no layer"),
        ([[("a", 1.0)], [("b", 1.0)]], "other layers"),
        ([[("a", 1.0)], [("a", 1.0), ("b", 1.0)]], "other layers"),
        ([[("a", float("nan"))]], "that are none"),
        ([[("a", -1.0)]], "that are none"),
    ):
        with pytest.raises(InputError, match=said):
            medians(wrong)


def test_a_plan_of_another_onnx_file_is_not_joined(inspected: Run, bundle: Path) -> None:
    with installed("10.3"):
        inspected()
        model = embedding_network()
        model.graph.node[0].doc_string = "another"
        (bundle / "tensorrt.onnx").write_bytes(model.SerializeToString())
        manifest = json.loads((bundle / "manifest.json").read_text())
        manifest["files"].pop("tensorrt.onnx")
        (bundle / "manifest.json").write_text(json.dumps(manifest))
        (build,) = inspect(InspectOptions((bundle / "engine.plan",), runs=2)).builds
    assert not build.joined
    assert any("no longer the file that engine.plan was built from" in n for n in build.notes)
