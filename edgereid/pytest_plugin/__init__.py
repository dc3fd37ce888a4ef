"""pytest plugin: tests that fail when an engine no longer recognises people.

    def test_the_int8_engine(assert_accuracy_preserved):
        assert_accuracy_preserved("dslnet-int8/engine.xml")

The fixture runs the gate (``edgereid gate``) with what pytest's configuration says; the function of
the same name takes everything as arguments. Every pytest run of every project of this environment
imports this package, so it imports nothing heavy until an engine is judged.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from edgereid.pytest_plugin.judge import (
    PROPERTY,
    AccuracyAssertion,
    assert_accuracy_preserved,
    fail,
)
from edgereid.pytest_plugin.settings import (
    SETTINGS,
    Settings,
    base_folder,
    flag,
    missing,
    settings_of,
    with_setting,
)

__all__ = ["MARKER", "AccuracyAssertion", "assert_accuracy_preserved"]

MARKER = "edgereid_accuracy"
_FIXTURE = "assert_accuracy_preserved"
_SETTINGS = pytest.StashKey[Settings]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("edgereid", "edgereid: accuracy of engines")
    for name, setting in SETTINGS.items():
        group.addoption(
            flag(name), dest=f"edgereid_{name}", metavar=setting.metavar, help=setting.help
        )
        parser.addini(f"edgereid_{name}", f"{setting.help}; as {flag(name)}", default=None)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        f"{MARKER}(max_map_drop=..., ...): judges an engine's accuracy; the keywords are settings "
        f"for this test. Tests that take {_FIXTURE} have it by themselves.",
    )
    config.stash[_SETTINGS] = settings_of(config)


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by -m
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _FIXTURE in getattr(item, "fixturenames", ()):
            item.add_marker(MARKER)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """A line for every engine judged, those that passed, too."""
    lines = [
        f"{report.nodeid}: {value}"
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "call"
        for name, value in getattr(report, "user_properties", ())
        if name == PROPERTY
    ]
    if lines:
        terminalreporter.section("edgereid: accuracy of engines")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(name=_FIXTURE)
def _assertion(request: pytest.FixtureRequest) -> AccuracyAssertion:
    """assert_accuracy_preserved(engine, reference, dataset, max_map_drop, ...) judges an engine.

    All but the engine default to the marker, the command line and the ini file, in this order.
    """
    settings = request.config.stash[_SETTINGS]
    for marker in reversed(list(request.node.iter_markers(MARKER))):  # the closest one last
        wrong = [repr(value) for value in marker.args] + sorted(set(marker.kwargs) - set(SETTINGS))
        if wrong:
            fail(f"the marker {MARKER} got {wrong[0]}: it takes {', '.join(SETTINGS)}, by name.")
        for name, value in marker.kwargs.items():
            source = f"the marker {MARKER}: {name}"
            try:
                settings = with_setting(settings, name, value, base_folder(request.config), source)
            except pytest.UsageError as error:
                fail(str(error))
    return AccuracyAssertion(settings, request.node.user_properties)


@pytest.fixture(scope="session")
def edgereid_data(pytestconfig: pytest.Config) -> Path:
    """The dataset folder that is configured."""
    return _configured(pytestconfig, "data")


@pytest.fixture(scope="session")
def edgereid_reference(pytestconfig: pytest.Config) -> Path:
    """The reference that is configured."""
    return _configured(pytestconfig, "reference")


def _configured(config: pytest.Config, name: str) -> Path:
    path: Path | None = getattr(config.stash[_SETTINGS], name)
    if path is None:
        fail(missing(name))
    if not path.exists():
        fail(f"edgereid_{name}: {path} does not exist.")
    return path
