"""``edgereid qat``: train with fake quantisation."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

HELP = """Train a network so that its INT8 engine keeps its embeddings (QAT).

The float network teaches a copy of itself that rounds where the target's engine will. Written are
weights and a calibration table, from which `edgereid export` makes the engines:

  edgereid qat dslnet --data market1501 --target openvino --out qat
  edgereid export dslnet --weights qat/weights.safetensors --table qat/calibration.json \\
      --int8 --calib market1501 --target openvino"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    from edgereid.export.options import DEFAULT_METHOD, METHODS
    from edgereid.train.qat.options import BACKENDS, TARGETS

    add = parser.add_argument
    add("network", metavar="NETWORK", help="a network's name, e.g. dslnet")
    add("--data", type=Path, required=True, metavar="DIR", help="dataset; its training split")
    add("--layout", metavar="NAME", help="of the dataset (default: recognised)")
    add("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    add("--weights", type=Path, metavar="FILE", help=".safetensors (default: the shipped ones)")
    add(
        "--calibration",
        type=Path,
        metavar="BUNDLE|FILE",
        help="ranges to begin with (default: calibrated here)",
    )
    add(
        "--method",
        default=DEFAULT_METHOD,
        metavar="NAME",
        help=f"without --calibration: {', '.join(METHODS)} (default: %(default)s)",
    )
    add(
        "--target",
        default="openvino",
        metavar="NAME",
        help=f"whose placement is trained for: {', '.join(TARGETS)} (default: %(default)s)",
    )
    add(
        "--backend",
        default=BACKENDS[0],
        metavar="NAME",
        help=f"who rounds: {', '.join(BACKENDS)} (default: %(default)s)",
    )
    _configure_training(parser)
    add("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    add("--resume", action="store_true", help="continue the run in --out")
    add("--json", action="store_true", help="print the result as one JSON object")


def _configure_training(parser: argparse.ArgumentParser) -> None:
    from edgereid.train.qat.options import RANGES, Schedule

    usual = Schedule()
    add = parser.add_argument_group("training").add_argument
    add("--steps", type=int, default=usual.steps, metavar="N", help="(default: %(default)s)")
    add("--batch", type=int, default=usual.batch, metavar="N", help="images (default: %(default)s)")
    add("--lr", type=float, default=usual.lr, metavar="X", help="at most (default: %(default)s)")
    add(
        "--ranges",
        default=usual.ranges,
        metavar="NAME",
        help=f"of activations: {', '.join(RANGES)} (default: %(default)s)",
    )
    add("--seed", type=int, default=usual.seed, metavar="S", help="(default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Train; returns 0, or 130 after Ctrl-C."""
    from edgereid.errors import EXIT_INTERRUPTED, UsageError
    from edgereid.export.options import METHODS
    from edgereid.progress import note
    from edgereid.train.qat.options import QatOptions, Schedule

    if args.method not in METHODS:
        raise UsageError(f"unknown method {args.method!r}: {', '.join(METHODS)} are known.")
    options = QatOptions(
        network=args.network,
        data=args.data,
        out=args.out,
        target=args.target,
        backend=args.backend,
        weights=args.weights,
        calibration=args.calibration,
        layout=args.layout,
        method=args.method,
        schedule=Schedule(args.steps, args.batch, args.lr, args.ranges, args.seed),
        threads=args.threads,
        resume=args.resume,
        command=_command(args),
    )
    from edgereid.train.interrupt import StopRequested
    from edgereid.train.qat.run import run_qat

    try:
        result = run_qat(options)
    except StopRequested:
        note(f"saved. Resume with: {_command(args, whole_paths=True)} --resume")
        return EXIT_INTERRUPTED
    if args.json:
        print(json.dumps({**result, "out": str(args.out)}))
    else:
        print(
            f"one minus centred cosine to float: {result['error_before']:.6f} before, "
            f"{result['error_after']:.6f} after, on {result['judged_on']} images not trained on\n"
            f"{args.out / 'weights.safetensors'}  {args.out / 'calibration.json'}"
        )
    return 0


def _command(args: argparse.Namespace, whole_paths: bool = False) -> str:
    """The command that does the same again; file names without their folders unless asked."""
    words = ["edgereid", "qat", args.network]
    for flag in (
        *("data", "layout", "out", "weights", "calibration", "method", "target", "backend"),
        *("steps", "batch", "lr", "ranges", "seed", "threads"),
    ):
        value = getattr(args, flag)
        if isinstance(value, Path):
            value = value if whole_paths else value.name
        words += [] if value is None else [f"--{flag}", str(value)]
    return shlex.join(words)
