"""``edgereid train``: train a network on a dataset."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

HELP = "train a network; resumes exactly after Ctrl-C"

#: Without --recipe: the paper's own schedule, the first of these that exists.
_DEFAULT_RECIPES = ("{network}-scratch", "{network}", "{network}-circle")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    add = parser.add_argument
    add("network", metavar="NETWORK", help="name of the network, e.g. dslnet")
    add("--data", type=Path, required=True, metavar="DIR", help="dataset folder")
    add("--layout", metavar="NAME", help="of the dataset (default: recognised)")
    add("--out", type=Path, required=True, metavar="RUN", help="folder of the run")
    add("--recipe", metavar="NAME|FILE", help="a recipe or a .json file (default: the paper's own)")
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change one field of the recipe, e.g. --set lr=0.001; may be repeated",
    )
    add("--epochs", type=int, metavar="N", help="number of epochs")
    add("--seed", type=int, metavar="S", help="seed of weights and batches")
    add("--init", type=Path, metavar="FILE", help="start from .safetensors weights")
    add(
        "--pretrained",
        metavar="FILE|torchvision",
        help="start from a backbone's weights; torchvision: its ResNet-50, downloaded if need be",
    )
    add("--threads", type=int, metavar="N", help="CPU threads (default: all)")
    add(
        "--device",
        choices=("auto", "cpu", "cuda"),
        default="auto",
        help="where to train (default: a GPU where there is one)",
    )
    add("--tensorboard", action="store_true", help="write curves for TensorBoard into RUN")
    add("--resume", action="store_true", help="continue the run in --out")
    add("--json", action="store_true", help="print the result as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Train; returns 0, or 130 after Ctrl-C."""
    from edgereid.errors import EXIT_INTERRUPTED, UsageError
    from edgereid.progress import note
    from edgereid.train import recipe as recipes

    name = args.recipe or _default_recipe(args.network, recipes.names())
    recipe = recipes.override(recipes.load(name), args.set)
    recipe = recipes.with_run(recipe, args.epochs, args.seed)
    if recipe.network != args.network:
        raise UsageError(f"recipe {name} trains {recipe.network}, not {args.network}.")
    if args.threads is not None and args.threads < 1:
        raise UsageError(f"--threads {args.threads}: at least 1 is needed.")

    from edgereid.train.interrupt import StopRequested
    from edgereid.train.run import TrainOptions, run_training

    options = TrainOptions(
        recipe=recipe,
        data=args.data,
        layout=args.layout,
        out=args.out,
        init=args.init,
        pretrained=args.pretrained,
        threads=args.threads,
        resume=args.resume,
        device=args.device,
        tensorboard=args.tensorboard,
        command=_command(args, name),
    )
    try:
        result = run_training(options)
    except StopRequested:
        note(f"saved. Resume with: {_command(args, name, whole_paths=True)} --resume")
        return EXIT_INTERRUPTED
    _show(args, result)
    return 0


def _show(args: argparse.Namespace, result: dict[str, Any]) -> None:
    from edgereid.train.log import describe_metrics

    if "weights" not in result:  # under torchrun process 0 reports
        return
    if args.json:
        print(json.dumps(result))
    else:
        print(f"{describe_metrics(result['evaluation'])}  {args.out / 'weights.safetensors'}")


def _default_recipe(network: str, known: tuple[str, ...]) -> str:
    dashed = network.replace("_", "-")
    names = [pattern.format(network=dashed) for pattern in _DEFAULT_RECIPES]
    return next((n for n in names if n in known), names[0])


def _command(args: argparse.Namespace, recipe: str, whole_paths: bool = False) -> str:
    """The command that does the same again; file names without their folders unless asked."""

    def path(value: Path) -> str:
        return str(value) if whole_paths else value.name

    own_file = recipe.endswith(".json")
    words = ["edgereid", "train", args.network]
    words += ["--recipe", path(Path(recipe)) if own_file else recipe]
    words += ["--data", path(args.data), "--out", path(args.out)]
    words += [w for s in args.set for w in ("--set", s)]
    for flag in ("layout", "epochs", "seed", "threads"):
        value = getattr(args, flag)
        words += [] if value is None else [f"--{flag}", str(value)]
    words += [] if args.device == "auto" else ["--device", args.device]
    words += ["--tensorboard"] if args.tensorboard else []
    words += [] if args.init is None else ["--init", path(args.init)]
    if args.pretrained is not None:
        file = args.pretrained if whole_paths else path(Path(args.pretrained))
        words += ["--pretrained", file]
    return shlex.join(words)
