"""The command line's manners: help, exit codes, one line an error."""

from __future__ import annotations

import errno
import json
import subprocess
import sys

import pytest

from edgereid import __version__
from edgereid.cli import main as cli
from edgereid.errors import (
    EdgeReidError,
    InputError,
    IntegrityError,
    MissingRuntimeError,
    StorageError,
)


def _raise(error: BaseException) -> object:
    class Module:
        HELP = "test"

        @staticmethod
        def configure(parser: object) -> None: ...

        @staticmethod
        def run(args: object) -> int:
            raise error

    return Module


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (InputError("got x\nallowed y"), 3, "edgereid: error: got x allowed y\n"),
        (MissingRuntimeError("install it"), 4, "edgereid: error: install it\n"),
        (IntegrityError("changed"), 5, "edgereid: error: changed\n"),
        (StorageError("full"), 6, "edgereid: error: full\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 6, "the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "a/b"), 3, "no permission for a/b."),
        (KeyboardInterrupt(), 130, "edgereid: interrupted.\n"),
        (
            ModuleNotFoundError("No module named 'openvino'", name="openvino"),
            4,
            "edgereid[openvino]",
        ),
        (ModuleNotFoundError("x", name="onnx.checker"), 4, "edgereid[onnx]"),
        (ModuleNotFoundError("x", name="onnxscript"), 4, "edgereid[export]"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    error: BaseException,
    code: int,
    text: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: _raise(error))
    assert cli.main(["profile"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert text in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "error", [OSError(errno.EIO, "x"), ModuleNotFoundError("y", name="y"), ZeroDivisionError()]
)
def test_a_bug_is_not_hidden(error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli.importlib, "import_module", lambda name: _raise(error))
    with pytest.raises(type(error)):
        cli.main(["profile"])


def test_no_command_and_an_unknown_command_are_wrong_use(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for argv in ([], ["exprot"]):
        with pytest.raises(SystemExit) as stop:
            cli.main(argv)
        assert stop.value.code == 2
    assert "invalid choice: 'exprot'" in capsys.readouterr().err


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"edgereid {__version__}\n"


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_has_help_that_describes_it(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main([command, "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    assert f"usage: edgereid {command}" in out
    assert "--json" in out


def test_help_of_the_program_imports_no_command() -> None:
    code = (
        "import sys, json\nfrom edgereid.cli.main import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stderr))
    assert loaded.isdisjoint(
        {"numpy", "torch", "onnx", "onnxruntime", "openvino", "PIL", "tabulate"}
    )
    assert loaded.isdisjoint({c.module for c in cli.COMMANDS.values()})


def test_every_error_says_its_exit_code_once() -> None:
    codes = [kind.exit_code for kind in EdgeReidError.__subclasses__()]
    assert len(codes) == len(set(codes))


def test_a_closed_pipe_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m edgereid profile dslnet | head -c 1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
