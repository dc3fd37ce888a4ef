"""The flags of ``edgereid export`` that search precisions and show or pick what was found."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgereid.bundle import Bundle
    from edgereid.export.options import ExportOptions
    from edgereid.search.outcome import Record

_ONLY_WITH_SEARCH = {"search_minutes": "--search-minutes", "search_batch": "--search-batch"}


def configure(parser: argparse.ArgumentParser) -> None:
    """An argument group of its own."""
    group = parser.add_argument_group(
        "search of precisions, layer by layer (docs/search.md)",
        "--pareto, --svg and --pick without --max-drop take a bundle's directory as NETWORK",
    )
    add = group.add_argument
    add(
        "--max-drop",
        type=float,
        metavar="POINTS",
        help="with --int8: the fastest engine, as measured here, that loses no more mAP; never one "
        "that is slower than the best float engine",
    )
    add("--search-minutes", type=float, metavar="M", help="limit (12, slow networks 45)")
    add("--search-batch", type=int, metavar="N", help="batch size whose latency counts (1)")
    add("--pareto", action="store_true", help="print the Pareto front")
    add("--svg", type=Path, metavar="FILE", help="draw the Pareto front")
    add("--pick", type=int, metavar="N", help="export point N of the front; --out or --force")


def bundle_of(args: argparse.Namespace, options_of: Any) -> Bundle | None:
    """The bundle that these flags make or read, None: they ask for nothing. ``options_of``: the
    flags as export options. Raises UsageError on flags that do not go together."""
    from edgereid.errors import UsageError

    _check(args)
    if args.max_drop is not None:
        if args.pick is not None:
            raise UsageError("--max-drop searches a front, --pick takes a point of one: give one.")
        return _search(args, options_of(args))
    if args.pick is not None:
        from edgereid.search.bundle import PickOptions, pick

        return pick(
            PickOptions(_bundle(args), args.pick, args.target, args.out, args.force, args.threads)
        )
    if args.pareto or args.svg is not None:
        from edgereid.bundle import Bundle

        return Bundle.open(_bundle(args))
    return None


def fronts(args: argparse.Namespace, bundle: Bundle) -> dict[str, Record]:
    """The fronts to print, by target, after drawing them if asked to."""
    if not (args.pareto or args.svg is not None):
        return {}
    from edgereid.search.bundle import record_of, records

    if args.svg is not None:
        from edgereid.progress import note
        from edgereid.search.plot import draw_front

        draw_front(args.svg, record_of(bundle, args.target))
        note(f"plot: {args.svg}")
    return records(bundle) if args.pareto else {}


def _search(args: argparse.Namespace, options: ExportOptions) -> Bundle:
    from edgereid.search.export import export_searched
    from edgereid.search.options import SearchOptions

    batch = 1 if args.search_batch is None else args.search_batch
    search = SearchOptions(args.max_drop, args.search_minutes, batch, args.seed)
    return export_searched(options, search)


def _check(args: argparse.Namespace) -> None:
    """Fail before minutes of work, not after."""
    from edgereid.errors import UsageError

    if args.max_drop is None:
        for name, flag in _ONLY_WITH_SEARCH.items():
            if getattr(args, name) is not None:
                raise UsageError(f"{flag} is for a search: give --max-drop POINTS.")
    if args.svg is not None:
        from edgereid.cli.outputs import check_output
        from edgereid.search.plot import check_drawing

        check_output(args.svg)
        check_drawing()


def _bundle(args: argparse.Namespace) -> Path:
    """NETWORK as a bundle's directory. Raises UsageError when it is none."""
    from edgereid.bundle import Bundle
    from edgereid.errors import UsageError

    path = Path(args.network)
    if not path.is_dir() or not Bundle.is_bundle(path):
        raise UsageError(
            f"{path} is no bundle: --pareto, --svg and --pick take one, or --max-drop POINTS makes "
            "one."
        )
    return path
