"""Every ``edgereid`` command that the pages on TensorRT print is one that our parser takes."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path

import pytest

from edgereid.cli.main import COMMANDS, build_parser

DOCS = Path(__file__).parents[3] / "docs"
PAGES = ("jetson.md", "inspect.md", "tensorrt.md")
#: What a page writes where the reader puts a value of a form.
PLACES = {"X.Y": "10.3"}
#: The pages print the commands they are about.
ABOUT = {"jetson.md": {"export", "build", "bench", "inspect", "doctor"}, "inspect.md": {"inspect"}}


def commands(text: str) -> list[list[str]]:
    """The arguments of each command in a block, and of each in a line that has a flag."""
    blocks = re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    lines += [x for x in re.findall(r"`([^`\n]+)`", text) if " --" in x and "..." not in x]
    found = []
    for line in lines:
        words = shlex.split(line, comments=True)
        if words and words[0] == "sudo":
            words = words[1:]
        if words and Path(words[0]).name == "edgereid":
            found.append([PLACES.get(word, word) for word in words[1:]])
    return found


def refusal(arguments: list[str]) -> str:
    """Why the parser does not take them; empty when it does."""
    if not arguments or arguments[0] not in COMMANDS:
        return f"no command: {arguments[:1]}"
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            build_parser(arguments[0]).parse_args(arguments)
    except SystemExit:
        return said.getvalue().strip().splitlines()[-1]
    return ""


@pytest.mark.parametrize("page", PAGES)
def test_every_command_of_the_page_parses(page: str) -> None:
    found = commands((DOCS / page).read_text())
    assert {x[0] for x in found} >= ABOUT.get(page, {"build"})
    refused = {" ".join(x): why for x in found if (why := refusal(x))}
    assert not refused


def test_a_wrong_command_is_found() -> None:
    text = (
        "```\nedgereid build a --nosuch 1   # why\nsudo ~/env/bin/edgereid inspect\n"
        "pip install x\nedgereid fly\n```\nand `edgereid gate a --batches`, `edgereid bench ...`"
    )
    said = [refusal(x) for x in commands(text)]
    assert len(said) == 4
    assert "--nosuch" in said[0]
    assert "FILE" in said[1]
    assert said[2] == "no command: ['fly']"
    assert said[3]
