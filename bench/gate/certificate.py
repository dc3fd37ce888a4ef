"""The certificate of ``edgereid.retrieval.certificate`` as a check of the gate."""

from __future__ import annotations

from edgereid.bench.gate.result import INFO, Check
from edgereid.retrieval.certificate import Certificate, certify

__all__ = ["MAX_GALLERY", "MAX_QUERIES", "NAME", "Certificate", "certificate_check", "certify"]

NAME = "certificate"
#: Queries looked at, and gallery images: it is quadratic.
MAX_QUERIES, MAX_GALLERY = 1000, 100_000


def certificate_check(found: Certificate, what: str) -> Check:
    """A report, not a judgement; ``what``: which crops."""
    return Check(
        NAME,
        INFO,
        f"of {found.queries:,} {what}, {found.certified_mixed:.1%} certainly keep their best match "
        f"in a gallery of the reference's features ({found.kept_mixed:.1%} did), "
        f"{found.certified:.1%} in one of the candidate's own ({found.kept:.1%} did)",
        {name: getattr(found, name) for name in Certificate.__dataclass_fields__},
    )
