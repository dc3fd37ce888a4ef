"""``edgereid``: choose the command, turn errors into one line and an exit code.

Only the chosen command's module is imported, and that module imports nothing heavy before it runs.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from edgereid import __version__
from edgereid.errors import (
    EX_USAGE,
    EXIT_INTERRUPTED,
    EdgeReidError,
    InputError,
    MissingRuntimeError,
    StorageError,
    UsageError,
)

DESCRIPTION = (
    "Person re-identification networks from PyTorch to the edge: train, profile, export to INT8, "
    "and show that each engine still recognises people."
)
EPILOG = """\
a first round:
  edgereid synth data                                  draw a built-in data set
  edgereid export dslnet --int8 --calib data           make the bundle dslnet-int8/
  edgereid bench dslnet-int8 --data data               measure it and get a verdict

exit codes:
  0 done, within budget    1 accuracy budget broken   2 wrong use        3 bad input
  4 runtime missing        5 file changed or untrusted  6 cannot write    130 interrupted
of gate: 0 pass  1 fail  2 undecided  64 wrong use
"""


@dataclass(frozen=True, slots=True)
class Command:
    """A command's module and its line in ``edgereid --help``; ``wrong_use``: the exit code of it,
    another one where 2 is a verdict."""

    module: str
    summary: str
    wrong_use: int = UsageError.exit_code


COMMANDS = {
    "synth": Command("edgereid.cli.synth", "draw a built-in data set in the Market-1501 layout"),
    "data": Command("edgereid.cli.data", "count and check a data set in its official layout"),
    "train": Command("edgereid.cli.train", "train a network"),
    "profile": Command("edgereid.cli.profile", "count parameters, multiply-adds and memory"),
    "export": Command(
        "edgereid.cli.export", "write ONNX, calibrate, quantize, build engines: a bundle"
    ),
    "qat": Command("edgereid.cli.qat", "train a network so that INT8 keeps its embeddings"),
    "build": Command("edgereid.cli.build", "build a TensorRT plan on the device that will run it"),
    "eval": Command("edgereid.cli.eval", "measure retrieval accuracy by any protocol"),
    "show": Command("edgereid.cli.show", "write a page of ranked lists, right and wrong framed"),
    "bench": Command(
        "edgereid.cli.bench", "measure latency and accuracy of engines, give a verdict"
    ),
    "gate": Command(
        "edgereid.cli.gate", "judge an engine against its reference, for CI", wrong_use=EX_USAGE
    ),
    "roofline": Command("edgereid.cli.roofline", "show what each engine leaves to gain, and where"),
    "sensitivity": Command("edgereid.cli.sensitivity", "say what INT8 costs and gains by layer"),
    "lint": Command("edgereid.cli.lint", "check an ONNX file against the rules of a runtime"),
    "estimate": Command("edgereid.cli.estimate", "predict latency on a device that is not here"),
    "baseline": Command("edgereid.cli.baseline", "keep bench results, tell a change from noise"),
    "deploy": Command("edgereid.cli.deploy", "write what Triton, DeepStream or trtexec reads"),
    "inspect": Command("edgereid.cli.inspect", "show a TensorRT engine's precisions and times"),
    "doctor": Command("edgereid.cli.doctor", "say what this device has, lacks and should install"),
}

#: Third-party packages that only some commands need, and the extra that installs each.
EXTRAS = {
    "torch": "train",
    "torchvision": "train",
    "fvcore": "train",
    "safetensors": "train",
    "onnx": "onnx",
    "onnxscript": "export",
    "onnxruntime": "onnxruntime",
    "openvino": "openvino",
    "matplotlib": "bench",
    "h5py": "cuhk03",
    "scipy": "cuhk03",
}


def build_parser(chosen: str | None) -> argparse.ArgumentParser:
    """The parser; only the ``chosen`` command's flags are loaded (None: none)."""
    parser = argparse.ArgumentParser(
        prog="edgereid",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"edgereid {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=command.summary,
            description=command.summary[0].upper() + command.summary[1:] + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name == chosen:
            module = importlib.import_module(command.module)
            sub.description = module.HELP
            module.configure(sub)
            sub.set_defaults(run=module.run)
    return parser


def _chosen(argv: Sequence[str]) -> str | None:
    """The first word that names a command: flags of ``edgereid`` itself take no value."""
    return next((word for word in argv if word in COMMANDS), None)


def _parsed(arguments: Sequence[str], chosen: str | None, wrong_use: int) -> argparse.Namespace:
    """The flags; argparse ends the process with 2 when they are wrong, here with ``wrong_use``."""
    try:
        return build_parser(chosen).parse_args(arguments)
    except SystemExit as stop:
        if stop.code == UsageError.exit_code:
            raise SystemExit(wrong_use) from None
        raise


def _missing_package(error: ModuleNotFoundError) -> MissingRuntimeError | None:
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    return MissingRuntimeError(
        f"{package} is not installed and this command needs it: "
        f'pip install "edgereid[{EXTRAS[package]}]".'
    )


def _fail(error: EdgeReidError) -> int:
    print(f"edgereid: error: {' '.join(str(error).split())}", file=sys.stderr)
    return error.exit_code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code. Bugs are not caught: they show their traceback."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a file's name need not be text
            stream.reconfigure(errors="backslashreplace")
    chosen = _chosen(arguments)
    wrong_use = COMMANDS[chosen].wrong_use if chosen else UsageError.exit_code
    try:
        args = _parsed(arguments, chosen, wrong_use)
        code: int = args.run(args)
        sys.stdout.flush()
        return code
    except UsageError as error:
        _fail(error)
        return wrong_use
    except EdgeReidError as error:
        return _fail(error)
    except ModuleNotFoundError as error:
        missing = _missing_package(error)
        if missing is None:
            raise
        return _fail(missing)
    except KeyboardInterrupt:
        print("edgereid: interrupted.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (`| head`) went away: nothing is wrong. Python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            return _fail(StorageError("the disk is full: free some space and run again."))
        if isinstance(error, PermissionError) and error.filename is not None:
            return _fail(InputError(f"no permission for {os.fsdecode(error.filename)}."))
        raise


if __name__ == "__main__":
    sys.exit(main())
