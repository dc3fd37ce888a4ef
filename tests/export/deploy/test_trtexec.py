"""The scripts, run by a shell against a stand-in for ``trtexec`` that knows a release's flags and
refuses others, as the real one does. It builds nothing: no TensorRT here."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.bundle import Bundle
from edgereid.errors import InputError, UsageError
from edgereid.export.deploy.options import DeployOptions, TrtexecOptions
from edgereid.export.deploy.recipes import RECIPES
from edgereid.export.deploy.source import Source, read_model
from edgereid.export.deploy.trtexec import float_layers
from edgereid.export.deploy.write import Deployment, deploy
from edgereid.export.typed.rules import float32_layers

onnx = pytest.importorskip("onnx")
MakeBundle = Callable[..., Bundle]
FLAGS = json.loads((Path(__file__).parent / "trtexec_flags.json").read_text())
#: Before its defaults changed, 11 cannot have had the flags that undo them (11.0: not looked up).
_NEW_IN_11_1 = {"--includeDataTransfers", "--noSpinWait", "--noCudaGraph"}
FLAGS["11.0"] = {"flags": sorted(set(FLAGS["11"]["flags"]) - _NEW_IN_11_1)}
STAND_IN = """\
#!{python}
import json, pathlib, sys
known = {flags!r}
given = sys.argv[1:]
if given == ["--help"]:
    print("=== Options ===")
    for flag in known:
        print(f"  {{flag}}=spec    text that names no --fp16")
    sys.exit()
for word in given:
    name = word.partition("=")[0]
    if name not in known:
        sys.exit(f"Unknown option: {{name}}")
    if name in ("--saveEngine", "--exportLayerInfo", "--exportTimes"):
        pathlib.Path(word.partition("=")[2]).write_text("made up")
    if name in ("--onnx", "--loadEngine") and not pathlib.Path(word.partition("=")[2]).is_file():
        sys.exit(f"no file {{word}}")
with open({log!r}, "a") as f:
    f.write(json.dumps(given) + "\\n")
"""


def write(bundle: Path, out: Path, max_batch: int = 32, **own: Any) -> Deployment:
    return deploy(DeployOptions(bundle, out, TrtexecOptions(**own), max_batch))


def run_build(
    out: Path, release: str, *arguments: str
) -> tuple[subprocess.CompletedProcess[str], list[list[str]]]:
    """Run build.sh with the release's stand-in; its result, and the arguments of each call."""
    tool, log = out.parent / f"trtexec {release}", out.parent / f"log-{release}"
    text = STAND_IN.format(python=sys.executable, flags=FLAGS[release]["flags"], log=str(log))
    tool.write_text(text)
    tool.chmod(0o755)
    log.unlink(missing_ok=True)
    done = subprocess.run(
        ["sh", str(out / "build.sh"), *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "TRTEXEC": str(tool)},
    )
    calls = log.read_text().splitlines() if log.exists() else []
    return done, [json.loads(line) for line in calls]


def test_every_script_parses_in_sh_and_in_bash_and_can_be_executed(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    out = tmp_path / "plan"
    written = write(make_bundle().directory, out)
    scripts = [name for name in written.files if name.endswith(".sh")]
    assert sorted(scripts) == sorted(["build.sh", *(f"trtexec-{r.name}.sh" for r in RECIPES)])
    for name in scripts:
        for shell in ("sh", "bash"):
            done = subprocess.run([shell, "-n", str(out / name)], capture_output=True, text=True)
            assert (done.returncode, done.stderr) == (0, "")
        text = (out / name).read_text()
        assert "\nset -eu\n" in text
        assert (out / name).stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize(
    ("release", "typing", "recipe"),
    [
        ("8.5", "auto", "8.5"),
        ("8.6", "auto", "8.6"),
        ("8.6", "weak", "8.6"),
        ("10", "auto", "10-weak"),
        ("10", "strong", "10-strong"),
        ("11.0", "auto", "11"),
        ("11", "auto", "11"),
        ("11", "strong", "11"),
    ],
)
def test_the_recipe_is_chosen_by_the_flags_trtexec_knows_and_uses_only_those(
    release: str, typing: str, recipe: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    out = tmp_path / "plan"
    write(make_bundle().directory, out, 16, opt_batch=4, workspace_mib=256)
    done, calls = run_build(out, release, typing)
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == f"build.sh: trtexec-{recipe}.sh"
    build, *measured = calls
    assert build[0] == "--onnx=tensorrt.onnx"
    assert f"--saveEngine=small-{recipe}.plan" in build
    for which, batch in (("min", 1), ("opt", 4), ("max", 16)):
        assert f"--{which}Shapes=images:{batch}x3x16x8" in build
    assert "--memPoolSize=workspace:256" in build
    assert ("--stronglyTyped" in build) == (recipe == "10-strong")
    assert {"--fp16", "--int8"} <= set(build) or recipe in ("10-strong", "11")
    assert not {"--fp16", "--int8"} & set(build) or recipe not in ("10-strong", "11")
    shapes = [next(a for a in call if a.startswith("--shapes")) for call in measured]
    assert shapes == [f"--shapes=images:{b}x3x16x8" for b in (1, 4, 16) for _ in range(2)]
    for compute, whole in zip(measured[::2], measured[1::2], strict=True):
        assert {"--useCudaGraph", "--useSpinWait"} <= set(compute) & set(whole)
        assert "--noDataTransfers" in compute
        assert "--noDataTransfers" not in whole
        assert ("--includeDataTransfers" in whole) == (release == "11")
        assert "--iterations=1000" in compute


@pytest.mark.parametrize(
    ("release", "arguments", "text", "code"),
    [
        ("8.6", ["strong"], "no strong typing", 2),
        ("11", ["weak"], "no weak typing", 2),
        ("10", ["loose"], "'loose' is unknown", 2),
    ],
)
def test_a_typing_that_the_release_lacks_is_refused_before_anything_is_built(
    release: str,
    arguments: list[str],
    text: str,
    code: int,
    make_bundle: MakeBundle,
    tmp_path: Path,
) -> None:
    write(make_bundle().directory, tmp_path / "plan")
    done, calls = run_build(tmp_path / "plan", release, *arguments)
    assert (done.returncode, calls) == (code, [])
    assert text in done.stderr


def test_without_trtexec_one_line_says_where_it_comes_from(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    write(make_bundle().directory, tmp_path / "plan")
    done = subprocess.run(
        ["sh", str(tmp_path / "plan" / "build.sh")],
        capture_output=True,
        text=True,
        env={**os.environ, "TRTEXEC": "/nowhere/trtexec"},
    )
    assert done.returncode == 4
    assert "comes with TensorRT" in done.stderr


def test_the_stand_in_refuses_a_flag_of_another_release(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    out = tmp_path / "plan"
    write(make_bundle().directory, out)
    (out / "trtexec-8.5.sh").write_bytes((out / "trtexec-8.6.sh").read_bytes())
    done, _ = run_build(out, "8.5")
    assert done.returncode != 0
    assert "Unknown option: --skipInference" in done.stderr


def test_every_flag_of_every_command_is_in_its_release_s_table(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    write(make_bundle().directory, tmp_path / "plan")
    releases = {"8.5": "8.5", "8.6": "8.6", "10-weak": "10", "10-strong": "10", "11": "11"}
    for recipe, release in releases.items():
        text = (tmp_path / "plan" / f"trtexec-{recipe}.sh").read_text()
        code = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
        used = {w.strip("\"'").partition("=")[0] for w in code.split() if w[:3] in ("--", '"--')}
        used |= {w for w in code.replace("=", " ").replace('"', " ").split() if w[:2] == "--"}
        assert len(used) >= 15
        assert used <= set(FLAGS[release]["flags"]), used - set(FLAGS[release]["flags"])


def gem_network() -> Any:
    """images -> GeM -> the length divided out, with the nodes named as the exporter names them."""
    node = onnx.helper.make_node
    constants = {
        "p": np.float32(3.0),
        "q": np.float32(1 / 3),
        "w": np.eye(3, 6, dtype=np.float32),
    }
    nodes = [
        node("Abs", ["images"], ["abs"], name="Abs"),
        node("Pow", ["abs", "p"], ["pow"], name="gem/Pow"),
        node("ReduceMean", ["pow"], ["mean"], name="gem/ReduceMean", axes=[2, 3], keepdims=0),
        node("Pow", ["mean", "q"], ["root"], name="gem/Pow_1"),
        node("MatMul", ["root", "w"], ["fc"], name="fc/MatMul"),
        node("ReduceL2", ["fc"], ["length"], name="ReduceL2", axes=[1], keepdims=1),
        node("Div", ["fc", "length"], ["features"], name="Div"),
    ]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "gem",
        [info("images", 1, ["batch", 3, 16, 8])],
        [info("features", 1, ["batch", 6])],
        [onnx.numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    opsets = [onnx.helper.make_opsetid("", 17)]
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=8)
    onnx.checker.check_model(model)
    return model


def test_powers_their_mean_and_the_length_stay_fp32_where_types_are_weak(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle(models={"model.onnx": gem_network(), "tensorrt.onnx": None})
    source = Source.open(bundle.directory)
    kept = ["gem/Pow", "gem/ReduceMean", "gem/Pow_1", "ReduceL2", "Div"]
    assert float_layers(read_model(source, bundle.file("model.onnx"))) == kept
    write(bundle.directory, tmp_path / "plan")
    types = ",".join(f"{name}:fp32" for name in kept)
    _, (build, *_) = run_build(tmp_path / "plan", "10")
    wanted = {"--precisionConstraints=obey", f"--layerPrecisions={types}"}
    assert wanted | {f"--layerOutputTypes={types}"} <= set(build)
    assert "--int8" not in build
    _, (strong, *_) = run_build(tmp_path / "plan", "10", "strong")
    assert not any("layer" in flag.lower() for flag in strong if "exportLayerInfo" not in flag)


def test_the_scripts_keep_the_layers_that_a_build_keeps_and_none_that_has_no_float_to_give(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    model = gem_network()
    nodes = {n.name: n for n in model.graph.node}
    tiny = onnx.numpy_helper.from_array(np.float32(1e-6), "tiny")
    model.graph.initializer.append(tiny)  # FP16 cannot say it: the comparison is one of floats
    above = onnx.helper.make_node("Greater", ["length", "tiny"], ["above"], name="Greater")
    chosen = onnx.helper.make_node("Where", ["above", "length", "tiny"], ["safe"], name="Where")
    nodes["Div"].input[1] = "safe"
    at = list(nodes).index("Div")
    model.graph.node.insert(at, chosen)
    model.graph.node.insert(at, above)
    onnx.checker.check_model(model)
    bundle = make_bundle(models={"model.onnx": model, "tensorrt.onnx": None})
    kept = float_layers(read_model(Source.open(bundle.directory), bundle.file("model.onnx")))
    ruled = list(float32_layers(model))
    assert "Greater" in ruled
    assert kept == [name for name in ruled if name != "Greater"]


def test_a_file_with_float16_is_for_strong_typing_and_a_float32_one_for_weak(
    make_bundle: MakeBundle, tmp_path: Path, small: Any
) -> None:
    typed = onnx.ModelProto()
    typed.CopyFrom(small)
    half = onnx.numpy_helper.from_array(np.zeros(1, np.float16), "half")
    typed.graph.initializer.append(half)
    bundle = make_bundle(models={"tensorrt.onnx": typed})
    written = write(bundle.directory, tmp_path / "plan")
    for release, file in (("8.6", "model.onnx"), ("10", "model.onnx"), ("11", "tensorrt.onnx")):
        _, (build, *_) = run_build(tmp_path / "plan", release)
        assert build[0] == f"--onnx={file}"
    assert any("float16 where the file says so" in note for note in written.notes)
    with pytest.raises(UsageError, match="float16 already"):
        write(bundle.directory / "tensorrt.onnx", tmp_path / "other")


@pytest.mark.parametrize("name", ["a:b", "a,b", "a*", "$(touch x)", "a'b", "a b", "`id`"])
def test_a_node_s_name_that_a_list_or_a_shell_would_misread_is_refused(
    name: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    model = gem_network()
    next(n for n in model.graph.node if n.op_type == "ReduceL2").name = name
    bundle = make_bundle(models={"model.onnx": model, "tensorrt.onnx": None})
    with pytest.raises(InputError, match="cannot stand in a list of trtexec"):
        write(bundle.directory, tmp_path / "plan")


@pytest.mark.parametrize(
    ("file", "models", "message"),
    [
        ("engine.onnx", {}, "quantized for ONNX Runtime"),
        ("", {"model.onnx": None, "tensorrt.onnx": None}, "no network for TensorRT"),
        ("engine.plan", {}, "no ONNX file"),
    ],
)
def test_what_trtexec_cannot_build_from_is_refused(
    file: str, models: dict[str, Any], message: str, make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle(models=models, plan=b"x")
    with pytest.raises((InputError, UsageError), match=message):
        write(bundle.directory / file, tmp_path / "plan")
    assert not (tmp_path / "plan").exists()


def test_an_int8_bundle_without_a_network_for_tensorrt_is_told_so(
    make_bundle: MakeBundle, tmp_path: Path
) -> None:
    bundle = make_bundle(models={"tensorrt.onnx": None})
    notes = write(bundle.directory, tmp_path / "plan").notes
    assert any("--target tensorrt" in note for note in notes)
    whole = write(make_bundle("whole").directory, tmp_path / "plan-whole").notes
    assert not any("--target tensorrt" in note for note in whole)


def test_a_batch_for_tuning_above_the_largest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="opt_batch 9 is larger than max_batch 8"):
        DeployOptions(tmp_path, tmp_path / "x", TrtexecOptions(opt_batch=9), 8)
