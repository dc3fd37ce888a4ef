"""Searches on real engines of a small network: what is built, kept in the bundle and picked. No
time is asserted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

from edgereid.bench.latency import Samples
from edgereid.bundle import Bundle
from edgereid.cli.main import main
from edgereid.engines.open import open_engine
from edgereid.errors import InputError, UsageError
from edgereid.export.options import ExportOptions
from edgereid.export.repair.options import RepairOptions
from edgereid.images import load_batch
from edgereid.search import export as searched
from edgereid.search import final, parts
from edgereid.search.bundle import PickOptions, pick, record_of, records
from edgereid.search.choice import Choice
from edgereid.search.engine_rig import EngineRig, Setup, _cost
from edgereid.search.evidence import Size, Source, from_training, gather
from edgereid.search.options import SearchOptions
from edgereid.search.outcome import Outcome, Record
from edgereid.search.rig import Effort

TARGETS = ("onnxruntime", "openvino")
SHORT = Effort(0.02, 8)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Races too short to mean anything: here only what is built matters."""
    monkeypatch.setattr(parts, "GLANCE", SHORT)
    monkeypatch.setattr(parts, "THOROUGH", SHORT)
    monkeypatch.setattr(final, "THOROUGH", SHORT)
    monkeypatch.setattr(final, "LONG", SHORT)


def options(model_file: Path, data: Path, out: Path, target: str) -> ExportOptions:
    return ExportOptions(
        network=str(model_file),
        out=out,
        int8=True,
        target=target,
        calibration=data,
        images=12,
        threads=1,
    )


@pytest.fixture(scope="module")
def plain(model_file: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Exported without a search, for both runtimes, weights rounded to nearest: learned rounding
    makes up for the layers before, so that one layer in float may move the embedding more."""
    out = tmp_path_factory.mktemp("plain") / "bundle"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(searched, "run_search", None)
        asked = options(model_file, data, out, "auto")
        nearest = replace(asked, repairs=RepairOptions(rounding="nearest"))
        return searched.export_bundle(nearest)


@pytest.fixture
def rig(plain: Bundle, data: Path, request: pytest.FixtureRequest) -> Iterator[EngineRig]:
    from edgereid.calibration.table import CalibrationTable

    table = CalibrationTable.load(plain.directory / "calibration.json")
    setup = Setup(request.param, plain.directory, table, plain.manifest.preprocessing, 1)
    with gather(Source(data, calibrated=4)) as evidence, EngineRig(setup, evidence) as found:
        yield found


@pytest.mark.parametrize("rig", TARGETS, indirect=True)
def test_engines_of_choices_are_built_timed_and_compared(rig: EngineRig) -> None:
    units = rig.units
    assert units == 4
    assert rig.arithmetics[0] == "f32"
    choices = [Choice("f32", kept, units) for kept in ((0, 1, 2, 3), (), (0,), (1, 3))]
    costs = rig.race(choices, SHORT)
    assert costs[0].value == 1.0
    assert all(c.low <= c.value <= c.high and c.ms > 0 for c in costs)
    errors = [rig.agreement(c).error for c in choices]
    assert errors[0] == 0.0
    assert errors[1] > errors[2] > 0
    assert errors[1] > errors[3] > 0
    drop = rig.drop(choices[1], 0.05)
    assert drop is not None
    assert drop.high >= drop.points
    assert drop.people == 12
    unchanged = rig.drop(choices[0], 0.05)
    assert unchanged is not None
    assert (unchanged.points, unchanged.high) == (0.0, 0.0)


@pytest.mark.parametrize("rounds", [1, 2, 5, 7, 8, 30])
def test_a_few_rounds_on_a_busy_machine_show_nothing(rounds: int) -> None:
    """Below six rounds even their whole range misses the median in more than one case of twenty."""
    first = Samples(((1_000_000,),) * rounds, (), (), "time")
    other = Samples(((500_000,),) * rounds, (), (), "time")
    cost = _cost(first, other)
    assert cost.value == pytest.approx(0.5)
    assert cost.faster == (rounds >= 6)
    assert cost.low > 0
    assert (_cost(first, first).low, _cost(first, first).high) == (1.0, 1.0)


def test_people_of_the_test_set_are_never_judged_on(data: Path) -> None:
    with gather(Source(data, calibrated=6)) as evidence:
        assert evidence.dataset is not None
        files = [*evidence.probe, *(r.path for r in evidence.dataset.query)]
        files += [r.path for r in evidence.dataset.gallery]
        assert {f.parent.name for f in files} == {"bounding_box_train"}
        assert evidence.people == tuple(range(1, 13))
        assert "trained on these people" in evidence.words
        queries = {r.path for r in evidence.dataset.query}
        assert queries.isdisjoint(r.path for r in evidence.dataset.gallery)
        for query in evidence.dataset.query:
            assert any(
                r.pid == query.pid and r.camid != query.camid for r in evidence.dataset.gallery
            )


def test_images_that_calibration_saw_are_left_out_and_the_choice_is_by_seed() -> None:
    from edgereid.data.types import ImageRecord, ReidDataset

    train = tuple(
        ImageRecord(Path(f"{pid}_{cam}.jpg"), pid, cam)
        for pid in range(1, 101)
        for cam in (1, 2, 3)
    )
    dataset = ReidDataset("made", Path("made"), train, (), ())
    seen = {Path(f"{pid}_1.jpg") for pid in range(1, 51)}
    evidence = from_training(dataset, seen, 0, Size(people=30))
    assert len(evidence.people) == 30
    assert evidence.dataset is not None
    used = {r.path for r in (*evidence.dataset.query, *evidence.dataset.gallery)}
    assert not used & seen
    assert evidence == from_training(dataset, seen, 0, Size(people=30))
    assert evidence.people != from_training(dataset, seen, 1, Size(people=30)).people
    alone = replace(dataset, train=train[::3])
    with pytest.raises(InputError, match="two cameras"):
        from_training(alone, set(), 0)


def test_sensitivity_leaves_out_what_the_bundle_was_calibrated_on_whatever_its_own_seed(
    plain: Bundle, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgereid.calibration.images import choose_images
    from edgereid.search import analysis

    class GatheredError(Exception):
        """Stops here: what follows measures."""

    def stop(source: Source, size: Size) -> None:
        with gather(source, size) as evidence:
            raise GatheredError(evidence)

    monkeypatch.setattr(analysis, "gather", stop)
    chosen = analysis.SensitivityOptions(str(plain.directory), "openvino", data, threads=1, seed=7)
    with pytest.raises(GatheredError) as found:
        analysis.analyse(chosen)
    dataset = found.value.args[0].dataset
    judged = {r.path for r in (*dataset.query, *dataset.gallery)}
    assert judged.isdisjoint(choose_images(data, 12, seed=0).paths)


def test_sensitivity_does_not_guess_which_images_a_given_table_saw(
    plain: Bundle, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgereid.search import analysis

    class GatheredError(Exception):
        """Stops here: what follows measures."""

    def stop(source: Source, size: Size) -> None:
        raise GatheredError(source)

    monkeypatch.setattr(analysis, "gather", stop)
    given = tmp_path / "given"
    shutil.copytree(plain.directory, given)
    manifest = json.loads((given / "manifest.json").read_text("utf-8"))
    manifest["provenance"]["calibration"] |= {"method": "given", "seed": None, "images": None}
    (given / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    chosen = analysis.SensitivityOptions(str(given), "openvino", data, threads=1, seed=7)
    with pytest.raises(GatheredError) as found:
        analysis.analyse(chosen)
    source = found.value.args[0]
    assert (source.calibrated, source.chosen_by) == (0, 7)


def test_a_folder_without_labels_gives_crops_that_calibration_did_not_see(data: Path) -> None:
    folder = data / "bounding_box_train"
    with gather(Source(folder, calibrated=4)) as evidence:
        assert evidence.dataset is None
        assert "mAP was not measured" in evidence.words
        assert len(evidence.probe) == 68


@pytest.mark.parametrize("target", TARGETS)
def test_a_searched_bundle_holds_the_front_and_says_what_was_taken_and_why(
    model_file: Path, data: Path, tmp_path: Path, target: str
) -> None:
    out = tmp_path / "bundle"
    bundle = searched.export_searched(
        options(model_file, data, out, target), SearchOptions(max_drop=20.0, minutes=5)
    )
    record = record_of(bundle, "auto")
    assert record.target == target
    assert record.people == tuple(range(1, 13))
    assert not searched.state_file(out, target).exists()
    taken = record.outcome.point
    ((name, report),) = bundle.manifest.provenance["int8"].items()
    assert report["search"]["why"] == record.outcome.why
    assert report["search"]["point"] == record.outcome.taken
    assert ("engine" in name) or taken.choice.is_float
    precision = bundle.manifest.precision[name]
    for number in taken.choice.kept:
        for node in record.units[number].nodes:
            assert precision[node] == taken.choice.arithmetic
            assert taken.choice.is_float or "by the search" in report["float_layers"][node]
    crops = load_batch(sorted((data / "query").iterdir())[:4], bundle.manifest.preprocessing)
    with open_engine(out / name) as engine:
        assert engine.run(crops).shape == (4, 6)


def with_front(plain: Bundle, target: str, kept: tuple[tuple[int, ...], ...]) -> Record:
    """A front of made-up figures, for what is built of it."""
    from edgereid.export.graph import Graph
    from edgereid.export.int8 import load_graph
    from edgereid.export.policy import POLICIES
    from edgereid.search.measured import Agreement, Cost
    from edgereid.search.outcome import Part, Point
    from edgereid.search.units import units_of

    graph: Graph = load_graph(plain.directory / "model.onnx")
    units = units_of(graph, POLICIES[target])
    points = tuple(
        Point(
            Choice("f32" if target == "onnxruntime" else "bf16", k, len(units)),
            Cost(0.5 + 0.1 * i, 0.4 + 0.1 * i, 0.6 + 0.1 * i, 1.0),
            Agreement(0.1 - 0.01 * i, 0.99, 0.98),
            None,
            None if i else True,
        )
        for i, k in enumerate(kept)
    )
    alone = (Part(0, 1, Cost(1.1, 1.0, 1.2, 1.0), 0.4),)
    outcome = Outcome(points, 0, "made up", 0.3, "nothing", alone, None, True, 1.0)
    return Record(target, units, (1, 2), outcome)


@pytest.fixture
def carrying(plain: Bundle, tmp_path: Path, request: pytest.FixtureRequest) -> Bundle:
    """The plain bundle with a made-up front of three points."""
    import shutil

    from edgereid.bundle import write_manifest
    from edgereid.search.build import write_record

    folder = tmp_path / "carrying"
    shutil.copytree(plain.directory, folder)
    record = with_front(plain, request.param, ((), (0, 2), (0, 1, 2, 3)))
    file = write_record(folder, record)
    manifest = replace(plain.manifest, files=(*plain.manifest.files, file))
    return write_manifest(folder, manifest)


@pytest.mark.parametrize("carrying", TARGETS, indirect=True)
@pytest.mark.parametrize("point", [0, 1, 2])
def test_any_point_of_a_front_is_put_in_the_engines_place(
    carrying: Bundle, tmp_path: Path, point: int
) -> None:
    record = record_of(carrying, "auto")
    if record.target == "openvino" and not _has_bf16():
        pytest.skip("this processor has no bf16 arithmetic")
    out = tmp_path / "picked"
    bundle = pick(PickOptions(carrying.directory, point, out=out, threads=1))
    choice = record.outcome.points[point].choice
    own = "engine.onnx" if record.target == "onnxruntime" else "engine.xml"
    name = "model.onnx" if choice.key == "f32:all" else own
    reports = bundle.manifest.provenance["int8"]
    assert reports[name]["search"]["point"] == point
    precision = bundle.manifest.precision[name]
    for number, unit in enumerate(record.units):
        wanted = choice.arithmetic if number in choice.kept else "int8"
        assert {precision[node] for node in unit.nodes} == {wanted}
    if point == 1:
        assert "40.0% of the embedding error" in reports[name]["float_layers"]["stem"]
        assert reports[name]["float_layers"]["expand"] == "kept in float by the search"
    with open_engine(out / name) as engine:
        wanted = {0: "int8", 1: "int8", 2: choice.arithmetic}[point]
        assert engine.info.precision == wanted
        if record.target == "openvino":
            assert engine.info.details["float_precision"] == "bf16"
    others = {f.name for f in carrying.manifest.files} - {own, "engine.bin"}
    assert others <= {f.name for f in bundle.manifest.files}
    again = pick(PickOptions(out, 0, overwrite=True, threads=1))  # and back, in place
    assert set(again.manifest.precision) == set(carrying.manifest.precision)


def _has_bf16() -> bool:
    import openvino as ov

    return "BF16" in ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")


@pytest.mark.parametrize("carrying", ["onnxruntime"], indirect=True)
def test_a_pick_that_cannot_be_is_refused(carrying: Bundle, plain: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="0 to 2 are"):
        pick(PickOptions(carrying.directory, 3, out=tmp_path / "x"))
    with pytest.raises(UsageError, match="--out DIR"):
        pick(PickOptions(carrying.directory, 1))
    with pytest.raises(UsageError, match="fronts for onnxruntime"):
        pick(PickOptions(carrying.directory, 1, "openvino", tmp_path / "x"))
    with pytest.raises(InputError, match="holds no front"):
        records(plain)


@pytest.mark.parametrize("carrying", ["onnxruntime"], indirect=True)
def test_the_command_prints_draws_and_picks(
    carrying: Bundle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    folder, plot = str(carrying.directory), tmp_path / "front.svg"
    assert main(["export", folder, "--pareto", "--svg", str(plot)]) == 0
    printed = capsys.readouterr().out
    assert "onnxruntime, Pareto front" in printed
    assert "* 0 all INT8, rest in f32" in " ".join(printed.split())
    assert plot.read_text().lstrip().startswith("<?xml")
    assert main(["export", folder, "--pareto", "--json"]) == 0
    fronts = json.loads(capsys.readouterr().out)["fronts"]
    assert len(fronts["onnxruntime"]["points"]) == 3
    out = str(tmp_path / "two")
    assert main(["export", folder, "--pick", "1", "--out", out, "--threads", "1"]) == 0
    assert "engine.onnx" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", ["export dslnet --int8 --out x", "sensitivity dslnet --target openvino"]
)
def test_a_seed_below_zero_is_refused_in_one_line(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), "--seed", "-1"]) == UsageError.exit_code
    assert "--seed -1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (["dslnet", "--max-drop", "0.3"], 2),  # without --int8
        (["dslnet", "--int8", "--max-drop", "-1"], 2),
        (["dslnet", "--int8", "--max-drop", "0.3", "--target", "tensorrt"], 2),
        (["dslnet", "--int8", "--max-drop", "0.3", "--pick", "1"], 2),
        (["dslnet", "--search-minutes", "3"], 2),
        (["nowhere", "--pareto"], 2),
        (["nowhere", "--pick", "1"], 2),
    ],
)
def test_flags_that_do_not_go_together_are_refused_at_once(flags: list[str], code: int) -> None:
    assert main(["export", *flags]) == code


def test_a_file_that_states_no_precision_we_know_is_refused(
    model_file: Path, tmp_path: Path
) -> None:
    import onnx

    from edgereid.engines.hints import FLOAT_PRECISION

    model = onnx.load(str(model_file))
    model.metadata_props.add(key=FLOAT_PRECISION, value="f8")
    path = tmp_path / "odd.onnx"
    onnx.save(model, str(path))
    with pytest.raises(InputError, match="'f8'"):
        open_engine(path, runtime="openvino")


def test_the_sensitivity_of_every_unit_is_printed_drawn_and_given_as_json(
    plain: Bundle, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    folder, plot = str(plain.directory), tmp_path / "units.svg"
    flags = ["sensitivity", folder, "--calib", str(data), "--threads", "1"]
    assert main([*flags, "--target", "openvino", "--svg", str(plot)]) == 0
    printed = capsys.readouterr().out
    assert "pw +1" in printed
    assert "time saved by INT8" in printed
    assert "all INT8:" in printed
    assert plot.stat().st_size > 1000
    assert main([*flags, "--target", "onnxruntime", "--json", "--no-map"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [u["nodes"] for u in found["units"]][1] == ["pw", "dw"]
    assert found["units"][0]["drop"] is None
    assert sum(u["macs_share"] for u in found["units"]) == pytest.approx(1.0)
    alone = [u["error_alone"] for u in found["units"]]
    assert found["additivity"] == pytest.approx(sum(alone))
    assert all(share >= 0 for share in alone)


def test_sensitivity_of_a_bundle_without_a_table_says_what_to_do(
    model_file: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "float"
    assert main(["export", str(model_file), "--out", str(out), "--calib", str(data)]) == 0
    flags = ["--target", "openvino", "--calib", str(data)]
    assert main(["sensitivity", str(out), *flags]) == InputError.exit_code
    assert main(["sensitivity", str(out), "--target", "tensorrt"]) == UsageError.exit_code


def test_a_stopped_search_says_where_it_goes_on(
    model_file: Path,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Ctrl-C during the last race: the state stays, nothing else; the second run ends the work."""
    out = tmp_path / "bundle"
    calls: list[Any] = []
    race = EngineRig.race

    def stop(self: EngineRig, choices: Any, effort: Effort) -> Any:
        calls.append(choices)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return race(self, choices, effort)

    monkeypatch.setattr(EngineRig, "race", stop)
    flags = ["export", str(model_file), "--int8", "--calib", str(data), "--calib-images", "12"]
    flags += ["--target", "onnxruntime", "--max-drop", "20", "--out", str(out), "--threads", "1"]
    assert main(flags) == 130
    assert "goes on from" in capsys.readouterr().err
    assert searched.state_file(out, "onnxruntime").exists()
    assert not out.exists()
    assert main(flags) == 0
    assert "going on from" in capsys.readouterr().err
    assert calls[2] == calls[1] != calls[0]  # the corners were not timed again
