"""The fake CUDA runtime: memory, streams, events and graphs, and what misuse does."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from trt_driver import SHAPES, Session, build
from trt_fakes import Failures, Fake, installed
from trt_fakes.cuda_runtime import BINDINGS

Make = Callable[..., bytes]
Images = NDArray[np.float32]


@pytest.fixture
def fake() -> Iterator[Fake]:
    """One on which misuse is what is tested."""
    with installed("10.3", expect_misuse=True) as found:
        yield found


def call(fake: Fake, name: str, *arguments: Any) -> Any:
    """The value of a call that must succeed."""
    code, *values = getattr(fake.cuda, name)(*arguments)
    assert code.name == "cudaSuccess", (name, code)
    return values[0] if len(values) == 1 else tuple(values)


def error(fake: Fake, name: str, *arguments: Any) -> str:
    """The name of the error, or of success."""
    return str(getattr(fake.cuda, name)(*arguments)[0].name)


def pinned(fake: Fake, size: int) -> tuple[int, NDArray[np.uint8]]:
    address = call(fake, "cudaHostAlloc", size, 0)
    memory = (ctypes.c_uint8 * size).from_address(address)
    return address, np.frombuffer(memory, np.uint8)


def kinds(fake: Fake) -> Any:
    return fake.cuda.cudaMemcpyKind  # type: ignore[union-attr]


# --- the module -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", BINDINGS)
def test_each_kind_of_bindings_has_its_own_names_and_signatures(kind: str) -> None:
    with installed("10.3", cuda=kind) as fake:
        cuda: Any = fake.cuda
        assert cuda.__name__ == ("cuda.bindings.runtime" if kind == "bindings" else "cuda.cudart")
        assert not hasattr(cuda, "cudaNoSuchFunction")
        with pytest.raises(TypeError):
            cuda.cudaMalloc()
        with pytest.raises(TypeError):
            cuda.cudaMalloc(1, 2)
        with pytest.raises(TypeError):
            cuda.cudaMalloc(bytes=1)
        with pytest.raises(TypeError):
            cuda.cudaFree("x")
        code, text = cuda.cudaGetErrorString(cuda.cudaError_t(2))
        assert (code, text) == (cuda.cudaError_t.cudaSuccess, b"out of memory")
        stream = call(fake, "cudaStreamCreate")
        assert type(stream).__name__ == "cudaStream_t"
        graph = [0, 0, 0] if kind == "cudart-11" else [0, 0]
        with pytest.raises(TypeError):
            cuda.cudaGraphInstantiate(*graph, 0)
        call(fake, "cudaStreamDestroy", stream)


def test_older_bindings_insist_on_enumerations() -> None:
    with installed("8.6", cuda="cudart") as fake:
        address = call(fake, "cudaMalloc", 4)
        with pytest.raises(AttributeError, match="value"):
            fake.cuda.cudaMemcpyAsync(address, address, 4, 3, 0)  # type: ignore[union-attr]
        kind = kinds(fake).cudaMemcpyDeviceToDevice
        call(fake, "cudaMemcpyAsync", address, address, 4, kind, 0)


def test_without_a_driver_new_bindings_answer_and_old_ones_raise() -> None:
    with installed("10.3", gpu=False) as fake:
        assert error(fake, "cudaGetDeviceCount") == "cudaErrorInsufficientDriver"
        assert call(fake, "cudaDriverGetVersion") == 0
        assert call(fake, "cudaRuntimeGetVersion") == 13050
    with installed("8.6", gpu=False, cuda="cudart") as fake:
        with pytest.raises(RuntimeError, match=r"libcuda\.so\.1"):
            fake.cuda.cudaGetDeviceCount()  # type: ignore[union-attr]
        assert call(fake, "cudaRuntimeGetVersion") == 12020


def test_the_device_is_the_one_that_was_asked_for() -> None:
    with installed("10.3", device="t4") as fake:
        facts = call(fake, "cudaGetDeviceProperties", 0)
        assert (facts.name, facts.major, facts.minor) == (b"Tesla T4", 7, 5)
        attribute = fake.cuda.cudaDeviceAttr.cudaDevAttrIntegrated  # type: ignore[union-attr]
        assert call(fake, "cudaDeviceGetAttribute", attribute, 0) == 0
        assert error(fake, "cudaGetDeviceProperties", 1) == "cudaErrorInvalidDevice"
        assert call(fake, "cudaGetDeviceCount") == 1


def test_errors_are_made_by_choice_from_a_call_on() -> None:
    planned = Failures(cuda={"cudaMalloc": ("cudaErrorMemoryAllocation", 2)})
    with installed("10.3", failures=planned) as fake:
        call(fake, "cudaFree", call(fake, "cudaMalloc", 8))
        code, value = fake.cuda.cudaMalloc(8)  # type: ignore[union-attr]
        assert (code.name, value) == ("cudaErrorMemoryAllocation", None)


def test_the_device_has_so_much_memory_and_no_more() -> None:
    with installed("10.3", failures=Failures(free_memory=1000)) as fake:
        first = call(fake, "cudaMalloc", 900)
        assert call(fake, "cudaMemGetInfo")[0] == 100
        assert error(fake, "cudaMalloc", 101) == "cudaErrorMemoryAllocation"
        call(fake, "cudaFree", first)
        call(fake, "cudaFree", call(fake, "cudaMalloc", 1000))


# --- memory ---------------------------------------------------------------------------------------


def test_bytes_go_to_the_device_and_back(fake: Fake) -> None:
    here, source = pinned(fake, 100)
    back, target = pinned(fake, 100)
    there = call(fake, "cudaMalloc", 100)
    stream = call(fake, "cudaStreamCreateWithFlags", 1)
    source[:] = np.arange(100)
    call(fake, "cudaMemcpyAsync", there, here, 100, kinds(fake).cudaMemcpyHostToDevice, stream)
    call(fake, "cudaMemcpyAsync", back + 10, there + 20, 5, kinds(fake).cudaMemcpyDefault, stream)
    assert not target.any()
    call(fake, "cudaStreamSynchronize", stream)
    assert target[10:15].tolist() == [20, 21, 22, 23, 24]
    assert fake.misuse == []
    assert fake.gpu.pageable_copies == 0


def test_a_pinned_buffer_is_read_when_the_copy_runs(fake: Fake) -> None:
    here, source = pinned(fake, 4)
    there, stream = call(fake, "cudaMalloc", 4), call(fake, "cudaStreamCreate")
    source[:] = 1
    call(fake, "cudaMemcpyAsync", there, here, 4, kinds(fake).cudaMemcpyHostToDevice, stream)
    source[:] = 2  # too early: the copy has not run
    out = np.zeros(4, np.uint8)
    call(fake, "cudaStreamSynchronize", stream)
    call(fake, "cudaMemcpy", out, there, 4, kinds(fake).cudaMemcpyDeviceToHost)
    assert out.tolist() == [2, 2, 2, 2]


def test_plain_memory_is_staged_and_counted(fake: Fake) -> None:
    source, target = np.arange(8, dtype=np.uint8), np.zeros(8, np.uint8)
    there, stream = call(fake, "cudaMalloc", 8), call(fake, "cudaStreamCreate")
    to_device, to_host = kinds(fake).cudaMemcpyHostToDevice, kinds(fake).cudaMemcpyDeviceToHost
    call(fake, "cudaMemcpyAsync", there, source.ctypes.data, 8, to_device, stream)
    source[:] = 0
    call(fake, "cudaMemcpyAsync", target.ctypes.data, there, 8, to_host, stream)
    assert target.tolist() == list(range(8))
    assert fake.gpu.pageable_copies == 2


VALUE, ADDRESS, HANDLE = (
    "cudaErrorInvalidValue",
    "cudaErrorIllegalAddress",
    "cudaErrorInvalidResourceHandle",
)
#: What is done wrong, and the error of the real runtime. d: a device block of 64 bytes, f: a freed
#: one, p: a pinned one, s: a stream, to and any: directions.
MISUSES: list[tuple[str, str, str]] = [
    ("freed twice", "cudaFree f", VALUE),
    ("never allocated", "cudaFree 12345", VALUE),
    ("device memory was freed as pinned", "cudaFreeHost d", VALUE),
    ("pinned memory was freed as device", "cudaFree p", VALUE),
    ("65 bytes at offset 0 of a block of 64", "cudaMemcpy d p 65 to", VALUE),
    ("80 bytes at offset 0 of a block of 64", "cudaMemcpyAsync p d 80 any s", VALUE),
    ("was freed", "cudaMemcpyAsync f p 8 to s", ADDRESS),
    ("is no device memory", "cudaMemcpyAsync p p 8 to s", VALUE),
    ("is device memory, not host", "cudaMemcpyAsync d d 8 to s", VALUE),
    ("is no address", "cudaMemcpyAsync 0 p 8 to s", VALUE),
    ("stream 0x7 does not exist", "cudaStreamSynchronize 7", HANDLE),
    ("event 0x7 does not exist", "cudaEventDestroy 7", HANDLE),
]


@pytest.mark.parametrize(("what", "wrong", "code"), MISUSES, ids=[m[0] for m in MISUSES])
def test_misuse_gives_an_error_and_is_noted(what: str, wrong: str, code: str, fake: Fake) -> None:
    made = {
        "d": call(fake, "cudaMalloc", 64),
        "f": call(fake, "cudaMalloc", 64),
        "p": call(fake, "cudaHostAlloc", 256, 0),
        "s": call(fake, "cudaStreamCreate"),
        "to": kinds(fake).cudaMemcpyHostToDevice,
        "any": kinds(fake).cudaMemcpyDefault,
    }
    call(fake, "cudaFree", made["f"])
    name, *arguments = wrong.split()
    assert error(fake, name, *(made[a] if a in made else int(a) for a in arguments)) == code
    assert len(fake.misuse) == 1
    assert what in fake.misuse[0]


def test_misuse_fails_the_test_at_the_end() -> None:
    def free_twice() -> None:
        with installed("10.3") as fake:
            address = call(fake, "cudaMalloc", 8)
            call(fake, "cudaFree", address)
            error(fake, "cudaFree", address)

    with pytest.raises(AssertionError, match="freed twice"):
        free_twice()


def test_an_illegal_access_spoils_every_later_call(fake: Fake) -> None:
    gone = call(fake, "cudaMalloc", 8)
    call(fake, "cudaFree", gone)
    copy = ("cudaMemcpyAsync", gone, call(fake, "cudaHostAlloc", 8, 0), 8)
    assert error(fake, *copy, kinds(fake).cudaMemcpyDefault, 0) == "cudaErrorIllegalAddress"
    assert error(fake, "cudaMalloc", 8) == "cudaErrorIllegalAddress"


def test_what_is_left_is_told(fake: Fake) -> None:
    made = [call(fake, "cudaMalloc", 3), call(fake, "cudaHostAlloc", 5, 0)]
    stream, event = call(fake, "cudaStreamCreate"), call(fake, "cudaEventCreate")
    left = ["3 bytes of device memory", "5 bytes of pinned memory", "stream", "event"]
    assert fake.allocated() == left
    call(fake, "cudaFree", made[0])
    call(fake, "cudaFreeHost", made[1])
    call(fake, "cudaStreamDestroy", stream)
    call(fake, "cudaEventDestroy", event)
    assert fake.allocated() == []


# --- events ---------------------------------------------------------------------------------------


def test_events_take_the_time_of_what_is_between_them(fake: Fake) -> None:
    here, _ = pinned(fake, 1_000_000)
    there, stream = call(fake, "cudaMalloc", 1_000_000), call(fake, "cudaStreamCreate")
    start, end = call(fake, "cudaEventCreate"), call(fake, "cudaEventCreate")
    assert error(fake, "cudaEventElapsedTime", start, end) == "cudaErrorInvalidResourceHandle"
    call(fake, "cudaEventRecord", start, stream)
    to_device = kinds(fake).cudaMemcpyHostToDevice
    call(fake, "cudaMemcpyAsync", there, here, 1_000_000, to_device, stream)
    call(fake, "cudaEventRecord", end, stream)
    assert error(fake, "cudaEventElapsedTime", start, end) == "cudaErrorNotReady"
    assert error(fake, "cudaEventQuery", end) == "cudaErrorNotReady"
    call(fake, "cudaEventSynchronize", end)
    assert call(fake, "cudaEventElapsedTime", start, end) == pytest.approx(0.1)
    assert error(fake, "cudaStreamQuery", stream) == "cudaSuccess"


def test_an_event_without_timing_has_no_time(fake: Fake) -> None:
    flags = fake.cuda.cudaEventDisableTiming  # type: ignore[union-attr]
    events = [call(fake, "cudaEventCreateWithFlags", flags) for _ in range(2)]
    for event in events:
        call(fake, "cudaEventRecord", event, 0)
    call(fake, "cudaDeviceSynchronize")
    assert error(fake, "cudaEventElapsedTime", *events) == "cudaErrorInvalidResourceHandle"


def test_a_stream_waits_for_another_ones_event(fake: Fake) -> None:
    here, source = pinned(fake, 4)
    back, target = pinned(fake, 4)
    there = call(fake, "cudaMalloc", 4)
    first, second = (call(fake, "cudaStreamCreateWithFlags", 1) for _ in range(2))
    event = call(fake, "cudaEventCreate")
    source[:] = 9
    call(fake, "cudaMemcpyAsync", there, here, 4, kinds(fake).cudaMemcpyHostToDevice, first)
    call(fake, "cudaEventRecord", event, first)
    call(fake, "cudaStreamWaitEvent", second, event, 0)
    call(fake, "cudaMemcpyAsync", back, there, 4, kinds(fake).cudaMemcpyDeviceToHost, second)
    call(fake, "cudaStreamSynchronize", second)
    assert target.tolist() == [9, 9, 9, 9]


# --- graphs ---------------------------------------------------------------------------------------


@pytest.fixture
def session(fake: Fake, make: Make) -> Session:
    return Session(fake.trt, fake.cuda, build(fake.trt, make()), SHAPES[1])


def capture(session: Session, mode: int = 1) -> Any:
    modes = session.cuda.cudaStreamCaptureMode
    session.call("cudaStreamBeginCapture", session.stream, modes(mode))
    assert session.context.execute_async_v3(int(session.stream)), session.log.errors
    graph = session.call("cudaStreamEndCapture", session.stream)
    executable = session.call("cudaGraphInstantiate", graph, 0)
    session.call("cudaGraphDestroy", graph)
    return executable


def test_a_captured_graph_computes_what_the_direct_run_does(
    session: Session, images: Images
) -> None:
    first, second = images[:2], images[1:]
    session.run(first)
    executable = capture(session)
    for batch in (second, first):
        session.copy_in(batch)
        session.call("cudaGraphLaunch", executable, session.stream)
        session.copy_out()
        np.testing.assert_array_equal(session.wait(), session.run(batch))
    session.call("cudaGraphExecDestroy", executable)


def test_a_capture_runs_nothing_and_needs_a_run_before_it(session: Session, images: Images) -> None:
    modes = session.cuda.cudaStreamCaptureMode
    session.call("cudaStreamBeginCapture", session.stream, modes(1))
    assert not session.context.execute_async_v3(int(session.stream))
    code, graph = session.cuda.cudaStreamEndCapture(session.stream)
    assert (code.name, graph) == ("cudaErrorStreamCaptureInvalidated", None)
    # TensorRT takes the error that nobody took back for its own.
    assert not session.context.execute_async_v3(int(session.stream))
    assert session.cuda.cudaPeekAtLastError()[0] == code
    assert session.cuda.cudaGetLastError()[0] == code
    assert session.cuda.cudaGetLastError()[0] == session.cuda.cudaError_t.cudaSuccess
    before = session.run(images[:2])
    capture(session)
    np.testing.assert_array_equal(session.array(1).reshape(before.shape), before)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda s: s.cuda.cudaStreamSynchronize(s.stream),
        lambda s: s.cuda.cudaStreamQuery(s.stream),
        lambda s: s.cuda.cudaMalloc(8),
        lambda s: s.cuda.cudaDeviceSynchronize(),
    ],
)
def test_waiting_or_allocating_spoils_a_capture(
    wrong: Callable[[Session], Any], session: Session, images: Images
) -> None:
    session.run(images[:2])
    session.call("cudaStreamBeginCapture", session.stream, session.cuda.cudaStreamCaptureMode(0))
    assert wrong(session)[0].name == "cudaErrorStreamCaptureUnsupported"
    code, _ = session.cuda.cudaStreamEndCapture(session.stream)
    assert code.name == "cudaErrorStreamCaptureInvalidated"


def test_a_graph_on_freed_memory_is_noted(fake: Fake, session: Session, images: Images) -> None:
    session.run(images[:2])
    executable = capture(session)
    session.call("cudaFree", session.device[1])
    session.call("cudaGraphLaunch", executable, session.stream)
    code = session.cuda.cudaStreamSynchronize(session.stream)[0]
    assert code.name == "cudaErrorIllegalAddress"
    assert "tensor features" in fake.misuse[0]


def test_a_context_that_changed_or_went_after_its_capture_is_noted(
    fake: Fake, session: Session, images: Images
) -> None:
    session.run(images[:2])
    executable = capture(session)
    session.context.set_input_shape("images", SHAPES[0])
    session.call("cudaGraphLaunch", executable, session.stream)
    session.call("cudaStreamSynchronize", session.stream)
    assert fake.misuse == ["the context was changed after its graph was captured"]
    session.context = None
    session.call("cudaGraphLaunch", executable, session.stream)
    session.call("cudaStreamSynchronize", session.stream)
    assert fake.misuse[1:] == ["the context was dropped before its execution ended"]


def test_a_buffer_that_is_too_small_is_noted(fake: Fake, session: Session) -> None:
    small = session.call("cudaMalloc", 8)
    session.context.set_tensor_address("features", small)
    assert session.context.execute_async_v3(int(session.stream))
    code = session.cuda.cudaStreamSynchronize(session.stream)[0]
    assert code.name == "cudaErrorInvalidValue"
    assert "of a block of 8" in fake.misuse[0]


def test_an_address_that_is_not_aligned_or_not_on_the_device_is_noted(
    fake: Fake, session: Session
) -> None:
    session.context.set_tensor_address("images", session.device[0] + 4)
    session.context.execute_async_v3(int(session.stream))
    code = session.cuda.cudaStreamSynchronize(session.stream)[0]
    assert code.name == "cudaErrorMisalignedAddress"
    session.cuda.cudaGetLastError()
    plain = np.zeros(4096, np.uint8)
    aligned = plain.ctypes.data + (-plain.ctypes.data % 256)
    session.context.set_tensor_address("images", aligned)
    session.context.execute_async_v3(int(session.stream))
    code = session.cuda.cudaStreamSynchronize(session.stream)[0]
    assert code.name == "cudaErrorIllegalAddress"
    assert "plain host memory" in fake.misuse[-1]
