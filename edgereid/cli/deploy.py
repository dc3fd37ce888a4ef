"""``edgereid deploy``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgereid.export.deploy.options import DeployOptions
    from edgereid.export.deploy.write import Deployment

HELP = """Write what the field's own software reads, from a bundle.

triton: a model repository for NVIDIA Triton Inference Server, with dynamic batching. deepstream:
the ReID section of a DeepStream tracker's configuration, with matching preprocessing. trtexec:
scripts that build and measure a TensorRT plan on the device. All numbers come from the manifest.
BUNDLE is a bundle's directory, or the engine in it that is meant."""
_EXAMPLES = """\
examples:
  edgereid deploy dslnet-int8 --format triton --out models
  edgereid deploy dslnet-int8/engine.xml --format triton --out models --name reid --max-batch 64
  edgereid deploy dslnet-int8 --format deepstream --fold-normalisation --out ds
  edgereid deploy dslnet-int8 --format trtexec --out plan && sh plan/build.sh
"""
#: Flags of one format or two; argparse and the options call them the same.
_OWN = (
    "name",
    "instances",
    "queue_delay_us",
    "tracker",
    "precision",
    "workspace_mib",
    "opt_batch",
)


def configure(parser: argparse.ArgumentParser) -> None:
    from edgereid.export.deploy.options import FORMATS, NETWORK_MODES, TRACKERS

    add = parser.add_argument
    add("bundle", type=Path, metavar="BUNDLE", help="a bundle, or the engine in it to use")
    add("--format", required=True, metavar="NAME", help=", ".join(FORMATS))
    add("--out", required=True, type=Path, metavar="DIR", help="directory to write, a new one")
    add("--max-batch", type=int, default=32, metavar="N", help="largest batch (default 32)")
    add("--force", action="store_true", help="replace a directory that this command wrote")
    add = parser.add_argument_group("triton").add_argument
    add("--name", metavar="NAME", help="of the model in the repository (default: the network's)")
    add("--instances", type=int, metavar="N", help="copies of the model that run at once (1)")
    add(
        "--queue-delay-us",
        type=int,
        metavar="US",
        help="how long a request waits for others to share its batch (1000)",
    )
    add = parser.add_argument_group("deepstream").add_argument
    add("--tracker", metavar="NAME", help=f"{', '.join(TRACKERS)} (default: nvdcf)")
    add("--precision", metavar="NAME", help=f"{', '.join(NETWORK_MODES)} (default: f16)")
    for word, text in (
        ("fold", "normalise inside the network: exact for any std"),
        ("approximate", "accept one scale for all channels; the error is told"),
    ):
        add(
            f"--{word}-normalisation",
            action="append_const",
            const=word,
            dest="normalisations",
            help=text,
        )
    add = parser.add_argument_group("deepstream and trtexec").add_argument
    add("--workspace-mib", type=int, metavar="N", help="memory for building a plan (1024)")
    add = parser.add_argument_group("trtexec").add_argument
    add("--opt-batch", type=int, metavar="N", help="batch the plan is tuned for (8)")
    add = parser.add_argument_group("output").add_argument
    add("--json", action="store_true", help="print one JSON object")
    parser.epilog = _EXAMPLES


def run(args: argparse.Namespace) -> int:
    from edgereid.export.deploy.write import deploy
    from edgereid.files import dump_json
    from edgereid.progress import note

    written = deploy(options_of(args))
    for line in written.notes:
        note(f"deploy: {line}")
    sys.stdout.write(dump_json(written.to_json()) if args.json else summary(written))
    return 0


def options_of(args: argparse.Namespace) -> DeployOptions:
    """The flags as options. Raises UsageError, also on a flag of another format."""
    from dataclasses import fields

    from edgereid.errors import UsageError
    from edgereid.export.deploy.options import FORMATS, DeployOptions

    kind = FORMATS.get(args.format)
    if kind is None:
        raise UsageError(f"format {args.format!r:.40} is unknown: {', '.join(FORMATS)}.")
    words = set(args.normalisations or ())
    if len(words) > 1:
        raise UsageError("--fold-normalisation and --approximate-normalisation: give one.")
    values = {name: getattr(args, name) for name in _OWN}
    values["normalisation"] = next(iter(words), None)
    given = {name: value for name, value in values.items() if value is not None}
    if strange := sorted(set(given) - {f.name for f in fields(kind)}):
        word = "".join(f"{w}-" for w in words if strange[0] == "normalisation")
        flag = word + strange[0].replace("_", "-")
        raise UsageError(f"--{flag} means nothing for the format {args.format}: leave it out.")
    own = kind(**given)
    return DeployOptions(args.bundle, args.out, own, args.max_batch, args.force)


def summary(written: Deployment) -> str:
    """The files, and what to do with them."""
    names = "".join(f"  {name}\n" for name in written.files)
    return f"{written.directory}\n{names}{_NEXT[written.format].format(written.directory)}\n"


_NEXT = {
    "triton": "serve with: tritonserver --model-repository={}",
    "deepstream": "paste {}/reid_section.yml into the tracker's configuration",
    "trtexec": "build and measure on the device with: sh {}/build.sh",
}
