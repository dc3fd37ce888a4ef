"""Whole evaluations with engines of a known law: protocols, cache, what is left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from edgereid.bundle import describe_file, write_manifest
from edgereid.data import layouts
from edgereid.data.types import ReidDataset
from edgereid.engines.base import EngineOptions, TensorSpec
from edgereid.errors import InputError, IntegrityError, MissingRuntimeError, UsageError
from edgereid.evaluation import identity
from edgereid.evaluation import run as run_module
from edgereid.evaluation.cache import FeatureCache
from edgereid.evaluation.extract import Extraction, extract_paths
from edgereid.evaluation.group import Alone
from edgereid.evaluation.options import EvalOptions, Protocol
from edgereid.evaluation.result import EvalResult
from edgereid.evaluation.run import run_eval
from edgereid.evaluation.subject import Subject
from edgereid.evaluation.table import text
from edgereid.files import dump_json, sha256
from edgereid.images import Preprocessing, load_batch
from edgereid.manifest import Manifest
from edgereid.retrieval import evaluate
from edgereid.retrieval.rerank import ReRanking


class Run:
    """Evaluates a file with an engine of a law; ``engine`` is the last one opened."""

    def __init__(self, folder: Path, law_engine: Any, laws: Any, small: Preprocessing) -> None:
        self.law_engine, self.laws, self.law = law_engine, laws, "stripes"
        self.outputs: tuple[TensorSpec, ...] = ()
        self.path = folder / "net.safetensors"
        self.path.write_bytes(b"weights")
        facts = {"weights": {"sha256": sha256(self.path)}, "preprocessing": small.to_json()}
        self.path.with_suffix(".json").write_text(json.dumps(facts))
        self.data = folder / "data"

    def opener(self, path: Path, options: EngineOptions, runtime: str | None) -> Any:
        self.engine = self.law_engine(self.laws[self.law])
        self.engine.outputs = self.outputs or self.engine.outputs
        return self.engine

    def subject(self) -> Subject:
        return Subject(self.law_engine(self.laws[self.law]), Preprocessing(16, 8))

    def __call__(self, dataset: ReidDataset, **changes: Any) -> EvalResult:
        changes = {"extraction": Extraction(4, 2), **changes}
        options = EvalOptions(self.path, self.data, **changes)
        found = run_eval(options, self.opener, dataset)
        assert found is not None
        return found


@pytest.fixture
def run(tmp_path: Path, law_engine: Any, laws: Any, small: Preprocessing) -> Run:
    return Run(tmp_path, law_engine, laws, small)


def by_hand(dataset: ReidDataset, run: Run, small: Preprocessing, **how: Any) -> Any:
    def side(records: Sequence[Any]) -> tuple[Any, list[int], list[int]]:
        batch = load_batch([r.path for r in records], small)
        return run.laws["stripes"](batch), [r.pid for r in records], [r.camid for r in records]

    return evaluate(*side(dataset.query), *side(dataset.gallery), **how)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("ap", ["precision", "trapezoid"])
def test_the_metrics_are_those_of_the_features_by_hand(
    run: Run, dataset: ReidDataset, small: Preprocessing, metric: str, ap: str
) -> None:
    expected = by_hand(dataset, run, small, metric=metric, ap=ap)
    (row,) = run(dataset, protocol=Protocol(metric, ap)).rows
    assert row.result.mean_ap == expected.mean_ap
    assert row.result.cmc == expected.cmc
    assert np.array_equal(row.result.average_precision, expected.average_precision)
    assert row.result.dropped_queries == 1  # the lonely one
    assert metric in row.result.protocol


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("how", ["mean", "max"])
def test_multi_query_pools_the_features_of_the_person_by_the_camera(
    run: Run, dataset: ReidDataset, small: Preprocessing, metric: str, how: str
) -> None:
    pool = {"mean": np.mean, "max": np.max}[how]
    shots = [replace(r, camid=1) for r in dataset.gallery if r.pid != 6]
    shots += [r for r in dataset.query if r.pid in (6, 99)]
    pooled = replace(dataset, multi_query=tuple(shots))

    def feature(path: Path) -> Any:
        return run.laws["stripes"](load_batch([path], small))[0]

    queries = np.stack(
        [pool([feature(s.path) for s in shots if s.pid == q.pid], 0) for q in dataset.query]
    )
    gallery = np.stack([feature(r.path) for r in dataset.gallery])
    ids = [[(r.pid, r.camid) for r in side] for side in (dataset.query, dataset.gallery)]
    (pids, camids), (g_pids, g_camids) = (zip(*side, strict=True) for side in ids)
    expected = evaluate(queries, pids, camids, gallery, g_pids, g_camids, metric=metric)
    (row,) = run(pooled, protocol=Protocol(metric, multi_query=how)).rows
    assert row.result.mean_ap == pytest.approx(expected.mean_ap, abs=1e-12)
    assert row.images_run == len(shots) + len(dataset.gallery)  # the queries are not needed
    assert f"multi-query ({how})" in row.result.protocol
    with pytest.raises(InputError, match="gt_bbox"):
        run(dataset, protocol=Protocol(multi_query="max"))


def test_re_ranking_is_that_of_the_features_by_hand(
    run: Run, dataset: ReidDataset, small: Preprocessing
) -> None:
    reranking = ReRanking(k1=4, k2=2, weight=0.5)
    expected = by_hand(dataset, run, small, reranking=reranking)
    (row,) = run(dataset, protocol=Protocol(reranking=reranking)).rows
    assert np.array_equal(row.result.average_precision, expected.average_precision)
    assert str(reranking) in row.result.protocol


def test_the_result_file_tells_every_query(run: Run, dataset: ReidDataset) -> None:
    found = run(dataset)
    value = json.loads(dump_json(found.to_json()))
    row = value["rows"][0]
    assert [q["file"] for q in value["queries"]][-1] == "query/lonely.png"
    assert row["per_query"]["query"] == [0, 1, 2, 3, 4, 5]
    assert np.mean(row["per_query"]["average_precision"]) == pytest.approx(row["map"])
    assert np.mean(np.array(row["per_query"]["first_match"]) <= 5) == row["cmc"]["5"]
    assert value["dataset"]["dropped_queries"] == 1
    assert str(dataset.root) not in json.dumps(value)  # paths name people
    assert "queries" not in found.summary()
    assert "per_query" not in found.summary()["rows"][0]


def same(a: EvalResult, b: EvalResult) -> bool:
    pairs = list(zip(a.rows, b.rows, strict=True))
    return all(
        np.array_equal(x.result.average_precision, y.result.average_precision)
        and np.array_equal(x.result.first_match, y.result.first_match)
        for x, y in pairs
    )


def features(run: Run, cache: Path) -> Any:
    """All rows of the only table, in a fixed order."""
    (path,) = cache.glob("*.features")
    data = path.read_bytes()
    header = data[24 : 24 + int.from_bytes(data[20:24], "little")]
    table = FeatureCache(cache).load(json.loads(header)["engine"])
    return {key: table.features[row].tobytes() for key, row in table.rows.items()}


@pytest.mark.parametrize("flip", [False, True])
def test_only_images_that_the_cache_does_not_hold_are_run(
    run: Run, dataset: ReidDataset, tmp_path: Path, flip: bool
) -> None:
    cache, extraction = tmp_path / "cache", Extraction(4, 2, flip)
    part = replace(dataset, gallery=dataset.gallery[:5])
    first = run(part, cache=cache, extraction=extraction).rows[0]
    assert (first.images_run, first.images_cached) == (12, 0)
    second = run(dataset, cache=cache, extraction=extraction)
    assert (second.rows[0].images_run, second.rows[0].images_cached) == (13, 12)
    assert same(second, run(dataset, extraction=extraction))
    third = run(dataset, cache=cache, extraction=extraction)
    assert (third.rows[0].images_run, third.rows[0].images_per_s) == (0, None)
    assert run.engine.images == 4  # it was only warmed up
    assert same(second, third)


def test_the_cache_gives_the_bits_that_a_run_without_it_gives(
    run: Run, dataset: ReidDataset, tmp_path: Path
) -> None:
    pieces, whole = tmp_path / "pieces", tmp_path / "whole"
    for part in (dataset.gallery[:3], dataset.gallery[2:9], dataset.gallery):
        run(replace(dataset, gallery=part), cache=pieces)
    run(dataset, cache=whole)
    assert features(run, pieces) == features(run, whole)


def test_a_cache_of_another_feature_size_is_refused_not_mixed(
    run: Run, dataset: ReidDataset, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    run(replace(dataset, gallery=dataset.gallery[:5]), cache=cache)
    whole = run.laws["stripes"]
    run.laws = {"stripes": lambda batch: whole(batch)[:, :12].copy()}
    run.outputs = (TensorSpec("features", (None, None)),)
    with pytest.raises(InputError, match="holds 24 numbers an image, the engine gives 12"):
        run(dataset, cache=cache)


@pytest.mark.parametrize("law", ["of the batch", "of the place"])
def test_features_that_depend_on_the_batch_are_kept_by_batch(
    run: Run, dataset: ReidDataset, tmp_path: Path, law: str
) -> None:
    run.law = law
    bare = run(dataset)
    assert same(run(dataset, cache=tmp_path / "cache"), bare)
    again = run(dataset, cache=tmp_path / "cache")
    assert (again.rows[0].images_run, same(again, bare)) == (0, True)
    # One image less shifts all that follow: the batches before it (8 images) are kept.
    fewer = replace(dataset, gallery=dataset.gallery[:3] + dataset.gallery[4:])
    with_cache = run(fewer, cache=tmp_path / "cache")
    assert with_cache.rows[0].images_cached == 8
    assert same(with_cache, run(fewer))


def test_a_changed_image_or_engine_is_run_again_and_a_renamed_one_is_not(
    run: Run, dataset: ReidDataset, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    run(dataset, cache=cache)
    first, second = (r.path for r in dataset.gallery[:2])
    first.write_bytes(second.read_bytes() + b"\0")  # another content: bytes after the image's end
    moved = replace(dataset.gallery[1], path=second.rename(second.with_name("moved.png")))
    renamed = replace(dataset, gallery=(dataset.gallery[0], moved, *dataset.gallery[2:]))
    assert run(renamed, cache=cache).rows[0].images_run == 1
    for changes in ({"extraction": Extraction(4, flip=True)}, {"extraction": Extraction(5)}):
        assert run(renamed, cache=cache, **changes).rows[0].images_run == 25
    run.path.write_bytes(b"other weights")
    run.path.with_suffix(".json").unlink()
    with pytest.raises(UsageError, match="euclid"):
        Protocol("euclid")
    assert run(renamed, cache=cache).rows[0].images_run == 25


def test_features_of_edited_code_are_not_taken_from_the_cache(
    run: Run, dataset: ReidDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    run(dataset, cache=cache)
    package = tmp_path / "edgereid"
    (package / "models").mkdir(parents=True)
    digests = {identity.code(package)}
    for name in ("images.py", "models/net.py", "models/net.py"):
        with (package / name).open("a") as file:
            file.write("x = 1\n")
        digests.add(identity.code(package))
    assert len(digests) == 4
    monkeypatch.setattr(identity, "code", lambda: "edited")
    assert run(dataset, cache=cache).rows[0].images_run == 25


def test_one_process_of_each_machine_looks_at_the_dataset_first(
    run: Run, dataset: ReidDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Recorded(Alone):
        def together(self, work: Any) -> Any:
            steps.append("step")
            return super().together(work)

    options = EvalOptions(run.path, run.data)
    monkeypatch.setattr(layouts, "open_dataset", lambda *a: steps.append("opens") or dataset)
    for local, order in (("0", ["step", "opens", "step"]), ("1", ["step", "step", "opens"])):
        steps: list[str] = []
        monkeypatch.setenv("LOCAL_RANK", local)
        job = run_module._shared_job(options, None, Recorded())
        assert (steps, len(job.paths)) == (order, 25)


def loop(path: Path) -> None:
    path.unlink()
    path.symlink_to(path)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-60])


BAD_FILES: dict[str, tuple[Callable[[Path], object], str]] = {
    "zero bytes": (lambda p: p.write_bytes(b""), "is empty (0 bytes)"),
    "no image": (lambda p: p.write_text("404"), "is not an image that can be decoded"),
    "cut": (cut, "is corrupt"),
    "missing": (lambda p: p.unlink(), "not found"),
    "a loop of links": (loop, "Too many levels of symbolic links"),
    "16 bits": (
        lambda p: Image.fromarray(np.zeros((9, 9), dtype=np.uint16)).save(p),
        "more than eight bits a channel",
    ),
}


def test_every_kind_of_bad_file_is_skipped_counted_and_listed_or_ends_in_a_line_that_names_it(
    run: Run, dataset: ReidDataset
) -> None:
    spoilt = dict(zip(BAD_FILES, dataset.gallery[::3], strict=True))
    for kind, record in spoilt.items():
        BAD_FILES[kind][0](record.path)
    found = run(dataset, skip_corrupt=True)
    want = replace(dataset, gallery=tuple(r for r in dataset.gallery if r not in spoilt.values()))
    assert same(found, run(want))
    assert len(found.dataset.gallery) == 12
    for (kind, record), reason in zip(spoilt.items(), found.skipped, strict=True):
        name = record.path.relative_to(dataset.root).as_posix()
        assert BAD_FILES[kind][1] in reason
        assert name in reason
        assert str(dataset.root) not in reason
        assert reason in text(found)
        with pytest.raises(InputError, match=f"{record.path.name}.*{BAD_FILES[kind][1][:8]}"):
            run(replace(want, gallery=(*want.gallery, record)))
    assert "6 unreadable images left out" in text(found)
    assert len(json.loads(dump_json(found.summary()))["skipped"]) == 6


def test_sound_images_of_other_forms_are_evaluated(
    run: Run, dataset: ReidDataset, tmp_path: Path
) -> None:
    """CMYK, grey, a palette, 1x1, and one that EXIF says to rotate (which decoding ignores)."""
    with Image.open(dataset.gallery[0].path) as image:
        exif = image.getexif()
        exif[0x0112] = 6
        forms = {
            "cmyk.jpg": image.convert("CMYK"),
            "grey.png": image.convert("L"),
            "palette.png": image.quantize(8),
            "tiny.png": image.resize((1, 1)),
            "plain.jpg": image.convert("RGB"),
        }
        records = []
        for name, form in forms.items():
            form.save(tmp_path / name)
            records.append(replace(dataset.gallery[0], path=tmp_path / name))
        image.convert("RGB").save(tmp_path / "turned.jpg", exif=exif)
    records.append(replace(dataset.gallery[0], path=tmp_path / "turned.jpg"))
    found = run(replace(dataset, gallery=(*dataset.gallery, *records)), skip_corrupt=True)
    assert found.skipped == ()
    plain, turned = (extract_paths(run.subject(), [r.path], Extraction(1)) for r in records[-2:])
    assert np.array_equal(plain, turned)


def test_a_corrupt_image_is_named_or_skipped_and_listed(
    run: Run, dataset: ReidDataset, tmp_path: Path
) -> None:
    dataset.gallery[4].path.write_bytes(b"no image")
    name = dataset.gallery[4].path.name
    for cache in (None, tmp_path / "cache"):
        with pytest.raises(InputError, match=f"{name} is not an image"):
            run(dataset, cache=cache)
    found = run(dataset, skip_corrupt=True)
    assert len(found.dataset.gallery) == 17
    assert len(found.skipped) == 1
    assert name in found.skipped[0]
    assert name in text(found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"query": ()}, "no query or no gallery"),
        ({"gallery": ()}, "no query or no gallery"),
    ],
)
def test_a_dataset_that_cannot_be_evaluated_is_refused(
    run: Run, dataset: ReidDataset, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(replace(dataset, **change))


def test_no_query_with_a_match_is_an_error(run: Run, dataset: ReidDataset) -> None:
    with pytest.raises(InputError, match="no query has a true match"):
        run(replace(dataset, query=dataset.query[-1:]))


# Bundles


@pytest.fixture
def bundle(tmp_path: Path, small: Preprocessing) -> Path:
    folder = tmp_path / "net-int8"
    folder.mkdir()
    files = []
    for name, role, runtime, precision in (
        ("weights.safetensors", "weights", None, "f32"),
        ("engine.plan", "engine", "tensorrt", "int8"),
        ("calibration.json", "calibration", None, None),
    ):
        (folder / name).write_bytes(name.encode())
        files.append(describe_file(folder / name, role, runtime, precision))
    write_manifest(folder, Manifest("dslnet", 24, small, tuple(files), distance="euclidean"))
    return folder


def refuse_plans(path: Path, options: EngineOptions, runtime: str | None, opener: Any) -> Any:
    if path.suffix == ".plan":
        raise MissingRuntimeError("TensorRT is not installed.")
    return opener(path, options, runtime)


def evaluate_bundle(path: Path, dataset: ReidDataset, run: Run, **changes: Any) -> EvalResult:
    options = EvalOptions(path, run.data, extraction=Extraction(4), **changes)
    found = run_eval(options, lambda *given: refuse_plans(*given, run.opener), dataset)
    assert found is not None
    return found


def test_a_bundle_is_every_engine_and_what_cannot_run_is_left_out(
    bundle: Path, dataset: ReidDataset, run: Run
) -> None:
    found = evaluate_bundle(bundle, dataset, run)
    assert [row.engine.file for row in found.rows] == ["net-int8/weights.safetensors"]
    assert [x.label for x in found.left_out] == ["TensorRT INT8 (net-int8/engine.plan)"]
    assert "euclidean" in found.rows[0].result.protocol  # as the manifest says
    assert "TensorRT is not installed" in text(found)


@pytest.mark.parametrize(
    ("path", "changes", "error", "message"),
    [
        ("", {"runtimes": ("tensorrt",)}, MissingRuntimeError, "not installed"),
        ("engine.plan", {}, MissingRuntimeError, "not installed"),
        ("", {"runtimes": ("openvino",)}, UsageError, r"It has: PyTorch eager FP32 \(net-int8"),
        ("", {"precision": "f16"}, UsageError, "It has: PyTorch"),
        ("", {"runtimes": ("tflite",)}, UsageError, "Known: eager, onnxruntime"),
        ("calibration.json", {}, InputError, "is no engine"),
        ("manifest.json", {}, IntegrityError, "not listed"),
        ("nothing.onnx", {}, InputError, "does not exist"),
        ("..", {}, InputError, "is no bundle"),
    ],
)
def test_paths_that_name_no_engine_are_refused(
    bundle: Path,
    dataset: ReidDataset,
    run: Run,
    path: str,
    changes: dict[str, Any],
    error: type[Exception],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        evaluate_bundle(bundle / path, dataset, run, **changes)


def test_a_changed_bundle_is_refused(bundle: Path, dataset: ReidDataset, run: Run) -> None:
    (bundle / "engine.plan").write_bytes(b"changed")
    with pytest.raises(IntegrityError):
        evaluate_bundle(bundle, dataset, run)


def test_the_folder_of_a_training_run_is_its_final_weights(
    dataset: ReidDataset, run: Run, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for suffix in (".safetensors", ".json"):
        run.path.with_suffix(suffix).rename(folder / f"weights{suffix}")
    run.path = folder
    (row,) = run(dataset).rows
    assert row.engine.file == "weights.safetensors"
    assert row.engine.preprocessing_from == "weights.json beside it"


def test_facts_about_other_weights_are_not_believed(dataset: ReidDataset, run: Run) -> None:
    run.path.write_bytes(b"other weights")
    (row,) = run(dataset).rows
    assert row.engine.preprocessing_from.startswith("default")
    assert row.engine.preprocessing["mean"] == [0.485, 0.456, 0.406]
