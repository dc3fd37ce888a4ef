"""What measurements belong to: a state file of another model, data or machine is not used."""

from __future__ import annotations

import hashlib
from dataclasses import asdict

import edgereid
from edgereid.bench.machine import machine
from edgereid.export.origin import MODEL_FILE
from edgereid.export.repair.mended import mended_file
from edgereid.files import dump_json, sha256
from edgereid.search.engine_rig import Setup
from edgereid.search.evidence import Evidence


def binding(setup: Setup, evidence: Evidence) -> str:
    """A digest of model, table, repairs, options, images and machine. The budgets are not in it:
    what was measured serves another budget as well."""
    here = machine()
    mended = mended_file(setup.directory, setup.target)
    value = {
        "edgereid": edgereid.__version__,
        "model": sha256(setup.directory / MODEL_FILE),
        "table": setup.table.to_json(),
        "repairs": sha256(mended) if mended.is_file() else None,
        "target": setup.target,
        "threads": setup.threads,
        "batch": setup.batch,
        "seed": setup.seed,
        "evidence": [evidence.words, sorted(path.name for path in evidence.probe)],
        "machine": [here.host, asdict(here.cpu), here.architecture, here.usable_cpus],
        "packages": here.packages,
    }
    return hashlib.sha256(dump_json(value).encode()).hexdigest()
