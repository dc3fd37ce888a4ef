"""Asking a plan itself: its layers by TensorRT's inspector, their times by its profiler.

Written against the names and signatures of TensorRT 8.6 to 11.4 and tested with fakes of them; no
line of it has run on a GPU.
"""

from __future__ import annotations

import importlib
import statistics
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.bench.inspect.layers import Information, information
from edgereid.bench.inspect.times import LayerTimes
from edgereid.engines.open import MAX_ENGINE_BYTES, RUNTIMES
from edgereid.engines.tensorrt.cuda import Cuda, find_device, load_cuda
from edgereid.engines.tensorrt.logger import Log, TensorRTError
from edgereid.engines.tensorrt.plan import load_engine, new_runtime, read_plan
from edgereid.engines.tensorrt.profiles import Profile, Shape
from edgereid.engines.tensorrt.tensors import profiles_of, signature_of
from edgereid.engines.vendor import runtime_errors
from edgereid.errors import InputError, IntegrityError, MissingRuntimeError

SEED = 0
#: Runs before those that are timed: the first allocate, and the clocks rise.
WARM_UP = 5
#: One run: (layer, milliseconds) in the order in which TensorRT reports them.
Report = list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Told:
    """What an engine tells; ``notes`` say how."""

    information: Information
    times: LayerTimes
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wanted:
    """``runs`` runs of ``batch`` images in the optimisation profile ``profile``. ``trust``: of a
    plan that no manifest vouches for, too."""

    batch: int = 1
    runs: int = 50
    profile: int = 0
    trust: bool = False


def ask(path: Path, wanted: Wanted) -> Told:
    """Load a plan in TensorRT, inspect it and run it on noise.

    Raises MissingRuntimeError without TensorRT or a GPU, IntegrityError for a plan that nothing
    vouches for, InputError when it cannot be loaded or run, or tells what is not understood.
    """
    trt = _tensorrt()
    cuda = load_cuda()
    device = find_device(cuda)
    if path.is_file() and path.stat().st_size > MAX_ENGINE_BYTES:
        raise InputError(f"{path} has more than {MAX_ENGINE_BYTES:,} bytes: no engine.")
    plan = read_plan(path)
    if not (plan.vouched or wanted.trust):
        raise IntegrityError(
            f"{path} is native code and no manifest vouches for it: name it in its bundle, or "
            "trust it with --trust."
        )
    with runtime_errors(f"TensorRT cannot inspect {path}"):
        log = Log(trt)
        runtime = new_runtime(trt, log, code_allowed=True)
        engine = load_engine(trt, runtime, log, plan, device)
        text, times = _Loaded(trt, cuda, log, engine).asked(wanted)
    return Told(
        information(text, str(path)),
        times,
        (f"tensorrt {trt.__version__} on {device.name}, batch {wanted.batch} of noise",),
    )


def _tensorrt() -> Any:
    try:
        return importlib.import_module("tensorrt")
    except ImportError as error:
        row = RUNTIMES["tensorrt"]
        raise MissingRuntimeError(
            f"a plan is asked in TensorRT, which cannot be imported ({error}): "
            f'pip install "edgereid[{row.extra}]"{row.hint}. The JSON of trtexec '
            "--exportLayerInfo can be inspected anywhere."
        ) from error


@dataclass(frozen=True, slots=True)
class _Loaded:
    """An engine that is inspected and run under the profiler, in a context and buffers of its
    own."""

    trt: Any
    cuda: Cuda
    log: Log
    engine: Any

    def asked(self, wanted: Wanted) -> tuple[str, LayerTimes]:
        """The inspector's JSON, and the median of each layer's time."""
        signature = signature_of(self.trt, self.engine)
        images, given = signature.tensors()
        profiles = profiles_of(self.engine, signature.inputs[0])
        shape = _shape(profiles, wanted)
        with ExitStack() as stack:
            stream = self.cuda.stream(stack)
            context = self.engine.create_execution_context()
            self._require(context is not None)
            self._choose(context, wanted.profile, stream)
            self._require(context.set_input_shape(images.name, shape))
            taken = self.cuda.pair(stack, shape, images.dtype)
            # What a layer takes does not depend on values, but for NaN and infinity.
            taken.array[...] = noise(shape, images.dtype)
            out_shape = tuple(int(n) for n in context.get_tensor_shape(given.name))
            if min(out_shape, default=0) < 0:
                raise TensorRTError(f"its output has the open shape {out_shape}")
            out = self.cuda.pair(stack, out_shape, given.dtype)
            for tensor, pair in ((images, taken), (given, out)):
                self._require(context.set_tensor_address(tensor.name, pair.device))
            # Before buffers are freed, also when a run failed.
            stack.callback(self.cuda.call, "cudaStreamSynchronize", stream)
            self.cuda.upload(taken, stream)
            reports = self._reports(context, stream, wanted.runs)
            return self._inspected(context), medians(reports)

    def _inspected(self, context: Any) -> str:
        """What the inspector tells. Where shapes are open it tells types only of a context that
        has some."""
        inspector = self.engine.create_engine_inspector()
        inspector.execution_context = context
        return str(inspector.get_engine_information(self.trt.LayerInformationFormat.JSON))

    def _choose(self, context: Any, profile: int, stream: Any) -> None:
        if int(context.active_optimization_profile) != profile:
            self._require(context.set_optimization_profile_async(profile, int(stream)))
            self.cuda.call("cudaStreamSynchronize", stream)

    def _reports(self, context: Any, stream: Any, runs: int) -> list[Report]:
        profiler = _profiler(self.trt)
        context.profiler = profiler
        # Else every run reports while it is handed over, whether it is to be timed or not.
        context.enqueue_emits_profile = False
        reports = []
        for index in range(WARM_UP + runs):
            self._require(context.execute_async_v3(int(stream)))
            self.cuda.call("cudaStreamSynchronize", stream)
            if index >= WARM_UP:
                self._require(context.report_to_profiler())
                reports.append(profiler.take())
        return reports

    def _require(self, done: Any) -> None:
        if not done:
            raise TensorRTError(self.log.reason())


def noise(shape: Shape, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers as preprocessed images have them; of integers, all that there are."""
    random = np.random.default_rng(SEED)
    if np.issubdtype(dtype, np.integer):
        known = np.iinfo(dtype)
        return random.integers(known.min, known.max, shape, dtype, endpoint=True)
    return random.standard_normal(shape, np.float32).astype(dtype)


def _shape(profiles: tuple[Profile, ...], wanted: Wanted) -> Shape:
    """The batch in the optimum size of the profile that is asked for; raises InputError."""
    if wanted.profile >= len(profiles):
        raise InputError(f"it has {len(profiles)} optimisation profiles, the first is 0.")
    profile = profiles[wanted.profile]
    low, high = profile.minimum[0], profile.maximum[0]
    if not low <= wanted.batch <= high:
        raise InputError(
            f"its profile {wanted.profile} takes {low} to {high} images: --batch {wanted.batch} "
            "is outside."
        )
    return (wanted.batch, *profile.optimum[1:])


def _profiler(trt: Any) -> Any:
    """A profiler of TensorRT's kind that keeps what it is told."""

    class Profiler(trt.IProfiler):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.IProfiler.__init__(self)
            self._told: Report = []

        def report_layer_time(self, layer_name: str, ms: float) -> None:
            self._told.append((str(layer_name), float(ms)))

        def take(self) -> Report:
            """What was told since the last call."""
            told, self._told = self._told, []
            return told

    return Profiler()


def medians(reports: list[Report]) -> LayerTimes:
    """The median over runs that all report the same layers in the same order; else InputError."""
    names = [name for name, _ in reports[0]]
    if not names:
        raise InputError("the profiler told no layer.")
    if any([name for name, _ in report] != names for report in reports):
        raise InputError("the profiler told other layers in another run.")
    columns = zip(*([ms for _, ms in report] for report in reports), strict=True)
    rows = []
    for name, values in zip(names, columns, strict=True):
        if not all(np.isfinite(values)) or min(values) < 0:
            raise InputError(f"the profiler told times of {name!r:.60} that are none.")
        rows.append((name, statistics.median(values)))
    return LayerTimes(tuple(rows), len(reports), "median")
