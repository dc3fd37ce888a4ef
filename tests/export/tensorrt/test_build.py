"""Plans built with the fakes of five releases (``tests/tensorrt``): which calls are made, what the
manifest says, what every failure leaves behind.

Nothing here says that a real parser takes a file, or what a real builder makes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from trt_fakes import RELEASES, installed
from trt_fakes.plan import PlanInfo, unpack

from edgereid.bundle import Bundle
from edgereid.errors import (
    UsageError,
)
from edgereid.export.tensorrt.build import Built, build
from edgereid.export.tensorrt.options import Batches, BuildOptions

onnx = pytest.importorskip("onnx")
pytestmark = pytest.mark.usefixtures("orin")
MakeBundle = Callable[..., Bundle]
WEAK_RELEASES = [r for r in RELEASES if not r.startswith("11")]
STRONG_RELEASES = [r for r in RELEASES if not r.startswith("8")]
#: Layers of the small network whose numbers leave FP16's range, as NVIDIA's own constraints would
#: be written by hand.
FLOAT32 = {"/gem/Pow", "/gem/ReduceMean", "/norm/ReduceL2", "/norm/Div"}


def info(built: Built) -> tuple[PlanInfo, Any]:
    """What the fake wrote into the plan: its settings, and the ONNX model it was given."""
    plan, model = unpack(built.path.read_bytes())
    return plan, onnx.load_model_from_string(model)


@pytest.mark.parametrize("release", WEAK_RELEASES)
@pytest.mark.parametrize("precision", ["int8", "f16", "f32"])
def test_a_weakly_typed_plan_is_allowed_lower_types_and_told_what_stays_fp32(
    release: str, precision: str, make_bundle: MakeBundle
) -> None:
    bundle = make_bundle()
    with installed(release) as fake:
        built = build(BuildOptions(bundle.directory, precision=precision))
        assert not fake.alive()
    plan, model = info(built)
    assert plan.typing == "weak"
    assert ("FP16" in plan.flags) == (precision != "f32")
    assert ("INT8" in plan.flags) == (precision == "int8")
    assert ("TF32" in plan.flags) == (precision != "f32")
    assert model.opset_import[0].version == 17
    got = {name: layer.precision for layer in plan.layers for name in layer.nodes}
    if precision == "f32":
        assert set(got.values()) == {"Float"}
    else:
        assert {got[name] for name in FLOAT32} == {"Float"}
        assert got["/conv/Conv"] == {"int8": "Int8", "f16": "Half"}[precision]
    assert plan.verbosity == "DETAILED"
    assert built.bundle.file("engine.plan").precision == precision


@pytest.mark.parametrize("release", STRONG_RELEASES)
@pytest.mark.parametrize("precision", ["int8", "f16", "f32"])
def test_a_strongly_typed_plan_takes_its_types_from_the_file(
    release: str, precision: str, make_bundle: MakeBundle
) -> None:
    bundle = make_bundle()
    with installed(release) as fake:
        built = build(BuildOptions(bundle.directory, precision=precision, typing="strong"))
        assert not fake.alive()
    plan, model = info(built)
    assert plan.typing == "strong"
    assert set(plan.flags) <= {"TF32"}
    got = {name: layer.precision for layer in plan.layers for name in layer.nodes}
    half = onnx.TensorProto.FLOAT16
    typed = any(i.data_type == half for i in model.graph.initializer)
    assert typed == (precision != "f32")
    if typed:
        assert model.opset_import[0].version >= 19
        assert {got[name] for name in FLOAT32} == {"Float"}
        assert built.provenance["typed"]["casts"] > 0
    assert got["/conv/Conv"] == {"int8": "Int8", "f16": "Half", "f32": "Float"}[precision]


@pytest.mark.parametrize(
    ("release", "typing"),
    [("8.6", "weak"), ("10.3", "weak"), ("10.13", "weak"), ("10.16", "weak"), ("11.4", "strong")],
)
def test_the_typing_is_chosen_by_what_the_release_has(
    release: str, typing: str, make_bundle: MakeBundle
) -> None:
    with installed(release):
        assert build(BuildOptions(make_bundle().directory)).provenance["typing"] == typing


@pytest.mark.parametrize(
    ("release", "typing", "text"),
    [("8.6", "strong", "strongly typed"), ("11.4", "weak", "no weak typing any more")],
)
def test_a_typing_that_the_release_lacks_is_refused(
    release: str, typing: str, text: str, make_bundle: MakeBundle
) -> None:
    with installed(release), pytest.raises(UsageError, match=text):
        build(BuildOptions(make_bundle().directory, typing=typing))


def test_a_file_that_holds_float16_is_built_strongly_typed_or_not_at_all(
    tmp_path: Path, network: Callable[..., Any]
) -> None:
    from edgereid.export.typed.cast import typed_fp16

    path = tmp_path / "half.onnx"
    onnx.save(typed_fp16(network())[0], path)
    with installed("10.3"):
        built = build(BuildOptions(path))
        assert (built.provenance["typing"], built.provenance["typed"]) == ("strong", None)
        for wrong in ({"typing": "weak"}, {"precision": "f32"}):
            with pytest.raises(UsageError, match="float16"):
                build(BuildOptions(path, overwrite=True, **wrong))
    with installed("8.6"), pytest.raises(UsageError, match="float32 file"):
        build(BuildOptions(path, overwrite=True))


@pytest.mark.parametrize("release", RELEASES)
def test_profile_memory_level_and_verbosity_reach_the_builder(
    release: str, make_bundle: MakeBundle
) -> None:
    options = BuildOptions(
        make_bundle().directory, batches=Batches(2, 4, 16), workspace=256, level=5
    )
    with installed(release):
        built = build(options)
    plan, _ = info(built)
    assert plan.profiles == ({"images": ((2, 3, 16, 8), (4, 3, 16, 8), (16, 3, 16, 8))},)
    assert plan.settings["level"] == 5
    assert plan.settings["pools"] == {"WORKSPACE": 256 * 2**20}
    assert built.provenance["batches"] == [2, 4, 16]


def test_a_fixed_batch_needs_no_profile_and_takes_no_other_batch(
    tmp_path: Path, network: Callable[..., Any]
) -> None:
    path = tmp_path / "fixed.onnx"
    onnx.save(network(batch=4), path)
    with installed("10.3"):
        built = build(BuildOptions(path))
        assert info(built)[0].profiles == ()
        assert built.provenance["batches"] == [4, 4, 4]
        with pytest.raises(UsageError, match="fixed batch of 4"):
            build(BuildOptions(path, batches=Batches(1, 8, 32), overwrite=True))


@pytest.mark.parametrize("release", RELEASES)
def test_compatible_plans_are_built_by_choice_only(release: str, make_bundle: MakeBundle) -> None:
    directory = make_bundle().directory
    with installed(release):
        plain, _ = info(build(BuildOptions(directory)))
        built = build(
            BuildOptions(
                directory, Path("other.plan"), version_compatible=True, hardware_compatible=True
            )
        )
    plan, _ = info(built)
    assert "VERSION_COMPATIBLE" in plan.flags
    assert plan.hardware == "AMPERE_PLUS"
    assert "VERSION_COMPATIBLE" not in plain.flags
    assert plain.hardware == "NONE"
    assert not {"REFIT", "STRIP_PLAN"} & {*plan.flags, *plain.flags}


def test_a_dla_takes_one_batch_size_since_it_has_no_open_ones(
    make_bundle: MakeBundle,
) -> None:
    directory = make_bundle().directory
    with installed("10.3"):
        built = build(BuildOptions(directory, precision="f16", dla=0))
        plan, _ = info(built)
        assert plan.dla_core == 0
        assert built.provenance["batches"] == [1, 1, 1]
        eight = BuildOptions(
            directory, precision="f16", dla=0, batches=Batches(8, 8, 8), overwrite=True
        )
        assert build(eight).provenance["batches"] == [8, 8, 8]
    with pytest.raises(UsageError, match="--batch 8 "):
        BuildOptions(directory, dla=0, batches=Batches(1, 8, 32))


@pytest.mark.parametrize("release", RELEASES)
def test_several_contexts_may_share_a_profile_where_that_has_to_be_asked_for(
    release: str, make_bundle: MakeBundle
) -> None:
    with installed(release):
        plan, _ = info(build(BuildOptions(make_bundle().directory, precision="f16")))
    wanted = ["PROFILE_SHARING_0806"] if release == "8.6" else []
    assert plan.settings["preview"] == wanted


@pytest.mark.parametrize("release", RELEASES)
def test_a_dla_gets_what_it_can_run_and_the_gpu_the_rest(
    release: str, make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = make_bundle().directory
    with installed(release, device="orin"):
        plan, _ = info(build(BuildOptions(directory, precision="f16", dla=1)))
        assert plan.dla_core == 1
        assert "GPU_FALLBACK" in plan.flags
        assert "takes no Q/DQ" not in capsys.readouterr().err
        build(BuildOptions(directory, dla=0, overwrite=True))
        told = "takes no Q/DQ here" in capsys.readouterr().err
        assert told == (release in WEAK_RELEASES)  # of a DLA in 11 nothing is known to us
        with pytest.raises(UsageError, match="DLA cores 0 to 1"):
            build(BuildOptions(directory, dla=2, overwrite=True))
    with installed(release, device="orin-nano"), pytest.raises(UsageError, match="no DLA core"):
        build(BuildOptions(directory, dla=0, overwrite=True))


@pytest.mark.parametrize("release", RELEASES)
def test_instance_normalisation_is_asked_for_without_the_plugin(
    release: str, make_bundle: MakeBundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trt_fakes import definition

    asked = []
    original = definition.OnnxParser._do_set_flag

    def set_flag(self: definition.OnnxParser, flag: Any) -> None:
        asked.append(flag.name)
        original(self, flag)

    monkeypatch.setattr(definition.OnnxParser, "_do_set_flag", set_flag)
    with installed(release):
        build(BuildOptions(make_bundle().directory))
    assert asked == ["NATIVE_INSTANCENORM"]
