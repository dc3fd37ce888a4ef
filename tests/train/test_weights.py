"""The file of deployable weights."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from safetensors.torch import load_file  # noqa: E402

from edgereid.models import registry  # noqa: E402
from edgereid.models.stored import metadata_of  # noqa: E402
from edgereid.train.weights import write_weights  # noqa: E402


def test_equal_weights_give_equal_bytes_and_nothing_is_lost(tmp_path: Path) -> None:
    """safetensors itself writes the metadata in an order that changes from call to call."""
    network = registry.build("osnet_x0_25")
    keys = frozenset(network.state_dict())
    paths = [tmp_path / f"{i}.safetensors" for i in range(12)]
    for path in paths:
        write_weights(path, network, keys, "osnet_x0_25", (64, 32))
    assert len({path.read_bytes() for path in paths}) == 1
    assert metadata_of(paths[0]) == {"input": "64x32", "network": "osnet_x0_25"}
    stored = load_file(paths[0])
    assert stored.keys() == keys
    assert all(torch.equal(stored[k], v) for k, v in network.state_dict().items())
