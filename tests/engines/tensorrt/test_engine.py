"""The whole path through the fakes: the numbers are ONNX Runtime's, everything else is ours."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from trt_fakes import Fake, installed

from edgereid.bundle import Bundle, Manifest, describe_file, write_manifest
from edgereid.engines.base import EngineOptions
from edgereid.engines.open import open_engine
from edgereid.engines.tensorrt.lanes import MAX_LANES
from edgereid.errors import InputError, UsageError
from edgereid.export.uint8_input import with_uint8_input
from edgereid.images import Preprocessing

Images = Callable[..., NDArray[np.float32]]
Open = Callable[..., Any]
TRUST = EngineOptions(trust=True)


def test_a_batch_of_any_size_gives_the_embeddings_of_the_formula(
    opened: Open, images: Images, sample: Any
) -> None:
    engine = opened([(1, 4, 8)])
    for count in (1, 3, 7, 8, 9, 19):
        for turn in range(4):  # before and after the graph is captured
            batch = images(count, seed=turn)
            np.testing.assert_allclose(engine.run(batch), sample.embed(batch), atol=1e-4)


def test_a_plan_that_takes_bytes_is_given_bytes(
    fake: Fake, sample: Any, images: Images, plan_bytes: Callable[[Any], bytes], tmp_path: Path
) -> None:
    pre = Preprocessing(32, 16)
    path = tmp_path / "engine.plan"
    path.write_bytes(plan_bytes(with_uint8_input(sample.onnx(), pre)))
    with open_engine(path, TRUST) as engine:
        assert (engine.inputs[0].dtype, engine.input_size) == ("uint8", (32, 16))
        for count in (11, 1, 5):  # in two launches and in one
            pixels = np.random.default_rng(count).integers(0, 256, (count, 32, 16, 3), np.uint8)
            scaled = (pixels / 255 - np.array(pre.mean)) / np.array(pre.std)
            want = sample.embed(scaled.transpose(0, 3, 1, 2).astype(np.float32))
            for _ in range(3):  # the last by a graph
                np.testing.assert_allclose(engine.run(pixels), want, atol=1e-4)
        assert fake.gpu.executables
        with pytest.raises(InputError, match="takes a uint8 array, not float32"):
            engine.run(images(1))


def test_several_profiles_serve_the_batches_they_are_for(
    opened: Open, images: Images, sample: Any
) -> None:
    engine = opened([(2, 2, 3), (6, 8, 8)])  # 1 and 4 to 5 are in none
    for count in (1, 3, 5, 6, 8, 17, 18):
        for turn in range(3):
            batch = images(count, seed=turn)
            np.testing.assert_allclose(engine.run(batch), sample.embed(batch), atol=1e-4)


def test_shapes_of_two_profiles_take_turns(
    fake: Fake, opened: Open, images: Images, sample: Any
) -> None:
    engine = opened([(1, 2, 4), (6, 8, 8)])
    for count in (8, 1, 2, 7, 3, 6, 1, 8, 12):
        batch = images(count, seed=count)
        np.testing.assert_allclose(engine.run(batch), sample.embed(batch), atol=1e-4)
    if fake.world.api.release == "8.6":
        assert fake.alive().count("IExecutionContext") == 2  # one a profile


def test_a_batch_below_the_minimum_is_filled_with_its_last_image(
    opened: Open, images: Images, sample: Any
) -> None:
    engine = opened([(4, 4, 8)])
    batch = images(3)
    np.testing.assert_allclose(engine.run(batch), sample.embed(batch), atol=1e-4)
    fed = engine._lanes._lanes[-1]._images.array
    assert fed.shape[0] == 4
    assert np.array_equal(fed[3], batch[2])


def test_what_fills_a_batch_does_not_show_in_the_result(opened: Open, images: Images) -> None:
    engine = opened([(4, 4, 8)])
    first, second = images(2, seed=1), images(2, seed=2)
    expected = engine.run(first)
    engine.run(images(4, seed=3))  # leaves other images behind
    engine.run(second)
    assert np.array_equal(engine.run(first), expected)


def test_a_plan_of_one_batch_size_takes_that_size_only(
    opened: Open, images: Images, sample: Any
) -> None:
    engine = opened(batch=2)
    assert engine.inputs[0].shape == (2, 3, 32, 16)
    np.testing.assert_allclose(engine.run(images(2)), sample.embed(images(2)), atol=1e-4)
    with pytest.raises(InputError, match=r"takes 2x3x32x16, got 3x3x32x16 \(batch size\)"):
        engine.run(images(3))


def test_many_batch_sizes_keep_a_bounded_number_of_contexts(
    fake: Fake, opened: Open, images: Images, sample: Any
) -> None:
    engine = opened([(1, 4, 16)])
    used = []
    for count in (*range(1, 12), 3, 1, 11):
        batch = images(count, seed=count)
        np.testing.assert_allclose(engine.run(batch), sample.embed(batch), atol=1e-4)
        used.append(fake.gpu.used)
        contexts = fake.alive().count("IExecutionContext")
        # Before TensorRT 9 no two contexts can have the one profile.
        assert contexts <= (1 if fake.world.api.release == "8.6" else MAX_LANES)
    assert max(used) < 8 * 16 * 3 * 32 * 16 * 4 + 2**17  # eight batches of 16 and the scratch


def test_contexts_share_their_scratch_memory(fake: Fake, opened: Open, images: Images) -> None:
    engine = opened([(1, 4, 8)])
    for count in (1, 2, 3, 4):
        engine.run(images(count))
    scratch = engine.info.details["device_memory_bytes"]
    sizes = [b.size for b in fake.gpu.blocks.values() if b.kind == "device"]
    assert sizes.count(scratch) == 1
    assert all(b.kind in ("device", "pinned") for b in fake.gpu.blocks.values())


def test_nothing_is_copied_from_memory_that_is_not_pinned(
    fake: Fake, opened: Open, images: Images
) -> None:
    engine = opened()
    for count in (1, 9, 3):
        engine.run(images(count))
    assert fake.gpu.pageable_copies == 0


def test_the_engine_says_what_it_is_and_what_it_runs_on(fake: Fake, opened: Open) -> None:
    engine = opened([(1, 4, 8), (8, 8, 16)])
    info = engine.info
    assert (info.runtime, info.version) == ("tensorrt", fake.trt.__version__)  # type: ignore[union-attr]
    assert (info.precision, info.threads) == ("unknown", 1)  # no manifest says
    assert info.details == {
        "device": "Orin",
        "compute_capability": "8.7",
        "device_memory_bytes": 65536,
        "profiles": [
            {"min": [1, 3, 32, 16], "opt": [4, 3, 32, 16], "max": [8, 3, 32, 16]},
            {"min": [8, 3, 32, 16], "opt": [8, 3, 32, 16], "max": [16, 3, 32, 16]},
        ],
        "cuda_graph": {"batches": [], "without": None},
        "plan_header_version": ".".join([*fake.world.api.version.split("."), "0"][:4]),
        "cuda_bindings": "cuda.bindings.runtime",
    }
    assert str(engine.inputs[0]) == "Nx3x32x16"
    assert str(engine.outputs[0]) == "Nx16"


def test_the_precision_is_what_the_manifest_says(
    fake: Fake, sample: Any, images: Images, tmp_path: Path
) -> None:
    path = in_bundle(sample.write_plan(tmp_path / "engine.plan"), "f16")
    with open_engine(path) as engine:  # vouched for: no trust needed
        assert engine.info.precision == "f16"
        assert engine.run(images(3)).shape == (3, 16)


def in_bundle(path: Path, precision: str | None) -> Path:
    entry = describe_file(path, "engine", "tensorrt", precision)
    write_manifest(path.parent, Manifest("sample", 16, Preprocessing(32, 16), (entry,)))
    return path


def test_the_bytes_that_run_are_those_that_were_checked(
    fake: Fake, sample: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = in_bundle(sample.write_plan(tmp_path / "engine.plan"), "f16")
    checked = Bundle.verify

    def verify_then_swap(self: Bundle) -> None:
        checked(self)
        sample.write_plan(path, [(1, 1, 1)])

    monkeypatch.setattr(Bundle, "verify", verify_then_swap)
    with pytest.raises(Exception, match="is not the file its manifest vouches for") as caught:
        open_engine(path)
    assert type(caught.value).__name__ == "IntegrityError"


@pytest.mark.parametrize(
    ("cuda", "module"),
    [("cudart", "cuda.cudart"), ("cudart-11", "cuda.cudart")],
)
def test_older_cuda_bindings_serve_as_well(
    sample: Any, images: Images, tmp_path: Path, cuda: str, module: str
) -> None:
    with installed("8.6", cuda=cuda) as fake:
        path = sample.write_plan(tmp_path / "engine.engine")
        with open_engine(path, TRUST) as engine:
            assert engine.info.details["cuda_bindings"] == module
            for turn in range(4):
                batch = images(5, seed=turn)
                np.testing.assert_allclose(engine.run(batch), sample.embed(batch), atol=1e-4)
            assert engine.info.details["cuda_graph"]["batches"] == [5]
        assert fake.allocated() == []


# CUDA graphs


def test_a_shape_that_comes_back_is_replayed_from_a_graph(
    fake: Fake, opened: Open, images: Images, sample: Any
) -> None:
    engine = opened()
    engine.run(images(3))
    assert engine.info.details["cuda_graph"]["batches"] == []  # a first run must come before
    engine.run(images(3))
    assert engine.info.details["cuda_graph"] == {"batches": [3], "without": None}
    enqueued = fake.world.executions
    for turn in range(5):
        batch = images(3, seed=turn)
        np.testing.assert_allclose(engine.run(batch), sample.embed(batch), atol=1e-4)
    assert fake.world.executions == enqueued  # the graph alone


def test_graphs_of_shapes_that_made_room_are_no_longer_listed(
    fake: Fake, opened: Open, images: Images
) -> None:
    engine = opened()
    for count in range(1, 8):
        for _ in range(3):
            engine.run(images(count))
    listed = engine.info.details["cuda_graph"]["batches"]
    assert listed == ([7] if fake.world.api.release == "8.6" else [4, 5, 6, 7])
    assert len(fake.gpu.executables) == len(listed)


def test_shapes_that_take_turns_in_one_context_are_not_captured_over_and_over(
    sample: Any, images: Images, tmp_path: Path
) -> None:
    with installed("8.6") as fake:
        path = sample.write_plan(tmp_path / "engine.plan")
        with open_engine(path, TRUST) as engine:
            for turn in range(6):
                batch = images(1 + turn % 2, seed=turn)
                np.testing.assert_allclose(engine.run(batch), sample.embed(batch), atol=1e-4)
            assert engine.info.details["cuda_graph"]["batches"] == []
            assert fake.gpu.executables == {}


def test_graphs_can_be_left_out(fake: Fake, opened: Open, images: Images) -> None:
    engine = opened(options=EngineOptions(trust=True, cuda_graph=False))
    for _ in range(4):
        engine.run(images(2))
    assert engine.info.details["cuda_graph"] == {"batches": [], "without": "not wanted"}
    assert fake.gpu.executables == {}


# Times


def test_a_timed_run_gives_the_same_and_tells_where_the_time_goes(
    opened: Open, images: Images
) -> None:
    engine = opened([(1, 4, 8)])
    for count, launched in ((3, 1), (19, 3)):
        expected = engine.run(images(count))
        out, times = engine.timed_run(images(count))
        assert np.array_equal(out, expected)
        assert times.launches == launched
        assert times.copy_in > times.copy_out > 0  # an image is larger than its embedding
        assert times.compute > 0
        assert times.enqueue > 0


def test_the_times_of_a_run_grow_with_what_is_copied(opened: Open, images: Images) -> None:
    engine = opened([(1, 4, 8)])
    times = {n: engine.timed_run(images(n))[1] for n in (1, 8)}
    assert times[8].copy_in > 4 * times[1].copy_in


def test_events_are_made_for_timed_runs_only(fake: Fake, opened: Open, images: Images) -> None:
    engine = opened()
    engine.run(images(1))
    engine.timed_run(images(1))
    assert fake.gpu.events == {}


# One at a time, and the end


def test_a_second_thread_is_refused_while_one_runs(opened: Open, images: Images) -> None:
    engine = opened()
    caught: list[BaseException] = []

    def meanwhile(launch: Any) -> Any:
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()
        return get(launch)

    def attempt() -> None:
        try:
            engine.run(images(1))
        except BaseException as error:
            caught.append(error)

    get, engine._lanes.get = engine._lanes.get, meanwhile
    assert engine.run(images(2)).shape == (2, 16)
    assert [type(e) for e in caught] == [UsageError]
    assert "another thread is running this engine" in str(caught[0])


def test_threads_may_take_turns(opened: Open, images: Images, sample: Any) -> None:
    engine = opened()
    results: list[NDArray[np.float32]] = []
    for turn in range(3):
        batch = images(2, seed=turn)
        thread = threading.Thread(target=lambda b=batch: results.append(engine.run(b)))
        thread.start()
        thread.join()
    for turn in range(3):
        np.testing.assert_allclose(results[turn], sample.embed(images(2, seed=turn)), atol=1e-4)


def test_closing_frees_everything_contexts_first(
    fake: Fake, opened: Open, images: Images, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = opened()
    for count in (1, 1, 1, 4, 20):
        engine.run(images(count))
    engine.close()
    assert fake.allocated() == []
    assert fake.alive() == []
    engine.close()
    for call in (engine.run, engine.timed_run):
        with pytest.raises(UsageError, match="closed"):
            call(images(1))


def test_an_engine_that_nobody_closes_leaves_nothing_behind(
    fake: Fake, sample: Any, images: Images, tmp_path: Path
) -> None:
    engine = open_engine(sample.write_plan(tmp_path / "engine.plan"), TRUST)
    for _ in range(3):
        engine.run(images(2))
    assert fake.allocated()
    del engine
    assert fake.allocated() == []
    assert fake.alive() == []


def test_two_engines_of_one_plan_know_nothing_of_each_other(
    opened: Open, images: Images, sample: Any
) -> None:
    one, other = opened(), opened()
    one.run(images(2))
    one.close()
    np.testing.assert_allclose(other.run(images(2)), sample.embed(images(2)), atol=1e-4)
