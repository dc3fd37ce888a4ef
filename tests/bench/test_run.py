"""Whole runs with fake engines under a fake clock."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.bench.accuracy import measure_accuracies, measure_accuracy
from edgereid.bench.inputs import arrays, crop_files
from edgereid.bench.latency import LatencyOptions
from edgereid.bench.options import BenchOptions
from edgereid.bench.result import read_result, write_result
from edgereid.bench.run import run_bench
from edgereid.bench.verdict import judge
from edgereid.data.types import ReidDataset
from edgereid.engines.base import EngineOptions
from edgereid.errors import InputError, UsageError
from edgereid.evaluation.subject import Subject
from edgereid.images import Preprocessing, load_batch

SHORT = LatencyOptions(min_time_s=0.3, min_count=10, warmup_s=0.01, max_time_s=60.0)
#: By file name and runtime: milliseconds an image, damage.
LAWS = {
    ("float.onnx", "onnxruntime"): (6.0, 0.0),
    ("int8.onnx", "onnxruntime"): (9.0, 0.0),
    ("int8.xml", "openvino"): (2.0, 0.01),
    ("bad.xml", "openvino"): (1.0, 5.0),
}


#: Milliseconds that preparing one image takes.
PREPARING = 0.5


@pytest.fixture
def bench(tmp_path: Path, clock: Any, fake_engine: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    prepared: dict[Any, Any] = {}

    def prepare(files: Any, preprocessing: Preprocessing) -> Any:
        clock.advance(int(len(files) * PREPARING * 1e6))
        key = (tuple(files), preprocessing)
        if key not in prepared:
            prepared[key] = load_batch(files, preprocessing)
        return prepared[key]

    for module in ("inputs", "timing"):
        monkeypatch.setattr(f"edgereid.bench.{module}.load_batch", prepare)

    def run(*names: str, dataset: ReidDataset | None = None, **changes: Any) -> Any:
        for name in names:
            (tmp_path / name).write_bytes(name.encode())

        def opener(path: Path, options: EngineOptions, runtime: str | None) -> Any:
            kind = {".onnx": "onnxruntime", ".xml": "openvino"}[path.suffix]
            ms, damage = LAWS[(path.name, kind)]
            precision = "f32" if "float" in path.name else "int8"
            return fake_engine(kind, precision, clock, ms, damage, batch=changes.get("fixed"))

        options = BenchOptions(
            tuple(tmp_path / name for name in names),
            batches=changes.get("batches", (1, 4)),
            latency=SHORT,
            budget_required=changes.get("budget_required", False),
            data=tmp_path if changes.get("budget_required") else None,
        )
        return run_bench(options, opener, clock, dataset)

    return run


def test_a_run_finds_the_laws_of_its_engines(bench: Any, tiny_dataset: ReidDataset) -> None:
    result = bench("float.onnx", "int8.onnx", "int8.xml", dataset=tiny_dataset)
    labels = [row.label for row in result.rows]
    assert labels == ["ONNX Runtime FP32", "ONNX Runtime INT8", "OpenVINO INT8"]
    reference, slow, fast = result.rows
    assert reference.is_reference
    for batch in (1, 4):
        assert reference.latency[batch].summary.p50_ms == pytest.approx(6.0 * batch)
        assert slow.latency[batch].ratio.value == pytest.approx(6 / 9)
        assert fast.latency[batch].ratio.value == pytest.approx(3.0)
        assert fast.latency[batch].summary.images_per_s == pytest.approx(500.0)
        assert len({len(r.latency[batch].samples.rounds_ns) for r in result.rows}) == 1
        assert fast.end_to_end[batch].summary.p50_ms == pytest.approx((2.0 + PREPARING) * batch)
        assert fast.end_to_end[batch].ratio.value == pytest.approx(6.5 / 2.5)
        assert result.preparation[batch].summary.p50_ms == pytest.approx(PREPARING * batch)
    assert reference.accuracy.rank1 == 1.0
    assert slow.drop.points == pytest.approx(0.0)
    assert result.dataset.dropped_queries == 1  # person 9 was seen by one camera only


def test_a_damaged_engine_breaks_the_budget(bench: Any, tiny_dataset: ReidDataset) -> None:
    result = bench("float.onnx", "bad.xml", dataset=tiny_dataset)
    verdict = judge(result)
    assert result.rows[1].drop.points > 10
    assert verdict.exit_code == 1
    assert any("Do not ship bad.xml" in s for s in verdict.sentences)


def test_a_result_of_a_run_survives_its_file(
    bench: Any, tiny_dataset: ReidDataset, tmp_path: Path
) -> None:
    result = bench("float.onnx", "int8.xml", dataset=tiny_dataset)
    write_result(tmp_path / "r.json", result)
    assert read_result(tmp_path / "r.json") == result
    assert str(tmp_path) not in (tmp_path / "r.json").read_text()  # paths name people


def test_without_data_the_inputs_are_noise_and_nothing_is_shipped(bench: Any) -> None:
    result = bench("float.onnx", "int8.xml")
    assert result.inputs == "noise (no --data)"
    assert result.dataset is None
    assert all(row.accuracy is None and not row.end_to_end for row in result.rows)
    assert judge(result).exit_code == 0
    assert "nothing is recommended" in judge(result).sentences[0]


def test_an_engine_of_fixed_batch_size_is_timed_at_that_size_only(
    bench: Any, tiny_dataset: ReidDataset
) -> None:
    result = bench("float.onnx", "int8.xml", dataset=tiny_dataset, fixed=4)
    assert all(set(row.latency) == {4} for row in result.rows)
    assert result.rows[0].accuracy.rank1 == 1.0
    assert [x.reason for x in result.left_out] == ["this engine takes batches of 4 only."] * 2


def test_batch_sizes_that_no_engine_takes_are_refused(bench: Any) -> None:
    with pytest.raises(UsageError, match="give --batch 3"):
        bench("float.onnx", fixed=3)


def test_a_budget_that_cannot_be_judged_is_refused_before_measuring(
    bench: Any, tiny_dataset: ReidDataset
) -> None:
    with pytest.raises(UsageError, match="float reference"):
        bench("int8.xml", dataset=tiny_dataset, budget_required=True)


@pytest.mark.parametrize(
    "arguments",
    [
        {"paths": ()},
        {"batches": ()},
        {"batches": (0,)},
        {"batches": (100_000,)},
        {"threads": 0},
        {"max_map_drop": -0.1},
        {"budget_required": True},
    ],
)
def test_impossible_options_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        BenchOptions(**{"paths": (Path("x"),), **arguments})


def test_inputs_are_several_different_crops_and_never_zeros(tiny_dataset: ReidDataset) -> None:
    for dataset in (tiny_dataset, None):
        buffers = arrays(dataset, Preprocessing(64, 32), 4, seed=0)
        assert len(buffers) == 4
        assert all(b.shape == (4, 3, 64, 32) and b.dtype == np.float32 for b in buffers)
        assert all(b.std() > 0.1 for b in buffers)
        assert not any(np.array_equal(buffers[0], b) for b in buffers[1:])
        again = arrays(dataset, Preprocessing(64, 32), 4, seed=0)
        assert all(np.array_equal(a, b) for a, b in zip(buffers, again, strict=True))


def test_crops_repeat_only_when_the_gallery_is_too_small(tiny_dataset: ReidDataset) -> None:
    files = [path for part in crop_files(tiny_dataset, 6, seed=1) for path in part]
    assert len(set(files)) == 24  # of 26
    files = [path for part in crop_files(tiny_dataset, 8, seed=1) for path in part]
    assert len(set(files)) == 26


def test_accuracy_does_not_depend_on_how_images_are_batched(
    tiny_dataset: ReidDataset, fake_engine: Any
) -> None:
    preprocessing = Preprocessing(64, 32)
    one = measure_accuracy(fake_engine("eager", "f32"), tiny_dataset, preprocessing, 1)
    for size, fixed in ((7, None), (100, None), (5, 4)):
        engine = fake_engine("eager", "f32", batch=fixed)
        assert measure_accuracy(engine, tiny_dataset, preprocessing, size) == one


def test_each_engine_is_fed_by_its_own_preprocessing(
    tiny_dataset: ReidDataset, fake_engine: Any
) -> None:
    seen: dict[str, set[float]] = {"dark": set(), "bright": set()}
    subjects = []
    for name, std in (("dark", 1.0), ("bright", 0.1)):
        engine = fake_engine("eager", "f32")
        run = engine._run
        engine._run = lambda batch, run=run, name=name: (
            seen[name].add(float(np.ptp(batch))) or run(batch)
        )
        preprocessing = Preprocessing(64, 32, mean=(0.5, 0.5, 0.5), std=(std, std, std))
        subjects.append(Subject(engine, preprocessing))
    measure_accuracies(subjects, tiny_dataset, 8)
    assert max(seen["dark"]) <= 1.0
    assert min(seen["bright"]) > 1.0


def test_a_dataset_without_a_single_match_is_refused_before_measuring(
    bench: Any, tiny_dataset: ReidDataset
) -> None:
    alone = replace(tiny_dataset, query=tiny_dataset.query[-1:])
    with pytest.raises(InputError, match="no query has a match"):
        bench("float.onnx", dataset=alone)


WITHOUT_TORCH = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {"torch", "onnx", "onnxruntime", "openvino", "tensorrt",
                                  "matplotlib", "safetensors"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
import edgereid.bench.accuracy, edgereid.bench.run, edgereid.bench.table, edgereid.bench.notes
import edgereid.bench.report, edgereid.bench.verdict, edgereid.cli.bench
assert not {"torch", "onnxruntime", "matplotlib"} & set(sys.modules)
"""


def test_nothing_here_needs_torch_or_a_runtime_to_be_imported() -> None:
    subprocess.run([sys.executable, "-c", WITHOUT_TORCH], check=True, timeout=60)
