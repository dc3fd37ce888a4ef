"""What goes wrong in TensorRT and in CUDA: one line, and nothing left behind."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from trt_fakes import RELEASES, Failures, installed

from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
from edgereid.errors import EdgeReidError, InputError, MissingRuntimeError

Images = Callable[..., NDArray[np.float32]]
TRUST = EngineOptions(trust=True)
OUT_OF_MEMORY = "cudaErrorMemoryAllocation"
SINCE_11_4 = ("8.6", "11.4")  # the oldest and the newest have different names for much


def one_line(error: BaseException) -> str:
    message = str(error)
    assert "\n" not in message
    assert len(message) < 500
    assert "::" not in message  # no positions in TensorRT's sources
    return message


# Without a GPU


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("cuda", ["bindings", "cudart", "cudart-11"])
def test_without_a_gpu_there_is_one_clear_line(
    sample: Any, tmp_path: Path, release: str, cuda: str
) -> None:
    with installed(release):
        path = sample.write_plan(tmp_path / "engine.plan")
    with installed(release, cuda=cuda, gpu=False), pytest.raises(MissingRuntimeError) as caught:
        open_engine(path, TRUST)
    message = one_line(caught.value)
    assert "needs an NVIDIA GPU with its driver" in message
    assert "`edgereid doctor`" in message


@pytest.mark.parametrize(
    ("failures", "message"),
    [
        ({"cudaGetDeviceCount": "cudaErrorNoDevice"}, "no CUDA-capable device is detected"),
        ({"cudaGetDeviceCount": "cudaErrorInsufficientDriver"}, "driver for CUDA"),
        ({"cudaGetDeviceProperties": "cudaErrorInvalidDevice"}, "cudaGetDeviceProperties"),
    ],
)
def test_a_gpu_that_does_not_work_is_told_as_cuda_tells_it(
    sample: Any, tmp_path: Path, failures: dict[str, str], message: str
) -> None:
    with installed("10.3", failures=Failures(cuda=failures)) as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        with pytest.raises(MissingRuntimeError, match=message) as caught:
            open_engine(path, TRUST)
        one_line(caught.value)
        assert fake.allocated() == []


def test_a_driver_older_than_the_bindings_names_the_bindings_that_fit(
    sample: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = Failures(cuda={"cudaGetDeviceCount": "cudaErrorInsufficientDriver"})
    with installed("10.3", failures=failures) as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        ok = fake.cuda.cudaError_t.cudaSuccess  # type: ignore[union-attr]
        monkeypatch.setattr(fake.cuda, "cudaDriverGetVersion", lambda: (ok, 12060))
        monkeypatch.setattr(fake.cuda, "cudaRuntimeGetVersion", lambda: (ok, 13050))
        with pytest.raises(MissingRuntimeError) as caught:
            open_engine(path, TRUST)
    message = one_line(caught.value)
    assert "driver for CUDA 12.6, bindings for CUDA 13.5" in message
    assert 'pip install "cuda-python<13"' in message


def test_a_tensorrt_that_cannot_start_is_a_missing_runtime(
    sample: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with installed("10.3") as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        monkeypatch.setattr(fake.world, "present", False)
        with pytest.raises(MissingRuntimeError) as caught:
            open_engine(path, TRUST)
        assert "cannot start here (CUDA initialization failure with error: 35" in one_line(
            caught.value
        )


# While a plan is opened


@pytest.mark.parametrize("release", SINCE_11_4)
@pytest.mark.parametrize("cuda", ["bindings", "cudart"])
@pytest.mark.parametrize(
    ("function", "call"),
    [
        ("cudaStreamCreateWithFlags", 1),
        ("cudaMalloc", 1),
        ("cudaMalloc", 2),
        ("cudaMalloc", 3),
        ("cudaHostAlloc", 1),
        ("cudaHostAlloc", 2),
    ],
)
def test_whatever_fails_while_opening_nothing_is_left_behind(
    sample: Any, tmp_path: Path, release: str, cuda: str, function: str, call: int
) -> None:
    failures = Failures(cuda={function: (OUT_OF_MEMORY, call)})
    with installed(release, cuda=cuda, failures=failures) as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        with pytest.raises(
            InputError, match=rf"cannot open .*engine\.plan: {function}: "
        ) as caught:
            open_engine(path, TRUST)
        assert "out of memory" in one_line(caught.value)
        del caught
        assert fake.allocated() == []
        assert fake.alive() == []


@pytest.mark.parametrize("release", RELEASES)
def test_a_context_that_cannot_be_made_is_an_error_with_the_reason(
    sample: Any, tmp_path: Path, release: str
) -> None:
    with installed(release, failures=Failures(context=True)) as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        with pytest.raises(InputError, match=r"cannot open .*out of memory") as caught:
            open_engine(path, TRUST)
        one_line(caught.value)
        del caught
        assert fake.allocated() == []


@pytest.mark.parametrize(
    ("method", "answer", "words"),
    [
        ("infer_shapes", ["features"], "it gives (1, 16) for a batch of 1"),
        ("get_tensor_shape", (1, -1), "it gives (1, -1) for a batch of 1"),
        ("get_tensor_shape", (4, 16), "it gives (4, 16) for a batch of 1"),
        ("set_input_shape", False, "TensorRT does not say why"),
        ("set_tensor_address", False, "TensorRT does not say why"),
    ],
)
def test_a_shape_that_does_not_work_out_is_refused(
    sample: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    method: str,
    answer: Any,
    words: str,
) -> None:
    with installed("10.3") as fake:
        trt: Any = fake.trt
        path = sample.write_plan(tmp_path / "engine.plan")
        monkeypatch.setattr(trt.IExecutionContext, method, lambda self, *given: answer)
        with pytest.raises(InputError) as caught:
            open_engine(path, TRUST)
        assert words in one_line(caught.value)
        assert fake.allocated() == []


# While it runs


def runs(engine: Any, batches: list[NDArray[np.float32]]) -> EdgeReidError | None:
    """The first error of a series of runs."""
    for batch in batches:
        try:
            engine.run(batch)
        except EdgeReidError as error:
            return error
    return None


@pytest.mark.parametrize("release", SINCE_11_4)
@pytest.mark.parametrize(
    ("failures", "words"),
    [
        (Failures(execute_from=1), "Cuda Runtime (an illegal memory access)"),
        (Failures(execute_from=2), "Cuda Runtime (an illegal memory access)"),
        (Failures(nan=True), "NaN or infinity for 1 of 1 images"),
        (Failures(cuda={"cudaMemcpyAsync": "cudaErrorInvalidValue"}), "cudaMemcpyAsync"),
        (Failures(cuda={"cudaMemcpyAsync": ("cudaErrorInvalidValue", 2)}), "cudaMemcpyAsync"),
        (Failures(cuda={"cudaStreamSynchronize": ("cudaErrorIllegalAddress", 4)}), "illegal"),
        (Failures(cuda={"cudaGraphLaunch": ("cudaErrorIllegalAddress", 2)}), "cudaGraphLaunch"),
        (Failures(cuda={"cudaMalloc": (OUT_OF_MEMORY, 4)}), "out of memory"),
        (Failures(cuda={"cudaHostAlloc": (OUT_OF_MEMORY, 3)}), "out of memory"),
    ],
)
def test_a_run_that_fails_says_so_in_one_line_and_frees_everything(
    sample: Any, images: Images, tmp_path: Path, release: str, failures: Failures, words: str
) -> None:
    with installed(release, failures=failures) as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        with open_engine(path, TRUST) as engine:
            error = runs(engine, [images(1)] * 4 + [images(5)])
        assert isinstance(error, InputError)
        assert "the tensorrt engine" in one_line(error) or failures.nan
        assert words in str(error)
        del error
        gc.collect()
        assert fake.alive() == []
        if "cudaStreamSynchronize" not in failures.cuda:
            assert fake.allocated() == []


def test_a_failed_run_leaves_an_engine_that_can_be_tried_again(
    sample: Any, images: Images, tmp_path: Path
) -> None:
    with installed("10.3", failures=Failures(execute_from=3)) as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        with open_engine(path, EngineOptions(trust=True, cuda_graph=False)) as engine:
            batch = images(2)
            expected = engine.run(batch), engine.run(batch)
            with pytest.raises(InputError, match="illegal memory access"):
                engine.run(batch)
            fake.world.failures = Failures()
            assert np.array_equal(engine.run(batch), expected[0])


def test_work_that_a_failed_run_left_behind_ends_before_its_buffers_go(
    sample: Any, images: Images, tmp_path: Path
) -> None:
    with installed("8.6") as fake:  # one context: the next shape takes the place of the first
        cuda: Any = fake.cuda
        copy, error = cuda.cudaMemcpyAsync, cuda.cudaError_t.cudaErrorInvalidValue
        to_host = cuda.cudaMemcpyKind.cudaMemcpyDeviceToHost
        with open_engine(sample.write_plan(tmp_path / "engine.plan"), TRUST) as engine:
            engine.run(images(2))
            engine.run(images(1))
            cuda.cudaMemcpyAsync = lambda *a: (error,) if a[3] == to_host else copy(*a)
            with pytest.raises(InputError, match="cudaMemcpyAsync"):
                engine.run(images(1))  # enqueued, and never fetched
            cuda.cudaMemcpyAsync = copy
            np.testing.assert_allclose(engine.run(images(3)), sample.embed(images(3)), atol=1e-4)
        assert fake.misuse == []


def test_memory_that_runs_out_at_a_larger_batch_leaves_the_smaller_one_usable(
    sample: Any, images: Images, tmp_path: Path
) -> None:
    room = 2**16 + 4 * 3 * 32 * 16 * 4  # the scratch and four images
    with installed("10.3", failures=Failures(free_memory=room)) as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        with open_engine(path, TRUST) as engine:
            small, large = images(1), images(8)
            with pytest.raises(InputError, match=r"batch of 8: cudaMalloc: .*out of memory"):
                engine.run(large)
            for _ in range(4):
                np.testing.assert_allclose(engine.run(small), sample.embed(small), atol=1e-4)
        assert fake.allocated() == []


def test_an_error_on_a_device_that_is_lost_is_not_hidden_by_closing(
    sample: Any, images: Images, tmp_path: Path
) -> None:
    with installed("10.3") as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        engine = open_engine(path, TRUST)
        engine.run(images(1))
        fake.gpu.sticky = "cudaErrorIllegalAddress"
        with pytest.raises(InputError, match=r"batch of 1: cudaMemcpyAsync: cudaErrorIllegal"):
            engine.run(images(1))
        engine.close()  # frees what it can, and has nothing to add


def test_freeing_that_fails_is_told_when_nothing_failed_before(sample: Any, tmp_path: Path) -> None:
    failures = Failures(cuda={"cudaStreamDestroy": "cudaErrorInvalidResourceHandle"})
    with installed("10.3", failures=failures) as fake:
        engine = open_engine(sample.write_plan(tmp_path / "engine.plan"), TRUST)
        with pytest.raises(InputError, match=r"closing the tensorrt engine failed: cudaStreamD"):
            engine.close()
        assert fake.allocated() == ["stream"]  # all that could be freed was
        assert fake.alive() == []


# CUDA graphs


CAPTURE_FAILURES: dict[str, Mapping[str, Any]] = {
    "begin": {"cudaStreamBeginCapture": "cudaErrorStreamCaptureUnsupported"},
    "instantiate": {"cudaGraphInstantiateWithFlags": "cudaErrorNotSupported"},
    "launch": {"cudaGraphLaunch": "cudaErrorInvalidValue"},
}


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("which", CAPTURE_FAILURES)
def test_a_plan_that_cannot_be_captured_runs_without_and_says_why(
    sample: Any, images: Images, tmp_path: Path, release: str, which: str
) -> None:
    planned = CAPTURE_FAILURES[which]
    with installed(release, failures=Failures(cuda=planned)) as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        with open_engine(path, TRUST) as engine:
            for count in (2, 2, 2, 3, 3, 3):
                batch = images(count)
                np.testing.assert_allclose(engine.run(batch), sample.embed(batch), atol=1e-4)
            report = engine.info.details["cuda_graph"]
            assert report["batches"] == []
            assert report["without"].startswith(f"{next(iter(planned))}: cudaError")
            assert fake.gpu.executables == {}
        assert fake.allocated() == []


def test_a_capture_that_others_spoil_is_left_and_not_used(
    sample: Any, images: Images, tmp_path: Path
) -> None:
    with installed("10.3") as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        with open_engine(path, TRUST) as engine:
            begin = fake.cuda.cudaStreamBeginCapture  # type: ignore[union-attr]

            def begin_and_spoil(stream: Any, mode: Any) -> Any:
                answer = begin(stream, mode)
                fake.gpu.stream(int(stream)).capture.invalid = True  # type: ignore[union-attr]
                return answer

            fake.cuda.cudaStreamBeginCapture = begin_and_spoil  # type: ignore[union-attr]
            for turn in range(4):
                batch = images(2, seed=turn)
                np.testing.assert_allclose(engine.run(batch), sample.embed(batch), atol=1e-4)
            without = engine.info.details["cuda_graph"]["without"]
            assert without.startswith("cudaStreamEndCapture: cudaErrorStreamCapture")
        assert fake.allocated() == []


def test_a_network_that_fails_while_it_is_captured_leaves_the_stream_usable(
    sample: Any, images: Images, tmp_path: Path
) -> None:
    with installed("10.3") as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        with open_engine(path, TRUST) as engine:
            engine.run(images(2))
            fake.world.failures = Failures(execute_from=fake.world.executions + 2)
            batch = images(2, seed=4)
            np.testing.assert_allclose(engine.run(batch), sample.embed(batch), atol=1e-4)
            fake.world.failures = Failures()
            assert "illegal memory access" in engine.info.details["cuda_graph"]["without"]
            np.testing.assert_allclose(engine.run(batch), sample.embed(batch), atol=1e-4)
        assert fake.allocated() == []


def test_a_graph_that_was_asked_for_is_an_error_where_it_cannot_be(
    sample: Any, images: Images, tmp_path: Path
) -> None:
    with installed("10.3", failures=Failures(cuda=CAPTURE_FAILURES["instantiate"])) as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        with open_engine(path, EngineOptions(trust=True, cuda_graph=True)) as engine:
            engine.run(images(2))
            with pytest.raises(InputError, match="cannot be captured as a CUDA graph") as caught:
                engine.run(images(2))
            assert "open it without cuda_graph" in one_line(caught.value)
        assert fake.allocated() == []


def test_a_graph_that_does_not_do_the_work_is_not_used(
    sample: Any, images: Images, tmp_path: Path
) -> None:
    with installed("10.3") as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        with open_engine(path, TRUST) as engine:
            engine.run(images(2))
            launch, ok = fake.cuda.cudaGraphLaunch, fake.cuda.cudaError_t.cudaSuccess  # type: ignore[union-attr]
            fake.cuda.cudaGraphLaunch = lambda graph, stream: (ok,)  # type: ignore[union-attr]
            for turn in range(3):
                batch = images(2, seed=turn)
                np.testing.assert_allclose(engine.run(batch), sample.embed(batch), atol=1e-4)
            fake.cuda.cudaGraphLaunch = launch  # type: ignore[union-attr]
            assert engine.info.details["cuda_graph"] == {
                "batches": [],
                "without": "its replay gives something else",
            }
        assert fake.allocated() == []


# Several engines


def test_every_engine_hears_its_own_errors_though_tensorrt_has_one_logger_a_process(
    sample: Any, tmp_path: Path, images: Images
) -> None:
    """TensorRT keeps the logger of the first runtime, and ignores those of later ones (1475)."""
    with installed("10.3", failures=Failures(execute_from=3)) as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        first, second = open_engine(path, TRUST), open_engine(path, TRUST)
        first.run(images(1))
        second.run(images(1))
        for engine in (second, first):
            with pytest.raises(InputError, match="illegal memory access") as caught:
                engine.run(images(1))
            one_line(caught.value)
        first.close()
        second.close()
        assert not [text for severity, text in fake.messages if severity == "WARNING"]


@pytest.mark.parametrize("release", RELEASES)
def test_the_logger_outlives_the_engine_that_was_opened_first(
    sample: Any, tmp_path: Path, images: Images, release: str
) -> None:
    with installed(release) as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        first, second = open_engine(path, TRUST), open_engine(path, TRUST)
        first.close()
        del first
        gc.collect()
        damaged = tmp_path / "damaged.plan"
        damaged.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(InputError, match="cannot load"):
            open_engine(damaged, TRUST)
        second.run(images(2))
        second.close()
        assert not fake.misuse


def test_an_error_of_cuda_that_was_reported_is_taken_back(
    sample: Any, tmp_path: Path, images: Images
) -> None:
    """CUDA keeps the last error of a thread, and TensorRT would take it for its own."""
    failing = {"cudaGraphInstantiateWithFlags": "cudaErrorNotSupported"}
    with installed("10.3", failures=Failures(cuda=failing)) as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        with open_engine(path, TRUST) as engine:
            direct = engine.run(images(2))
            for _ in range(3):  # the second is followed by a capture that fails
                np.testing.assert_array_equal(engine.run(images(2)), direct)
            assert "cudaErrorNotSupported" in engine.info.details["cuda_graph"]["without"]
        (last,) = fake.cuda.cudaGetLastError()
        assert last == fake.cuda.cudaError_t.cudaSuccess
