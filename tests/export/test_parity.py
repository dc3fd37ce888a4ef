"""Parity and the collapse detector, on engines that are plain functions."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from edgereid.errors import InputError
from edgereid.export.checks import measure_agreement, require_varied, spread
from edgereid.export.parity import cosines, measure_parity

IMAGES = np.random.default_rng(0).normal(size=(33, 3, 4, 2)).astype(np.float32)
PROJECT = np.random.default_rng(1).normal(size=(24, 6)).astype(np.float32)


def network(x: NDArray[np.float32]) -> NDArray[np.float32]:
    return (x.reshape(len(x), 24) @ PROJECT + 3).astype(np.float32)


REFERENCE = network(IMAGES)


def test_a_faithful_engine_passes_in_every_batch_size() -> None:
    sizes = set()

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        sizes.add(len(x))
        return network(x) + np.float32(1e-5)

    parity = measure_parity(run, IMAGES, REFERENCE)
    parity.require("model.onnx")
    assert {1, 7, 32} <= sizes
    size = float(np.sqrt((REFERENCE**2).mean()))
    assert size > 1
    assert parity.difference * size == pytest.approx(1e-5, rel=0.5)
    assert parity.to_json()["batches"] == [1, 7, 32]


def wrong_when(condition):  # type: ignore[no-untyped-def]
    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        out = network(x)
        return out[::-1].copy() if condition(x) else out

    return run


@pytest.mark.parametrize(
    "run",
    [
        wrong_when(lambda x: len(x) == 7),
        wrong_when(lambda x: len(x) == 32),
        lambda x: network(x) + (0.01 if len(x) == 1 else 0.0),
        lambda x: network(x) * 1.01,  # the cosine alone would not see it
        lambda x: np.full((len(x), 6), np.nan, np.float32),
        lambda x: np.zeros((len(x), 6), np.float32),
    ],
    ids=["odd", "large", "single", "scale", "nan", "zeros"],
)
def test_an_engine_that_differs_in_one_batch_size_fails(run) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=r"model\.onnx does not agree with the network"):
        measure_parity(run, IMAGES, REFERENCE).require("model.onnx")


def test_an_engine_that_depends_on_the_order_fails() -> None:
    place = {image.tobytes(): i for i, image in enumerate(IMAGES)}

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        out = network(x)
        steps = [place[b.tobytes()] - place[a.tobytes()] for a, b in itertools.pairwise(x)]
        return out if all(s == 1 for s in steps) else out + np.float32(0.1)

    with pytest.raises(InputError, match="does not agree"):
        measure_parity(run, IMAGES, REFERENCE).require("model.onnx")


def test_the_cosine_of_rows_that_have_none_is_zero() -> None:
    a = np.array([[1, 0], [0, 0], [np.nan, 1], [2, 2]])
    assert cosines(a, np.ones((4, 2))).tolist() == pytest.approx([0.5**0.5, 0, 0, 1])


def test_a_faithful_quantised_engine_passes_the_checks() -> None:
    noise = np.random.default_rng(2).normal(size=REFERENCE.shape) * 0.05
    known = {image.tobytes(): row for image, row in zip(IMAGES, REFERENCE + noise, strict=True)}

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        return np.stack([known[i.tobytes()] for i in x]).astype(np.float32)

    agreement = measure_agreement(run, IMAGES, REFERENCE)
    agreement.require("engine.xml")
    assert 0.99 < agreement.centred_cosine < 1
    assert agreement.spread == pytest.approx(1, abs=0.02)
    assert agreement.batch_cosine == pytest.approx(1)


MEAN = REFERENCE.mean(axis=0)


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (lambda x: np.tile(MEAN, (len(x), 1)), "has collapsed"),
        (lambda x: MEAN + 0.1 * (network(x) - MEAN), "has collapsed"),
        (lambda x: 2 * MEAN - network(x), "lost the float network's embeddings"),
        (lambda x: np.roll(network(x), len(x), axis=1) if len(x) == 1 else network(x), "batch"),
        (lambda x: network(x) * np.inf, "NaN or infinity"),
    ],
    ids=["constant", "shrunk", "mirrored", "batch", "infinite"],
)
def test_an_engine_that_no_longer_tells_people_apart_is_refused(run, message) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=message):
        measure_agreement(run, IMAGES, REFERENCE).require("engine.xml")


def test_two_long_embeddings_hide_nothing() -> None:
    """Seen from a mean that two long rows pull away, all others would lie in one direction."""
    least = np.sort(IMAGES.mean(axis=(1, 2, 3)))[-2]

    def long(images: np.ndarray, features: np.ndarray) -> np.ndarray:
        bright = images.mean(axis=(1, 2, 3)) >= least
        return np.where(bright[:, None], 300 * features, features).astype(np.float32)

    reference = long(IMAGES, REFERENCE)
    kept = measure_agreement(lambda x: long(x, network(x)), IMAGES, reference)
    assert kept.centred_cosine == pytest.approx(1)
    assert kept.spread == pytest.approx(1)
    with pytest.raises(InputError, match="lost the float network's embeddings"):
        measure_agreement(
            lambda x: np.where(
                x.mean(axis=(1, 2, 3))[:, None] >= least,
                long(x, network(x)),
                2 * MEAN - network(x),
            ).astype(np.float32),
            IMAGES,
            reference,
        ).require("engine.xml")


def test_a_network_that_gives_everyone_one_embedding_is_refused() -> None:
    require_varied(REFERENCE, "net")
    constant = np.tile(MEAN, (8, 1)) + 1e-5
    with pytest.raises(InputError, match="nearly the same embedding"):
        require_varied(constant, "net")
    with pytest.raises(InputError, match="NaN"):
        require_varied(REFERENCE * np.nan, "net")


def test_spread_is_the_root_mean_squared_distance_from_the_mean() -> None:
    assert spread(np.array([[0.0, 0], [6, 8]])) == pytest.approx(5)
