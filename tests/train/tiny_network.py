"""A DSLNet of some thousand parameters; run as a script it is ``edgereid`` that knows it."""

from __future__ import annotations

import sys

from edgereid.models.dslnet import DSLNet
from edgereid.models.registry import Network


def tiny(num_ids: int | None = None) -> Network:
    """Widths of which the inner ones (18) still split into three streams."""
    return DSLNet(widths=(8, 72, 72, 72), feature_size=16, num_ids=num_ids)


if __name__ == "__main__":
    from edgereid.cli.main import main
    from edgereid.models.registry import InputSpec, register

    register("tiny", InputSpec(32, 16), paper="none")(tiny)
    sys.exit(main(sys.argv[1:]))
