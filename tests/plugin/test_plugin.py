"""The plugin in projects of users: each outcome, where settings come from, what an error says."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

pytest_plugins = ["pytester"]

JUDGE = """
def test_engine(assert_accuracy_preserved):
    assert_accuracy_preserved("{engine}", "reference.onnx", "data")
"""
SAME, BLIND = JUDGE.format(engine="same.onnx"), JUDGE.format(engine="blind.onnx")
#: 40 persons settle a budget of mAP, and never one of half a point of Rank-1.
ENOUGH = 'edgereid_max_rank1_drop = "none"\n'


def output(result: pytest.RunResult) -> str:
    return str(result.stdout.str()) + str(result.stderr.str())


def test_an_engine_that_keeps_accuracy_passes(project: Any) -> None:
    result = project(SAME, ini=ENOUGH)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        ["*edgereid: accuracy of engines*", "*::test_engine: pass: lost mAP +0.00 points*"]
    )


def test_an_engine_that_recognises_nobody_fails_with_the_gates_table(project: Any) -> None:
    result = project(BLIND, ini=ENOUGH)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        [
            "candidate: ONNX Runtime FP32 (blind.onnx)",
            "what * reference * candidate * lost * bounds * budget * verdict",
            "mAP, mixed * FAIL",
            "FAIL: mAP, mixed*(exit code 1).",
        ]
    )
    assert "Traceback" not in output(result)
    assert "judge.py" not in output(result)


@pytest.mark.parametrize(
    ("policy", "outcome"), [("fail", "failed"), ("skip", "skipped"), ("xfail", "xfailed")]
)
def test_too_few_queries_end_as_the_user_wants(project: Any, policy: str, outcome: str) -> None:
    result = project(SAME, ini=f'edgereid_undecided = "{policy}"\n')
    result.assert_outcomes(**{outcome: 1})
    assert "undecided: lost mAP" in output(result)
    if policy == "fail":
        result.stdout.fnmatch_lines(["Rank-1: * query identities would settle it (there are 40)*"])


def test_too_few_queries_fail_unless_said_otherwise(project: Any) -> None:
    project(SAME).assert_outcomes(failed=1)


def test_all_but_the_engine_may_come_from_the_ini_file(project: Any) -> None:
    body = """
    def test_engine(assert_accuracy_preserved, edgereid_data, edgereid_reference):
        found = assert_accuracy_preserved("same.onnx")
        assert found.reference.file == edgereid_reference.name == "reference.onnx"
        assert edgereid_data.name == "data"
        assert found.measure("mAP").budget == 0.3
        assert {m.name for m in found.measures} == {"mAP", "mAP, mixed"}
    """
    ini = (
        'edgereid_data = "data"\nedgereid_reference = "reference.onnx"\n'
        'edgereid_max_map_drop = "0.3"\n'
    )
    project(body, ini=ini + ENOUGH).assert_outcomes(passed=1)


def test_the_command_line_overrules_the_ini_file(project: Any) -> None:
    body = """
    def test_engine(assert_accuracy_preserved):
        found = assert_accuracy_preserved("same.onnx")
        assert found.measure("mAP").budget == 0.7
        assert found.options["threads"] == 1
    """
    ini = 'edgereid_data = "nowhere"\nedgereid_max_map_drop = "0.3"\n'
    flags = "--edgereid-data data --edgereid-reference reference.onnx --edgereid-max-map-drop 0.7"
    result = project(body, *flags.split(), "--edgereid-threads", "1", ini=ini + ENOUGH)
    result.assert_outcomes(passed=1)


def test_the_marker_overrules_both_and_the_call_the_marker(project: Any) -> None:
    body = """
    import pytest

    @pytest.mark.edgereid_accuracy(max_map_drop=0.2, max_rank1_drop=None)
    @pytest.mark.parametrize("drop", [None, 0.9])
    def test_engine(assert_accuracy_preserved, drop):
        found = assert_accuracy_preserved("same.onnx", "reference.onnx", "data", max_map_drop=drop)
        assert found.measure("mAP").budget == (0.2 if drop is None else drop)
    """
    project(body, "--edgereid-max-map-drop", "0.7").assert_outcomes(passed=2)


def test_the_plain_function_takes_everything_as_arguments(project: Any) -> None:
    body = """
    import pytest
    from edgereid.data.layouts import open_dataset
    from edgereid.pytest_plugin import assert_accuracy_preserved as judge
    from pathlib import Path

    def test_same():
        found = judge("same.onnx", "reference.onnx", "data", 0.4, None, cache="here")
        assert found.measure("mAP").budget == 0.4
        assert list(Path("here").iterdir())

    def test_opened():
        data = open_dataset(Path("data"))
        assert judge("same.onnx", "reference.onnx", data, 0.4, None).verdict == "pass"

    def test_blind():
        with pytest.raises(pytest.fail.Exception, match="FAIL: mAP, mixed"):
            judge("blind.onnx", "reference.onnx", "data", 0.5, None)

    def test_undecided():
        with pytest.raises(pytest.skip.Exception):
            judge("same.onnx", "reference.onnx", "data", undecided="skip")

    def test_wrong():
        with pytest.raises(pytest.fail.Exception, match="'never'"):
            judge("same.onnx", "reference.onnx", "data", undecided="never")
    """
    project(body, ini='edgereid_data = "nowhere"\n').assert_outcomes(passed=5)


def test_the_references_features_are_kept_between_runs(project: Any) -> None:
    body = """
    def test_engine(assert_accuracy_preserved, request):
        found = assert_accuracy_preserved("same.onnx", "reference.onnx", "data")
        print("RUN", found.images_run["reference"])
    """
    for expected in (120, 0):
        result = project(body, "--edgereid-cache", "features", ini=ENOUGH)
        assert f"RUN {expected}\n" in output(result)
    result = project(body, "--edgereid-cache", "none", ini=ENOUGH)
    assert "RUN 120\n" in output(result)


def test_tests_that_judge_engines_are_chosen_by_the_marker(project: Any) -> None:
    body = f"{SAME}\ndef test_other():\n    pass\n"
    project(body, "-m", "not edgereid_accuracy", "--strict-markers").assert_outcomes(
        passed=1, deselected=1
    )
    project(body, "-m", "edgereid_accuracy", ini=ENOUGH).assert_outcomes(passed=1, deselected=1)


def test_junit_xml_carries_the_verdict(project: Any, pytester: pytest.Pytester) -> None:
    project(SAME, "--junitxml=junit.xml", ini=ENOUGH)
    assert 'name="edgereid_gate" value="pass: lost mAP' in Path("junit.xml").read_text()


@pytest.mark.parametrize(
    ("call", "marker", "message"),
    [
        (
            "'same.onnx', 'reference.onnx'",
            "",
            "no data: give --edgereid-data DIR, or edgereid_data",
        ),
        ("'same.onnx', 'reference.onnx', 'nowhere'", "", "nowhere"),
        ("'none.onnx', 'reference.onnx', 'data'", "", "none.onnx does not exist"),
        ("'same.onnx', 'none.onnx', 'data'", "", "none.onnx does not exist"),
        ("'same.onnx', 'reference.onnx', 'data', -1", "", "max_map_drop -1"),
        ("'same.onnx'", "max_mapdrop=1", "max_mapdrop"),
        ("'same.onnx'", "0.5", "got 0.5"),
        ("'same.onnx'", "max_map_drop='x'", "'x'"),
    ],
)
def test_what_cannot_be_is_one_line(project: Any, call: str, marker: str, message: str) -> None:
    body = f"""
    import pytest

    @pytest.mark.edgereid_accuracy({marker})
    def test_engine(assert_accuracy_preserved):
        assert_accuracy_preserved({call})
    """
    result = project(body)
    counts = result.parseoutcomes()
    assert counts.get("failed", 0) + counts.get("errors", 0) == 1
    lines = [x for x in result.outlines if x.startswith("edgereid: error: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in output(result)


@pytest.mark.parametrize("fixture", ["edgereid_data", "edgereid_reference"])
def test_a_path_that_is_not_there_is_one_line(project: Any, fixture: str) -> None:
    body = f"def test_it({fixture}):\n    pass\n"
    result = project(body, ini=f'{fixture} = "nowhere"\n')
    result.assert_outcomes(errors=1)
    assert any(f"{fixture}: " in x and "nowhere does not exist" in x for x in result.outlines)
    result = project(body)
    assert f"or {fixture} in pyproject.toml" in output(result)


@pytest.mark.parametrize(
    ("flags", "ini", "message"),
    [
        ((), 'edgereid_max_map_drop = "much"\n', "edgereid_max_map_drop 'much'"),
        (("--edgereid-undecided", "never"), "", "--edgereid-undecided 'never'"),
        (("--edgereid-threads", "two"), "", "--edgereid-threads 'two'"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_any_test(
    project: Any, flags: tuple[str, ...], ini: str, message: str
) -> None:
    result = project("def test_it():\n    pass\n", *flags, ini=ini)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert message in output(result)


def test_help_names_every_setting(project: Any) -> None:
    text = output(project("", "--help"))
    for name in ("data", "reference", "max-map-drop", "max-rank1-drop", "undecided", "cache"):
        assert f"--edgereid-{name}" in text
        assert f"edgereid_{name.replace('-', '_')}" in text


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    code = (
        "import json, sys, pytest\n"
        "before = set(sys.modules)\n"
        "import edgereid.pytest_plugin\n"
        "print(json.dumps(sorted(set(sys.modules) - before)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    added = set(json.loads(done.stdout))
    heavy = {"numpy", "torch", "onnx", "onnxruntime", "openvino", "PIL", "scipy", "tabulate"}
    assert not heavy & {name.partition(".")[0] for name in added}
    assert {name for name in added if name.startswith("edgereid")} <= {
        "edgereid",
        "edgereid.errors",
        "edgereid.pytest_plugin",
        "edgereid.pytest_plugin.judge",
        "edgereid.pytest_plugin.settings",
    }


def test_the_package_registers_the_plugin() -> None:
    """As pyproject.toml says, and as installed, unless the installation is older than that."""
    declared = (Path(__file__).parents[2] / "pyproject.toml").read_text()
    assert '[project.entry-points.pytest11]\nedgereid = "edgereid.pytest_plugin"' in declared
    installed = {e.name: e.value for e in metadata.entry_points(group="pytest11")}
    assert installed.get("edgereid", "edgereid.pytest_plugin") == "edgereid.pytest_plugin"
