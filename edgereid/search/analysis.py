"""``edgereid sensitivity``: from a bundle, or a network to export first, to the analysis."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgereid.bundle import Bundle
from edgereid.calibration.table import CalibrationTable
from edgereid.cpus import usable_cpus
from edgereid.errors import InputError, UsageError
from edgereid.export.int8 import CALIBRATION_FILE
from edgereid.export.options import ExportOptions
from edgereid.export.pipeline import export_bundle
from edgereid.progress import note
from edgereid.search.engine_rig import EngineRig, Setup
from edgereid.search.evidence import SENSITIVITY, Source, gather
from edgereid.search.options import require_target
from edgereid.search.sensitivity import Sensitivity, run_sensitivity


@dataclass(frozen=True, slots=True)
class SensitivityOptions:
    """What to analyse. ``path``: a bundle, or what ``edgereid export`` takes; ``calibration`` None:
    drawn images; ``with_map``: the loss of mAP of every unit, where there are labels."""

    path: str
    target: str
    calibration: Path | None = None
    layout: str | None = None
    with_map: bool = True
    batch: int = 1
    threads: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        require_target(self.target)
        if not 1 <= self.batch <= 256:
            raise UsageError(f"batch size {self.batch}: from 1 to 256 are allowed.")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: 0 and above are allowed.")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"{self.threads} threads: at least 1 is needed.")


def analyse(options: SensitivityOptions) -> Sensitivity:
    """Measure every unit. Raises InputError when the bundle has no calibration table for the
    target, and what exporting raises."""
    with _bundle(options) as bundle:
        table = _table(bundle)
        made = bundle.manifest.provenance.get("calibration", {})
        seed = made.get("seed")  # None: the table was given, nobody knows which images it saw
        source = Source(
            options.calibration,
            options.layout,
            0 if seed is None else int(made.get("images", 0)),
            options.seed,
            calibration_seed=options.seed if seed is None else int(seed),
        )
        setup = Setup(
            options.target,
            bundle.directory,
            table,
            bundle.manifest.preprocessing,
            options.threads or usable_cpus(),
            options.batch,
            options.seed,
        )
        with gather(source, SENSITIVITY) as evidence, EngineRig(setup, evidence) as rig:
            note(f"measuring {rig.units} units; accuracy: {evidence.words}")
            labelled = options.with_map and evidence.dataset is not None
            return run_sensitivity(
                rig, rig.parts, bundle.manifest.network, options.target, evidence.words, labelled
            )


@contextlib.contextmanager
def _bundle(options: SensitivityOptions) -> Iterator[Bundle]:
    """The bundle at ``path``, or one exported into a temporary folder."""
    path = Path(options.path)
    if path.is_dir():
        yield Bundle.open(path)
        return
    with tempfile.TemporaryDirectory(prefix="edgereid-sensitivity-") as folder:
        yield export_bundle(
            ExportOptions(
                network=options.path,
                out=Path(folder) / "bundle",
                int8=True,
                target=options.target,
                calibration=options.calibration,
                layout=options.layout,
                seed=options.seed,
                threads=options.threads,
            )
        )


def _table(bundle: Bundle) -> CalibrationTable:
    if not bundle.find("calibration"):
        raise InputError(f"{bundle.directory} has no calibration table: export it with --int8.")
    return CalibrationTable.load(bundle.directory / CALIBRATION_FILE)
