"""What every engine promises, tried on every runtime of the suffix table that is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from trt_fakes import RELEASES, installed

from edgereid.bundle import Manifest, describe_file, write_manifest
from edgereid.engines.base import Engine, EngineOptions
from edgereid.engines.open import RUNTIMES, SUFFIXES, open_engine
from edgereid.errors import InputError, UsageError
from edgereid.images import Preprocessing

#: Agreement of the same image's embeddings, relative to the largest number in them.
TOLERANCE = {"f32": 1e-4, "bf16": 3e-2, "f16": 1e-2, "int8": 1e-4}


@dataclass(frozen=True)
class Case:
    runtime: str
    suffix: str
    precision: str = "f32"
    release: str | None = None  # of the fake that plays the runtime; None: the real one

    @property
    def name(self) -> str:
        return f"{self.runtime}{self.release or ''}{self.suffix}-{self.precision}"


def cases() -> list[Case]:
    real = [row for row in RUNTIMES.values() if row.runtime != "tensorrt"]
    found = [Case(row.runtime, suffix) for row in real for suffix in row.opens]
    found += [Case("openvino", ".onnx", "bf16"), Case("eager", ".safetensors", "bf16")]
    found += [Case(r, s, "int8") for r, s in (("onnxruntime", ".onnx"), ("openvino", ".xml"))]
    found += [Case("tensorrt", ".plan", release=release) for release in RELEASES]
    return [*found, Case("tensorrt", ".engine", release=RELEASES[-1])]


Opener = Callable[[], Engine]
Images = Callable[..., NDArray[np.float32]]


@pytest.fixture(scope="module", params=cases(), ids=lambda case: case.name)
def case(request: pytest.FixtureRequest) -> Iterator[Case]:
    chosen: Case = request.param
    if chosen.release is not None:
        with installed(chosen.release) as fake:
            yield chosen
            assert fake.allocated() == []
        return
    for package in RUNTIMES[chosen.runtime].packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed")
    yield chosen


@pytest.fixture(scope="module")
def opener(
    case: Case,
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
) -> Opener:
    """Opens a fresh engine of the case; skips where the processor lacks the precision."""
    sample = request.getfixturevalue("sample")
    path = tmp_path_factory.mktemp("engine") / f"engine{case.suffix}"
    if case.suffix == ".safetensors":
        request.getfixturevalue("registered")
        sample.write_safetensors(path)
    elif case.runtime == "tensorrt":
        entry = describe_file(sample.write_plan(path), "engine", "tensorrt", case.precision)
        write_manifest(path.parent, Manifest("sample", 16, Preprocessing(32, 16), (entry,)))
    else:
        write = {".onnx": sample.write_onnx, ".xml": sample.write_xml}[case.suffix]
        write(path, int8=case.precision == "int8")
    precision = None if case.precision in ("f32", "int8") else case.precision

    def make() -> Engine:
        try:
            return open_engine(path, EngineOptions(threads=1, precision=precision), case.runtime)
        except UsageError as error:
            if precision is not None and "no bf16 arithmetic" in str(error):
                pytest.skip(str(error))
            raise

    return make


@pytest.fixture(scope="module")
def engine(opener: Opener) -> Iterator[Engine]:
    with opener() as opened:
        yield opened


def close(a: NDArray[np.float32], b: NDArray[np.float32], case: Case) -> bool:
    return float(np.abs(a - b).max()) <= TOLERANCE[case.precision] * float(np.abs(b).max())


def test_every_runtime_of_the_suffix_table_is_tried_here() -> None:
    tried = {(case.runtime, case.suffix) for case in cases()}
    for row in RUNTIMES.values():
        for suffix in row.opens:
            assert (row.runtime, suffix) in tried
    assert set(SUFFIXES) == {suffix for row in RUNTIMES.values() for suffix in row.opens}


def test_an_engine_says_what_it_is(engine: Engine, case: Case) -> None:
    assert engine.info.runtime == case.runtime
    assert engine.info.precision == case.precision
    assert engine.info.threads == 1
    assert engine.info.version[0].isdigit()
    assert engine.inputs[0].shape == (None, 3, *engine.input_size)
    assert engine.outputs[0].shape[0] is None


def test_an_image_has_the_same_embedding_at_batch_1_odd_large_and_in_any_order(
    engine: Engine, case: Case, images: Images
) -> None:
    batch = images(9, engine.input_size)
    whole = engine.run(batch)
    assert whole.shape == (9, engine.outputs[0].shape[1])
    assert whole.dtype == np.float32
    order = np.random.default_rng(1).permutation(9)
    assert close(engine.run(batch[order]), whole[order], case)
    for start, size in ((0, 1), (4, 3), (2, 5), (1, 2), (0, 7)):  # more sizes than are specialised
        assert close(engine.run(batch[start : start + size]), whole[start : start + size], case)
    assert float(whole.std(axis=0).max()) > 0  # the images do not all look alike to it


def test_an_engine_gives_the_embedding_of_the_formula(
    engine: Engine, case: Case, images: Images, sample: Any
) -> None:
    batch = images(4)
    expected = sample.embed(batch)
    error = float(np.abs(engine.run(batch) - expected).max()) / float(np.abs(expected).max())
    assert error <= {"f32": 1e-5, "bf16": 2e-2, "int8": 3e-2}[case.precision]
    assert case.precision == "f32" or error > 1e-6  # it really runs in fewer bits


def test_the_output_belongs_to_the_caller(engine: Engine, images: Images) -> None:
    first = engine.run(images(2, engine.input_size, seed=1))
    kept = first.copy()
    second = engine.run(images(2, engine.input_size, seed=2))
    assert np.array_equal(first, kept)
    assert not np.shares_memory(first, second)
    first[:] = 0.0  # writable, and nobody else's
    assert np.array_equal(engine.run(images(2, engine.input_size, seed=2)), second)


def test_the_input_is_left_as_it_is_and_may_be_read_only_or_strided(
    engine: Engine, case: Case, images: Images
) -> None:
    batch = images(2, engine.input_size)
    kept = batch.copy()
    expected = engine.run(batch)
    batch.flags.writeable = False
    assert np.array_equal(engine.run(batch), expected)
    assert np.array_equal(batch, kept)
    strided = np.asfortranarray(kept)
    assert close(engine.run(strided), expected, case)


WRONG_INPUTS = {
    "float64": (lambda x: x.astype(np.float64), "float32 array, not float64"),
    "uint8": (lambda x: x.astype(np.uint8), "float32 array, not uint8"),
    "no array": (lambda x: x.tolist(), "float32 array, not list"),
    "one image without its batch": (lambda x: x[0], "not 3 dimensions"),
    "flattened": (lambda x: x.reshape(2, -1), "not 2 dimensions"),
    "empty": (lambda x: x[:0], "batch is empty"),
    "four channels": (lambda x: np.concatenate([x, x[:, :1]], axis=1), r"got 2x4x.* \(channels\)"),
    "channels last": (lambda x: np.moveaxis(x, 1, -1), r"wrong input size.*\(channels\)"),
    "transposed": (lambda x: np.swapaxes(x, 2, 3), r"wrong input size.*\(height\)"),
    "too wide": (lambda x: np.concatenate([x, x], axis=3), r"wrong input size.*\(width\)"),
    "NaN": (lambda x: np.where(np.arange(2)[:, None, None, None] == 1, np.nan, x), "image 1 "),
    "infinity": (lambda x: np.where(x > 1, np.inf, x), "NaN or infinity"),
}


@pytest.mark.parametrize("wrong", WRONG_INPUTS)
def test_a_wrong_input_is_refused_in_one_line(engine: Engine, images: Images, wrong: str) -> None:
    change, message = WRONG_INPUTS[wrong]
    value = change(images(2, engine.input_size))
    if wrong in ("NaN", "infinity"):
        value = value.astype(np.float32)
    with pytest.raises(InputError, match=message) as caught:
        engine.run(value)
    assert "\n" not in str(caught.value)


def test_an_embedding_that_is_not_finite_is_refused(
    engine: Engine, case: Case, images: Images
) -> None:
    if case.precision != "f32":
        pytest.skip("fewer bits may saturate: the embedding stays finite")
    batch = images(2, engine.input_size)
    batch[1] = np.finfo(np.float32).max * np.sign(batch[1])
    with pytest.raises(InputError, match="NaN or infinity for 1 of 2"):
        engine.run(batch)


def test_an_engine_closes_twice_and_runs_no_more(opener: Opener, images: Images) -> None:
    with opener() as engine:
        batch = images(1, engine.input_size)
        engine.run(batch)
        engine.close()
        engine.close()
        with pytest.raises(UsageError, match="closed"):
            engine.run(batch)


def test_two_engines_of_one_file_are_independent(
    opener: Opener, engine: Engine, case: Case, images: Images
) -> None:
    batch = images(3, engine.input_size)
    expected = engine.run(batch)
    with opener() as other:
        assert close(other.run(batch), expected, case)
    assert close(engine.run(batch), expected, case)
