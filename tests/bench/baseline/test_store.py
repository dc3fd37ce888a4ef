"""The folder: what is kept comes back, byte by byte, and nothing else is believed."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgereid.bench.baseline.record import Record, record_from_json
from edgereid.bench.baseline.store import Store
from edgereid.errors import InputError, StorageError
from edgereid.files import dump_json


def test_what_is_saved_comes_back_the_oldest_first(
    runs: Any, make_retrieval: Any, tmp_path: Path
) -> None:
    records = [runs.record(retrieval=make_retrieval()), runs.record(), runs.record()]
    store = Store(tmp_path / "new" / "folder")
    store.save(reversed(records))
    assert store.history(records[0].machine, records[0].engine) == records


def test_saving_twice_is_saving_once(runs: Any, tmp_path: Path) -> None:
    store, record = Store(tmp_path), runs.record()
    (first,) = store.save([record])
    before = (first.read_bytes(), first.stat().st_mtime_ns)
    assert store.save([record]) == [first]
    assert (first.read_bytes(), first.stat().st_mtime_ns) == before
    assert len(list(tmp_path.rglob("*.json"))) == 1


def test_the_files_bytes_depend_on_the_record_alone(runs: Any, tmp_path: Path) -> None:
    record = runs.record()
    (one,) = Store(tmp_path / "a").save([record])
    again = record_from_json(json.loads(one.read_text()), "x")
    (two,) = Store(tmp_path / "b").save([again])
    assert one.read_bytes() == two.read_bytes()
    assert one.name == two.name


def test_a_changed_query_is_a_changed_line(runs: Any, make_retrieval: Any) -> None:
    record = runs.record(retrieval=make_retrieval())
    values = list(record.retrieval.average_precision)
    values[17] = 0.123
    other = replace(record, retrieval=replace(record.retrieval, average_precision=tuple(values)))
    a, b = (dump_json(r.to_json()).splitlines() for r in (record, other))
    assert sum(x != y for x, y in zip(a, b, strict=True)) == 1


def test_the_place_says_machine_engine_time_and_commit(runs: Any, tmp_path: Path) -> None:
    record = runs.record(commit="abcdef0123456789")
    (path,) = Store(tmp_path).save([record])
    machine, engine, name = path.relative_to(tmp_path).parts
    assert machine == record.machine
    assert engine.startswith("net-engine.xml-openvino-int8-")
    assert name.startswith("20260102T000100Z-abcdef012345-")


def test_engines_and_machines_are_kept_apart(runs: Any, tmp_path: Path) -> None:
    record = runs.record()
    four = replace(record, engine=replace(record.engine, threads=4))
    elsewhere = replace(record, machine="ba9876543210")
    store = Store(tmp_path)
    store.save([record, four, elsewhere])
    assert store.history(record.machine, record.engine) == [record]
    assert store.history(record.machine, four.engine) == [four]
    assert {e.threads for e in store.engines(record.machine)} == {2, 4}


def test_another_version_of_the_runtime_is_the_same_engine(runs: Any, tmp_path: Path) -> None:
    record = runs.record()
    newer = replace(runs.record(), engine=replace(record.engine, version="2027.0", bytes=1))
    store = Store(tmp_path)
    store.save([record, newer])
    assert len(store.history(record.machine, record.engine)) == 2


def test_a_file_name_of_a_hostile_engine_stays_in_the_folder(runs: Any, tmp_path: Path) -> None:
    record = runs.record()
    nasty = replace(record, engine=replace(record.engine, file="../../../etc/passwd", runtime="/x"))
    (path,) = Store(tmp_path / "in").save([nasty])
    assert path.resolve().is_relative_to(tmp_path / "in")
    assert len(path.relative_to(tmp_path / "in").parts) == 3


def _not_json(value: dict[str, Any]) -> str:
    return "no json"


def _foreign(value: dict[str, Any]) -> str:
    return "{}"


def _of_another_schema(value: dict[str, Any]) -> str:
    return json.dumps(value | {"schema": 2})


def _without_a_field(value: dict[str, Any]) -> str:
    return json.dumps({k: v for k, v in value.items() if k != "latency"})


def _without_time(value: dict[str, Any]) -> str:
    return json.dumps(value | {"created": "yesterday"})


def _of_another_machine(value: dict[str, Any]) -> str:
    return json.dumps(value | {"machine": "ffffffffffff"})


@pytest.mark.parametrize(
    "damage",
    [_not_json, _foreign, _of_another_schema, _without_a_field, _without_time, _of_another_machine],
)
def test_a_file_that_is_no_record_of_the_engine_is_refused(
    runs: Any, tmp_path: Path, damage: Callable[[dict[str, Any]], str]
) -> None:
    store, record = Store(tmp_path), runs.record()
    (path,) = store.save([record])
    path.write_text(damage(json.loads(path.read_text())))
    with pytest.raises(InputError):
        store.history(record.machine, record.engine)


def test_a_folder_that_is_a_file_is_refused(runs: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="no folder"):
        Store(tmp_path / "file").save([runs.record()])


def test_nothing_kept_is_an_empty_history(runs: Any, tmp_path: Path) -> None:
    record: Record = runs.record()
    assert Store(tmp_path / "none").history(record.machine, record.engine) == []
    assert Store(tmp_path / "none").engines(record.machine) == []
