"""The flags of ``edgereid export`` that mend what quantization breaks."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgereid.export.repair.options import RepairOptions


def configure(parser: argparse.ArgumentParser) -> None:
    from edgereid.export.repair.options import ROUNDINGS, WEIGHTS

    add = parser.add_argument_group("repairs of quantization").add_argument
    add(
        "--equalize",
        action="store_true",
        help="scale the channels between two layers to one range; the float network stays the same",
    )
    add(
        "--weight-scales",
        default=WEIGHTS[0],
        metavar="NAME",
        help=f"of weights, by channel: {', '.join(WEIGHTS)} (default: %(default)s)",
    )
    add(
        "--rounding",
        default="auto",
        metavar="NAME",
        help=f"of weights: {', '.join(ROUNDINGS)}; auto is learned where that brings embeddings "
        "nearer to float's, nearest after edgereid qat (default: %(default)s)",
    )
    add(
        "--bias-correction",
        action="store_true",
        help="take the shift of every channel's mean off its bias",
    )


def repairs_of(args: argparse.Namespace) -> RepairOptions:
    """The flags as options. Raises UsageError."""
    from edgereid.export.repair.options import RepairOptions

    return RepairOptions(
        scales=args.weight_scales,
        equalize=args.equalize,
        bias_correction=args.bias_correction,
        rounding=args.rounding,
    )
