"""The fake TensorRT: from ONNX bytes to numbers, and every way in which that fails.

None of this says anything about the real library beyond its names, signatures and order of calls.
"""

from __future__ import annotations

import gc
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from trt_driver import SHAPES, Recorder, Session, build, prepare
from trt_fakes import RELEASES, Failures, installed
from trt_fakes.binding import NotPlayedError

Make = Callable[..., bytes]
Images = NDArray[np.float32]
Reference = Callable[[bytes, Images], Images]
WEAK = ("8.6", "10.3", "10.13", "10.16")
STRONG = ("10.3", "10.13", "10.16", "11.4")


@pytest.mark.parametrize("release", RELEASES)
def test_an_engine_gives_the_numbers_of_the_onnx_file(
    release: str, make: Make, images: Images, reference: Reference
) -> None:
    with installed(release) as fake:
        session = Session(fake.trt, fake.cuda, build(fake.trt, make()), images.shape)
        np.testing.assert_allclose(session.run(images), reference(make(), images), atol=1e-4)
        session.close()
        assert fake.allocated() == []
        assert fake.alive() == []
        assert fake.gpu.pageable_copies == 0


@pytest.mark.parametrize("release", RELEASES)
def test_the_modules_are_where_code_looks_for_them_and_gone_afterwards(release: str) -> None:
    with installed(release, cuda="bindings") as fake:
        import tensorrt
        from cuda.bindings import runtime

        assert (tensorrt, runtime) == (fake.trt, fake.cuda)
    with installed(release, cuda="cudart") as fake:
        from cuda import cudart

        assert cudart is fake.cuda
        with pytest.raises(ModuleNotFoundError):
            import cuda.bindings.runtime  # noqa: F401
    with installed(None, cuda=None), pytest.raises(ModuleNotFoundError) as caught:
        import tensorrt
    assert caught.value.name == "tensorrt"


def test_a_result_is_stale_until_the_stream_was_waited_for(make: Make, images: Images) -> None:
    with installed("10.3") as fake:
        session = Session(fake.trt, fake.cuda, build(fake.trt, make()), images.shape)
        session.copy_in(images)
        assert session.context.execute_async_v3(int(session.stream))
        session.copy_out()
        assert not session.array(1).any()
        assert session.wait().any()


@pytest.mark.parametrize("release", RELEASES)
def test_a_member_of_another_release_does_not_exist(release: str) -> None:
    with installed(release) as fake:
        trt: Any = fake.trt
        config = trt.Builder(trt.Logger()).create_builder_config()
        assert hasattr(trt.BuilderFlag, "FP16") == (release in WEAK)
        assert hasattr(config, "max_workspace_size") == (release == "8.6")
        assert not hasattr(config, "no_such_member")
        with pytest.raises(AttributeError):
            config.no_such_member = 1
        with pytest.raises(TypeError, match="incompatible function arguments"):
            config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, size=1)
        with pytest.raises(TypeError):
            config.set_flag(int(trt.BuilderFlag.TF32))
        with pytest.raises(TypeError):
            config.profiling_verbosity = 2


def test_what_a_release_has_and_the_fake_does_not_play_says_so() -> None:
    with installed("10.3") as fake:
        trt: Any = fake.trt
        network = trt.Builder(trt.Logger()).create_network(0)
        with pytest.raises(NotPlayedError):
            network.add_loop()
        with pytest.raises(NotPlayedError):
            trt.get_plugin_registry()


def test_context_managers_are_deprecated_as_in_the_real_bindings() -> None:
    with installed("10.3") as fake:
        trt: Any = fake.trt
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            with trt.Builder(trt.Logger()) as builder:
                assert builder.num_DLA_cores == 2
        assert [w.category for w in seen] == [DeprecationWarning]


def test_a_plan_in_memory_has_the_buffer_protocol_and_no_length(make: Make, tmp_path: Path) -> None:
    with installed("10.3") as fake:
        plan = prepare(fake.trt, make()).run()
        assert bytes(plan) == memoryview(plan).tobytes()
        assert plan.nbytes == len(bytes(plan))
        (tmp_path / "x.plan").write_bytes(plan)
        assert (tmp_path / "x.plan").stat().st_size == plan.nbytes
        for wrong in (len, list, lambda p: p[0], lambda p: p.tobytes()):
            with pytest.raises((TypeError, AttributeError)):
                wrong(plan)


# --- parsing ------------------------------------------------------------------------------------

REFUSED = [
    ("8.6", {"opset": 18}, "opset 18"),
    ("10.3", {"opset": 21}, "opset 21"),
    ("10.3", {"quantized": True, "zero": 1}, "symmetric"),
    ("11.4", {"external": "weights.bin"}, "Failed to open file"),
]


@pytest.mark.parametrize(("release", "variant", "message"), REFUSED)
def test_the_parser_refuses_with_an_error_of_its_own(
    release: str, variant: dict[str, Any], message: str, make: Make
) -> None:
    with installed(release) as fake:
        job = prepare(fake.trt, make(**variant), profile=False)
        assert not job.parsed
        assert job.parser.num_errors == 1
        assert message in job.parser.get_error(0).desc()
        assert message in job.log.errors[-1]
        assert job.run() is None


@pytest.mark.parametrize("data", [b"", b"not onnx at all", b"\x08"])
def test_bytes_that_are_no_model_are_a_parser_error(data: bytes) -> None:
    with installed("10.3") as fake:
        job = prepare(fake.trt, data, profile=False)
        assert not job.parsed
        assert job.parser.get_error(0).code().name == "MODEL_DESERIALIZE_FAILED"


def test_external_data_are_found_beside_the_path_that_is_given(make: Make, tmp_path: Path) -> None:
    kernel = np.ones((8, 3, 3, 3), np.float32)
    (tmp_path / "w.bin").write_bytes(kernel.tobytes())
    with installed("10.3") as fake:
        trt: Any = fake.trt
        log = Recorder(trt)
        network = trt.Builder(log.sink).create_network(1)
        parser = trt.OnnxParser(network, log.sink)
        assert parser.parse(make(external="w.bin"), path=str(tmp_path / "x.onnx"))


def test_parser_errors_are_made_by_choice(make: Make) -> None:
    failures = Failures(parser_errors=("first", "second"))
    with installed("11.4", failures=failures) as fake:
        job = prepare(fake.trt, make(), profile=False)
        errors = [job.parser.get_error(i).desc() for i in range(job.parser.num_errors)]
        assert (job.parsed, errors) == (False, ["first", "second"])


# --- building -----------------------------------------------------------------------------------


def outcome(release: str, model: bytes, **options: Any) -> str:
    """ "built" or the last error."""
    with installed(release) as fake:
        job = prepare(fake.trt, model, **options)
        return "built" if job.run() is not None else job.log.errors[-1]


@pytest.mark.parametrize("release", WEAK)
def test_weak_typing_needs_the_int8_flag_for_qdq(release: str, make: Make) -> None:
    model = make(quantized=True)
    assert "int8 is not configured" in outcome(release, model, flags=("FP16",))
    assert outcome(release, model, flags=("FP16", "INT8")) == "built"


@pytest.mark.parametrize("release", STRONG)
def test_typed_half_qdq_needs_strong_typing(release: str, make: Make) -> None:
    model = make(quantized=True, half=True, opset=19)
    assert outcome(release, model, strong=True) == "built"
    if release in WEAK:
        assert "strongly typed" in outcome(release, model, flags=("FP16", "INT8"))
        assert "not allowed" in outcome(release, model, strong=True, flags=("FP16",))


def test_a_network_with_an_open_batch_needs_a_profile(make: Make) -> None:
    assert "no optimization profile" in outcome("10.3", make(), profile=False)
    assert outcome("10.3", make(batch=2), profile=False) == "built"


@pytest.mark.parametrize(
    ("shapes", "which"),
    [
        ([(2, 3, 32, 16), (1, 3, 32, 16), (4, 3, 32, 16)], "opt"),
        ([(1, 3, 32, 16), (4, 3, 32, 16), (2, 3, 32, 16)], "max"),
        ([(-1, 3, 32, 16), (1, 3, 32, 16), (2, 3, 32, 16)], "min"),
    ],
)
def test_shapes_of_a_profile_out_of_order_raise(shapes: Any, which: str) -> None:
    with installed("10.3") as fake:
        trt: Any = fake.trt
        profile = trt.Builder(trt.Logger()).create_optimization_profile()
        with pytest.raises(RuntimeError, match=f"for {which} is inconsistent"):
            profile.set_shape("images", *shapes)


def test_a_profile_must_fit_the_network(make: Make) -> None:
    with installed("10.3") as fake:
        job = prepare(fake.trt, make(), profile=False)
        profile = job.builder.create_optimization_profile()
        profile.set_shape("images", (1, 3, 9, 9), (1, 3, 9, 9), (2, 3, 9, 9))
        assert job.config.add_optimization_profile(profile) == 0
        assert job.run() is None
        assert "Dimension mismatch" in job.log.errors[-1]
        empty = job.builder.create_optimization_profile()
        assert job.config.add_optimization_profile(empty) == -1


@pytest.mark.parametrize(
    ("kind", "message"),
    [("memory", "OutOfMemory"), ("tactic", "Could not find any"), ("silent", "")],
)
def test_a_build_fails_by_choice(kind: str, message: str, make: Make) -> None:
    with installed("10.3", failures=Failures(build=kind)) as fake:
        job = prepare(fake.trt, make())
        assert job.run() is None
        assert message in "".join(job.log.errors)
        assert bool(job.log.errors) == bool(message)


@pytest.mark.parametrize("release", RELEASES)
def test_without_a_gpu_nothing_is_constructed(release: str) -> None:
    with installed(release, gpu=False) as fake:
        trt: Any = fake.trt
        for kind in (trt.Builder, trt.Runtime):
            with pytest.raises(TypeError, match="factory function returned nullptr"):
                kind(trt.Logger())


def test_a_dla_needs_a_core_low_precision_and_a_way_back(make: Make) -> None:
    def on_dla(device: str, core: int, *flags: str) -> str:
        with installed("10.3", device=device) as fake:
            trt: Any = fake.trt
            job = prepare(trt, make(), flags=flags)
            job.config.default_device_type = trt.DeviceType.DLA
            job.config.DLA_core = core
            return "built" if job.run() is not None else job.log.errors[-1]

    assert on_dla("orin", 0, "FP16", "GPU_FALLBACK") == "built"
    assert "GPU fallback is off" in on_dla("orin", 0, "FP16")
    assert "FP16 or INT8" in on_dla("orin", 0, "GPU_FALLBACK")
    assert "does not exist" in on_dla("orin-nano", 0, "FP16", "GPU_FALLBACK")


def test_a_progress_monitor_sees_the_phases_and_stops_a_build(make: Make) -> None:
    with installed("10.3") as fake:
        trt: Any = fake.trt

        class Monitor(trt.IProgressMonitor):  # type: ignore[misc, name-defined]
            def __init__(self, goes_on: bool) -> None:
                trt.IProgressMonitor.__init__(self)
                self.goes_on, self.seen = goes_on, []

            def phase_start(self, phase_name: str, parent_phase: str, num_steps: int) -> None:
                self.seen.append(phase_name)

            def phase_finish(self, phase_name: str) -> None:
                self.seen.append(phase_name)

            def step_complete(self, phase_name: str, step: int) -> bool:
                return self.goes_on

        for goes_on in (True, False):
            job = prepare(trt, make())
            monitor = job.config.progress_monitor = Monitor(goes_on)
            assert (job.run() is not None) == goes_on
            assert sorted(monitor.seen) == sorted(2 * ["Building Engine", "Tactic selection"])


def test_a_legacy_calibrator_is_asked_for_its_cache_first(make: Make) -> None:
    with installed("8.6") as fake:
        trt: Any = fake.trt
        asked = []

        class Calibrator(trt.IInt8EntropyCalibrator2):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                trt.IInt8EntropyCalibrator2.__init__(self)

            def read_calibration_cache(self) -> bytes:
                asked.append("cache")
                return b"TRT-8601-EntropyCalibration2\n"

        job = prepare(trt, make(), flags=("INT8",))
        calibrator = job.config.int8_calibrator = Calibrator()
        session = Session(trt, fake.cuda, bytes(job.run()), SHAPES[0])
        assert asked == ["cache"]
        assert "Int8" in describe(session)
        del calibrator


@pytest.mark.parametrize("release", RELEASES)
def test_a_timing_cache_is_refused_on_another_device(release: str, make: Make) -> None:
    with installed(release, device="orin") as fake:
        job = prepare(fake.trt, make())
        cache = job.config.create_timing_cache(b"")
        assert job.config.set_timing_cache(cache, ignore_mismatch=False)
        empty = bytes(job.config.get_timing_cache().serialize())
        assert job.run() is not None
        kept = bytes(job.config.get_timing_cache().serialize())
        assert len(kept) > len(empty)
    with installed(release, device="thor") as fake:
        config = prepare(fake.trt, make()).config
        other = config.create_timing_cache(kept)
        assert not config.set_timing_cache(other, ignore_mismatch=False)
        assert config.set_timing_cache(other, ignore_mismatch=True)
        assert config.create_timing_cache(b"rubbish") is None


def test_layers_keep_the_type_that_is_asked_for_where_constraints_are_obeyed(make: Make) -> None:
    with installed("8.6") as fake:
        trt: Any = fake.trt
        jobs = []  # the first one's logger is everybody's
        for obey in (False, True):
            flags = ("FP16", "OBEY_PRECISION_CONSTRAINTS")[: 1 + obey]
            job = prepare(trt, make(), flags=flags)
            jobs.append(job)
            layers = [job.network.get_layer(i) for i in range(job.network.num_layers)]
            (embed,) = [layer for layer in layers if layer.name == "embed"]
            assert embed.metadata == "[ONNX Layer: embed]"
            embed.precision = trt.float32
            embed.set_output_type(0, trt.float32)
            text = describe(Session(trt, fake.cuda, bytes(job.run()), SHAPES[0]))
            assert layer_types(text)["embed"] == ("Float" if obey else "Half")


@pytest.mark.parametrize("release", RELEASES)
def test_the_first_logger_is_everybodys_until_all_that_use_it_are_gone(release: str) -> None:
    with installed(release, expect_misuse=True) as fake:
        trt: Any = fake.trt
        first, second = Recorder(trt), Recorder(trt)
        one, two = trt.Runtime(first.sink), trt.Runtime(second.sink)
        assert fake.messages[-1][0] == "WARNING"
        assert "differs from one already registered" in fake.messages[-1][1]
        assert two.deserialize_cuda_engine(b"no plan") is None
        assert (len(first.errors), second.errors) == (1, [])
        del one, first
        gc.collect()
        two.deserialize_cuda_engine(b"no plan")
        assert fake.misuse == ["the logger was dropped while TensorRT still used it"]
        del two
        gc.collect()
        third = Recorder(trt)
        assert trt.Runtime(third.sink).deserialize_cuda_engine(b"no plan") is None
        assert len(third.errors) == 1


# --- plans --------------------------------------------------------------------------------------


def load(plan: bytes, release: str, device: str = "orin", **options: Any) -> tuple[bool, str]:
    """Whether a plan is taken, and what was logged last."""
    allowed = options.pop("code", False)
    with installed(release, device=device, **options) as fake:
        trt: Any = fake.trt
        log = Recorder(trt)
        runtime = trt.Runtime(log.sink)
        runtime.engine_host_code_allowed = allowed
        engine = runtime.deserialize_cuda_engine(plan)
        return engine is not None, (log.errors or [""])[-1]


@pytest.fixture(scope="module")
def plan(make: Make) -> bytes:
    with installed("10.3") as fake:
        return build(fake.trt, make())


def test_a_plan_of_another_release_or_device_is_refused(plan: bytes) -> None:
    assert load(plan, "10.3") == (True, "")
    taken, why = load(plan, "10.13")
    assert not taken
    assert "expecting library version 10.13.0.35 got 10.3.0" in why
    taken, why = load(plan, "10.3", "t4")
    assert not taken
    assert "expecting compute 7.5 got compute 8.7" in why
    assert load(plan, "10.3", "orin-nano")[0]  # the same compute capability


@pytest.mark.parametrize("size", [0, 3, 27, 28, 200, -1])
def test_a_truncated_plan_is_refused(plan: bytes, size: int) -> None:
    taken, why = load(plan[:size], "10.3")
    assert not taken
    assert "Serialization" in why


def test_a_damaged_plan_and_a_planned_failure_are_refused(plan: bytes) -> None:
    damaged = plan[:-9] + bytes([plan[-9] ^ 1]) + plan[-8:]
    assert not load(damaged, "10.3")[0]
    assert load(plan, "10.3", failures=Failures(deserialize="why not")) == (False, "why not")


def test_the_header_says_which_release_wrote_the_plan(plan: bytes) -> None:
    assert plan[:8] == b"ftrt\0\0\0\0"
    assert tuple(plan[24:28]) == (10, 3, 0, 0)


def test_a_version_compatible_plan_needs_permission_and_only_goes_forward(make: Make) -> None:
    with installed("10.3") as fake:
        portable = build(fake.trt, make(), flags=("VERSION_COMPATIBLE",))
    assert "setEngineHostCodeAllowed" in load(portable, "10.13")[1]
    assert load(portable, "10.13", code=True)[0]
    assert not load(portable, "8.6", code=True)[0]


def test_a_hardware_compatible_plan_goes_to_other_devices(make: Make) -> None:
    with installed("10.3") as fake:
        trt: Any = fake.trt
        job = prepare(trt, make())
        job.config.hardware_compatibility_level = trt.HardwareCompatibilityLevel.AMPERE_PLUS
        portable = bytes(job.run())
    assert load(portable, "10.3", "thor")[0]
    assert not load(portable, "10.3", "t4")[0]  # older than Ampere


# --- running ------------------------------------------------------------------------------------


def test_an_engine_tells_its_tensors(plan: bytes) -> None:
    with installed("10.3") as fake:
        trt: Any = fake.trt
        engine = Session(trt, fake.cuda, plan, SHAPES[0]).engine
        names = [engine.get_tensor_name(i) for i in range(engine.num_io_tensors)]
        assert names == ["images", "features"]
        assert engine.get_tensor_mode("images") == trt.TensorIOMode.INPUT
        assert tuple(engine.get_tensor_shape("images")) == (-1, 3, 32, 16)
        assert engine.get_tensor_dtype("features") == trt.float32
        shapes = engine.get_tensor_profile_shape("images", 0)
        assert tuple(tuple(s) for s in shapes) == SHAPES
        assert engine.get_tensor_mode("nobody") == trt.TensorIOMode.NONE


@pytest.mark.parametrize("shape", [(5, 3, 32, 16), (0, 3, 32, 16), (1, 3, 32, 17), (1, 3, 32)])
def test_a_shape_outside_the_profile_is_refused(plan: bytes, shape: tuple[int, ...]) -> None:
    with installed("10.3") as fake:
        session = Session(fake.trt, fake.cuda, plan, SHAPES[0])
        assert not session.context.set_input_shape("images", shape)
        assert session.log.errors


def test_what_is_missing_before_an_execution_is_named(plan: bytes) -> None:
    with installed("10.3", expect_misuse=True) as fake:
        trt: Any = fake.trt
        log = Recorder(trt)
        engine = trt.Runtime(log.sink).deserialize_cuda_engine(plan)
        context = engine.create_execution_context()
        assert context.infer_shapes() == ["images"]
        assert not context.execute_async_v3(0)
        assert "not all shapes" in log.errors[-1]
        context.set_input_shape("images", SHAPES[0])
        assert context.infer_shapes() == []
        assert not context.execute_async_v3(0)
        assert "Address is not set" in log.errors[-1]
        assert fake.misuse == ["executed before the address of images was set"]


def test_failures_of_contexts_and_executions_are_made_by_choice(
    plan: bytes, images: Images
) -> None:
    with installed("10.3", failures=Failures(context=True)) as fake:
        log = Recorder(fake.trt)
        engine = fake.trt.Runtime(log.sink).deserialize_cuda_engine(plan)  # type: ignore[union-attr]
        assert engine.create_execution_context() is None
        assert "out of memory" in log.errors[-1]
    with installed("10.3", failures=Failures(execute_from=2)) as fake:
        session = Session(fake.trt, fake.cuda, plan, images.shape)
        session.run(images)
        assert not session.context.execute_async_v3(int(session.stream))
    with installed("10.3", failures=Failures(nan=True)) as fake:
        session = Session(fake.trt, fake.cuda, plan, images.shape)
        assert np.isnan(session.run(images)).all()


def test_a_context_without_memory_of_its_own_needs_some(plan: bytes, images: Images) -> None:
    with installed("10.3", expect_misuse=True) as fake:
        trt: Any = fake.trt
        session = Session(trt, fake.cuda, plan, images.shape)
        used = fake.gpu.used
        own = trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = session.engine.create_execution_context(own)
        assert fake.gpu.used == used
        context.set_input_shape("images", images.shape)
        for name, address in zip(("images", "features"), session.device, strict=True):
            context.set_tensor_address(name, address)
        assert not context.execute_async_v3(int(session.stream))
        assert "device memory" in fake.misuse[-1]
        size = session.engine.device_memory_size_v2
        context.set_device_memory(session.call("cudaMalloc", size), size)
        assert context.execute_async_v3(int(session.stream))


def test_up_to_8_a_profile_belongs_to_one_context(make: Make) -> None:
    for release, second in (("8.6", -1), ("10.3", 0)):
        with installed(release) as fake:
            session = Session(fake.trt, fake.cuda, build(fake.trt, make()), SHAPES[0])
            other = session.engine.create_execution_context()
            assert other.active_optimization_profile == second
            taken = other.set_optimization_profile_async(0, int(session.stream))
            assert taken == (release != "8.6")
            session.context = None
            assert other.set_optimization_profile_async(0, int(session.stream))


@pytest.mark.parametrize("release", RELEASES)
def test_a_profiler_gets_every_layer_after_each_run(
    release: str, make: Make, images: Images
) -> None:
    with installed(release) as fake:
        trt: Any = fake.trt

        class Profiler(trt.IProfiler):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.seen: list[tuple[str, float]] = []

            def report_layer_time(self, layer_name: str, ms: float) -> None:
                self.seen.append((layer_name, ms))

        session = Session(trt, fake.cuda, build(trt, make()), images.shape)
        profiler = session.context.profiler = Profiler()
        session.run(images)
        names = [name for name, _ in profiler.seen]
        assert names == ["conv + relu", "pool", "flat", "embed"]
        session.context.enqueue_emits_profile = False
        session.run(images)
        assert len(profiler.seen) == 4
        assert session.context.report_to_profiler()
        assert len(profiler.seen) == 8
        assert not session.context.report_to_profiler()


# --- inspecting ---------------------------------------------------------------------------------


def describe(session: Session) -> str:
    trt = session.trt
    inspector = session.engine.create_engine_inspector()
    return str(inspector.get_engine_information(trt.LayerInformationFormat.JSON))


def layer_types(text: str) -> dict[str, str]:
    found = {}
    for layer in json.loads(text)["Layers"]:
        weights = layer.get("Weights")
        if weights:
            found[layer["Name"].split(" + ")[-1]] = weights["Type"]
    return found


@pytest.mark.parametrize("release", RELEASES)
def test_the_inspector_writes_the_schema_of_its_release(release: str, make: Make) -> None:
    with installed(release) as fake:
        session = Session(fake.trt, fake.cuda, build(fake.trt, make()), SHAPES[0])
        described = json.loads(describe(session))
    first = described["Layers"][0]
    assert first["Metadata"] == "[ONNX Layer: conv]\x1e[ONNX Layer: relu]"
    if release == "11.4":
        assert [t["Name"] for t in described["I/O Tensors"]] == ["images", "features"]
        assert described["I/O Tensors"][0]["ProfileInfo"][0]["MaxShape"] == list(SHAPES[2])
        assert "Bindings" not in described
        assert "Format" in first["Inputs"][0]
    else:
        assert described["Bindings"] == ["images", "features"]
        assert "Format/Datatype" in first["Inputs"][0]


def test_without_detailed_verbosity_layers_are_only_named(make: Make) -> None:
    with installed("10.3", failures=Failures(names_only=True)) as fake:
        session = Session(fake.trt, fake.cuda, build(fake.trt, make()), SHAPES[0])
        names = ["conv + relu", "pool", "flat", "embed"]
        assert json.loads(describe(session))["Layers"] == names


def test_the_builder_may_choose_float_where_int8_was_asked(make: Make) -> None:
    for chosen, expected in (({}, "Int8"), ({"conv": "Float"}, "Float")):
        with installed("10.3", failures=Failures(chosen=chosen)) as fake:
            plan = build(fake.trt, make(quantized=True), flags=("FP16", "INT8"))
            session = Session(fake.trt, fake.cuda, plan, SHAPES[0])
            assert layer_types(describe(session))["relu"] == expected


def test_strong_typing_takes_the_types_of_the_file(make: Make) -> None:
    for half, expected in ((False, "Float"), (True, "Half")):
        with installed("11.4") as fake:
            plan = build(fake.trt, make(half=half, opset=19))
            session = Session(fake.trt, fake.cuda, plan, SHAPES[0])
            assert layer_types(describe(session))["embed"] == expected
