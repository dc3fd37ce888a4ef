"""The gate as JUnit XML: a test case for each measure and check.

What fails and what is undecided is a ``failure``, of the type "fail" or "undecided" (an ``error``
would fit the latter, but readers' schemas do not agree on its name). The form is the one that
Jenkins, GitLab and pytest share: testsuites > testsuite > testcase.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree as ET

from edgereid.bench.gate.result import FAIL, UNDECIDED, GateResult, Measure

_SUITE = "edgereid gate"
#: What XML 1.0 cannot hold, not even escaped.
_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_PROBLEMS = (FAIL, UNDECIDED)


def junit(result: GateResult) -> str:
    """An XML document, declaration included."""
    cases = [(m.name, m.verdict, _words(m)) for m in result.measures]
    cases += [(c.name, c.verdict, c.explanation) for c in result.checks]
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(verdict in _PROBLEMS for _, verdict, _ in cases)),
        "errors": "0",
        "time": f"{result.seconds:.3f}",
    }
    root = ET.Element("testsuites", {"name": _SUITE, **counts})
    stamp = result.created[:19]
    suite = ET.SubElement(
        root, "testsuite", {"name": _SUITE, **counts, "skipped": "0", "timestamp": stamp}
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in _properties(result).items():
        ET.SubElement(properties, "property", {"name": name, "value": _clean(value)})
    for name, verdict, words in cases:
        case = ET.SubElement(
            suite, "testcase", {"classname": "edgereid.gate", "name": name, "time": "0.000"}
        )
        if verdict in _PROBLEMS:
            facts = {"message": _clean(words), "type": verdict}
            ET.SubElement(case, "failure", facts).text = _clean(words)
        else:
            ET.SubElement(case, "system-out").text = _clean(words)
    ET.indent(root)
    return "<?xml version='1.0' encoding='utf-8'?>\n" + ET.tostring(root, "unicode") + "\n"


def _properties(result: GateResult) -> dict[str, str]:
    return {
        "edgereid": result.edgereid,
        "candidate": f"{result.candidate.label} ({result.candidate.file})",
        "reference": f"{result.reference.label} ({result.reference.file})",
        "dataset": result.dataset.name,
        "queries": str(result.dataset.queries),
        "identities": str(result.dataset.identities),
        "gallery": str(result.dataset.gallery),
        "verdict": result.verdict,
    }


def _words(m: Measure) -> str:
    low, high = ("?" if v is None else f"{v:.3f}" for v in (m.low, m.high))
    needed = (
        "" if m.needed_identities is None else f"; {m.needed_identities} identities would settle it"
    )
    return (
        f"lost {m.drop:.3f} {m.unit} (bounds {low} to {high}), budget {m.budget:g}: {m.verdict}; "
        f"{m.explanation}{needed}"
    )


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("?", text)
