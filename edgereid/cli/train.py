"""``edgereid train``: train a network on a dataset in the Market-1501 layout."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path

HELP = "train a network; resumes exactly after Ctrl-C"

#: Without --recipe: the paper's own schedule.
_DEFAULT_RECIPE = "{network}-scratch"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("network", metavar="NETWORK", help="name of the network, e.g. dslnet")
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="dataset folder")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    parser.add_argument(
        "--recipe",
        metavar="NAME|FILE",
        help="a recipe of the package or a .json file (default: NETWORK-scratch, as in the paper)",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one field of the recipe, e.g. --set lr=0.001; may be repeated",
    )
    parser.add_argument("--epochs", type=int, metavar="N", help="number of epochs")
    parser.add_argument("--seed", type=int, metavar="S", help="seed of weights and batches")
    parser.add_argument("--init", type=Path, metavar="FILE", help="start from .safetensors weights")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    parser.add_argument("--resume", action="store_true", help="continue the run in --out")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Train; returns 0, or 130 after Ctrl-C."""
    from edgereid.errors import EXIT_INTERRUPTED, UsageError
    from edgereid.progress import note
    from edgereid.train import recipe as recipes

    name = args.recipe or _DEFAULT_RECIPE.format(network=args.network)
    recipe = recipes.override(recipes.load(name), args.set)
    recipe = recipes.with_run(recipe, args.epochs, args.seed)
    if recipe.network != args.network:
        raise UsageError(f"recipe {name} trains {recipe.network}, not {args.network}.")
    if args.threads is not None and args.threads < 1:
        raise UsageError(f"--threads {args.threads}: at least 1 is needed.")

    from edgereid.train.interrupt import StopRequested
    from edgereid.train.log import describe_metrics
    from edgereid.train.run import TrainOptions, run_training

    options = TrainOptions(
        recipe=recipe,
        data=args.data,
        out=args.out,
        init=args.init,
        threads=args.threads,
        resume=args.resume,
        command=_command(args, name),
    )
    try:
        result = run_training(options)
    except StopRequested:
        note(f"saved. Resume with: {_command(args, name, whole_paths=True)} --resume")
        return EXIT_INTERRUPTED
    if args.json:
        print(json.dumps(result))
    else:
        weights = args.out / "weights.safetensors"
        print(f"{describe_metrics(result['evaluation'])}  {weights}")
    return 0


def _command(args: argparse.Namespace, recipe: str, whole_paths: bool = False) -> str:
    """The command that does the same again; file names without their folders unless asked."""

    def path(value: Path) -> str:
        return str(value) if whole_paths else value.name

    own_file = recipe.endswith(".json")
    words = ["edgereid", "train", args.network]
    words += ["--recipe", path(Path(recipe)) if own_file else recipe]
    words += ["--data", path(args.data), "--out", path(args.out)]
    words += [w for s in args.set for w in ("--set", s)]
    for flag in ("epochs", "seed", "threads"):
        value = getattr(args, flag)
        words += [] if value is None else [f"--{flag}", str(value)]
    words += [] if args.init is None else ["--init", path(args.init)]
    return shlex.join(words)
