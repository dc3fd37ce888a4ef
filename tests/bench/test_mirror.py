"""Bundles whose embedding is the mean with that of the mirror image, in the bench."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edgereid.bench.latency import LatencyOptions
from edgereid.bench.notes import notes
from edgereid.bench.options import BenchOptions
from edgereid.bench.result import BenchResult
from edgereid.bench.run import run_bench
from edgereid.bundle import Manifest, describe_file, write_manifest
from edgereid.data.types import ReidDataset
from edgereid.engines.base import EngineOptions
from edgereid.evaluation.extract import Extraction
from edgereid.evaluation.score import FLIPPED, evaluate_subject
from edgereid.evaluation.subject import Subject
from edgereid.images import Preprocessing

PREPROCESSING = Preprocessing(64, 32)
SHORT = LatencyOptions(min_time_s=0.0, min_count=2, warmup_s=0.0, max_time_s=1.0)


@pytest.fixture
def lopsided(fake_engine: Any) -> Any:
    """Makes engines that look at an image's left edge, and tell persons apart badly by it."""

    class Lopsided(fake_engine):  # type: ignore[misc]
        def _run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            found: NDArray[np.float32] = super()._run(np.sin(20 * batch[..., :4]))
            return found

    return Lopsided


@pytest.fixture
def bench(tmp_path: Path, lopsided: Any) -> Any:
    def run(dataset: ReidDataset, *, flip: bool) -> BenchResult:
        folder = tmp_path / f"net-{flip}"
        folder.mkdir()
        (folder / "model.onnx").write_bytes(b"model")
        file = describe_file(folder / "model.onnx", "float", "onnxruntime", "f32")
        write_manifest(folder, Manifest("dslnet", 24, PREPROCESSING, (file,), flip=flip))

        def opener(path: Path, options: EngineOptions, runtime: str | None) -> Any:
            return lopsided("onnxruntime", "f32")

        options = BenchOptions((folder,), batches=(4,), latency=SHORT, runtimes=("onnxruntime",))
        return run_bench(options, opener, dataset=dataset)

    return run


@pytest.mark.parametrize("flip", [False, True])
def test_accuracy_is_that_of_the_mean_with_the_mirror_image_where_the_manifest_says_so(
    bench: Any, tiny_dataset: ReidDataset, lopsided: Any, flip: bool
) -> None:
    found = bench(tiny_dataset, flip=flip).rows[0].accuracy
    subject = Subject(lopsided("onnxruntime", "f32"), PREPROCESSING)
    asked = [
        evaluate_subject(subject, tiny_dataset, extraction=Extraction(16, flip=f))
        for f in (flip, not flip)
    ]
    assert found.average_precision == tuple(asked[0].average_precision)
    assert found.average_precision != tuple(asked[1].average_precision)
    assert (FLIPPED in found.protocol) == flip


def test_a_note_says_that_an_embedding_takes_two_runs(
    bench: Any, tiny_dataset: ReidDataset
) -> None:
    result = bench(tiny_dataset, flip=True)
    (said,) = [note for note in notes(result) if "two runs" in note]
    assert "every engine" in said
    assert not any("two runs" in note for note in notes(bench(tiny_dataset, flip=False)))
    row = result.rows[0]
    plain = replace(row.accuracy, protocol=row.accuracy.protocol.replace(FLIPPED, ""))
    other = replace(row, label="other", accuracy=plain)
    (said,) = [n for n in notes(replace(result, rows=(row, other))) if "two runs" in n]
    assert row.label in said
    assert "other" not in said
