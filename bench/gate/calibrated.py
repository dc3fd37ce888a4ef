"""Whether a bundle's calibration table belongs to the float network beside it."""

from __future__ import annotations

from pathlib import Path

from edgereid.bench.gate.result import FAIL, INFO, PASS, Check
from edgereid.bundle import Bundle
from edgereid.files import read_json

NAME = "calibration table"


def calibration_check(path: Path) -> Check | None:
    """Compare the SHA-256 of the network that the table was collected from with the bundle's own;
    None when ``path`` lies in no bundle or the bundle has no table.

    Raises InputError when the table is no JSON, IntegrityError on a changed bundle.
    """
    if not Bundle.is_bundle(path):
        return None
    bundle = Bundle.open(path, verify=False)
    tables, floats = bundle.find("calibration"), bundle.find("float")
    if not tables:
        return None
    facts = read_json(bundle.path(tables[0]))
    provenance = facts.get("provenance") if isinstance(facts, dict) else None
    model = provenance.get("model") if isinstance(provenance, dict) else None
    if not isinstance(model, str) or not floats:
        return Check(NAME, INFO, f"{tables[0].name} does not say of which network it is")
    own = [f for f in floats if f.sha256 == model]
    if not own:
        return Check(
            NAME,
            FAIL,
            f"{tables[0].name} was collected from another network ({model[:12]}...) than "
            f"{floats[0].name} ({floats[0].sha256[:12]}...): it is stale; calibrate again",
        )
    return Check(NAME, PASS, f"{tables[0].name} was collected from {own[0].name}")
