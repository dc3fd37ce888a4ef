"""Mirror images: as a bundle's manifest says, unless the user says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.bundle import describe_file, write_manifest
from edgereid.data.types import ReidDataset
from edgereid.engines.base import EngineOptions
from edgereid.evaluation.extract import Extraction
from edgereid.evaluation.options import EvalOptions
from edgereid.evaluation.result import Row
from edgereid.evaluation.run import run_eval
from edgereid.evaluation.score import FLIPPED, evaluate_subject
from edgereid.evaluation.subject import Subject
from edgereid.images import Preprocessing, load_batch
from edgereid.manifest import Manifest
from edgereid.retrieval import RetrievalResult, evaluate


class Bundles:
    """Evaluates bundles of one and the same file whose engine has the law "stripes", with and
    without ``flip`` in the manifest."""

    def __init__(self, folder: Path, law_engine: Any, laws: Any, small: Preprocessing) -> None:
        self.folder, self.small = folder, small
        self.law, self.engine_of = laws["stripes"], law_engine

    def path(self, flip: bool) -> Path:
        path = self.folder / f"net-{flip}"
        path.mkdir(exist_ok=True)
        (path / "weights.safetensors").write_bytes(b"weights")
        file = describe_file(path / "weights.safetensors", "weights", None, "f32")
        write_manifest(path, Manifest("dslnet", 24, self.small, (file,), flip=flip))
        return path

    def __call__(
        self, dataset: ReidDataset, flip: bool, asked: bool | None = None, **changes: Any
    ) -> Row:
        def opener(path: Path, options: EngineOptions, runtime: str | None) -> Any:
            return self.engine_of(self.law)

        options = EvalOptions(
            self.path(flip), dataset.root, extraction=Extraction(4, 2, asked), **changes
        )
        found = run_eval(options, opener, dataset)
        assert found is not None
        return found.rows[0]

    def by_hand(self, dataset: ReidDataset, mirrored: bool) -> RetrievalResult:
        def side(records: Any) -> Any:
            batch = load_batch([r.path for r in records], self.small)
            features = self.law(batch)
            if mirrored:
                features = (features + self.law(batch[..., ::-1])) / 2
            return features, [r.pid for r in records], [r.camid for r in records]

        return evaluate(*side(dataset.query), *side(dataset.gallery))


@pytest.fixture
def bundles(tmp_path: Path, law_engine: Any, laws: Any, small: Preprocessing) -> Bundles:
    return Bundles(tmp_path, law_engine, laws, small)


@pytest.mark.parametrize("flip", [False, True])
@pytest.mark.parametrize("asked", [None, False, True])
def test_mirror_images_are_run_as_asked_for_else_as_the_manifest_says(
    bundles: Bundles, dataset: ReidDataset, flip: bool, asked: bool | None
) -> None:
    mirrored = flip if asked is None else asked
    row, want = bundles(dataset, flip, asked), bundles.by_hand(dataset, mirrored)
    np.testing.assert_allclose(row.result.average_precision, want.average_precision, atol=1e-12)
    assert (FLIPPED in row.result.protocol) == mirrored
    assert not np.array_equal(  # the two can be told apart
        bundles.by_hand(dataset, not mirrored).average_precision, want.average_precision
    )


def test_the_cache_tells_features_with_mirror_images_from_those_without(
    bundles: Bundles, dataset: ReidDataset, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    order = [(True, None, 25), (True, False, 25), (False, None, 0), (False, True, 0)]
    for flip, asked, images_run in order:
        cached = bundles(dataset, flip, asked, cache=cache)
        bare = bundles(dataset, flip, asked)
        assert cached.images_run == images_run, (flip, asked)
        assert np.array_equal(cached.result.average_precision, bare.result.average_precision)


def test_an_engine_outside_any_bundle_has_no_mirror_images(
    bundles: Bundles, dataset: ReidDataset, law_engine: Any, small: Preprocessing
) -> None:
    found = evaluate_subject(Subject(law_engine(), small), dataset)
    assert FLIPPED not in found.protocol
    assert found.mean_ap == pytest.approx(bundles.by_hand(dataset, False).mean_ap, abs=1e-12)
