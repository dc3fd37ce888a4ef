"""The size of the images that a network is exported for: as trained, or as asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402

from edgereid.bundle import Bundle  # noqa: E402
from edgereid.engines.open import open_engine  # noqa: E402
from edgereid.errors import InputError, UsageError  # noqa: E402
from edgereid.export.incoming.options import IncomingOptions  # noqa: E402
from edgereid.export.options import ExportOptions  # noqa: E402
from edgereid.export.pipeline import export_bundle  # noqa: E402
from edgereid.models import registry  # noqa: E402
from edgereid.models.stored import metadata_for  # noqa: E402


class Sized(registry.Network):
    """Takes no image below 8 x 8."""

    def __init__(self) -> None:
        super().__init__(4)
        self.conv = nn.Conv2d(3, 4, 8, stride=4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x).amax((2, 3))

    def forward_train(self, x: torch.Tensor) -> registry.TrainOutput:
        raise NotImplementedError


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    registry.names()

    @registry.register("sized", registry.InputSpec(height=32, width=16), paper="none")
    def sized(num_ids: int | None = None) -> registry.Network:
        return Sized()

    yield
    del registry._ENTRIES["sized"]


def exported(
    folder: Path, metadata: dict[str, str] | None, size: tuple[int, int] | None = None
) -> Bundle:
    torch.manual_seed(0)
    weights = folder / "w.safetensors"
    save_file(Sized().state_dict(), str(weights), metadata=metadata)
    incoming = IncomingOptions(input_size=size)
    options = ExportOptions(
        "sized", folder / "b", weights=weights, target="onnxruntime", threads=1, incoming=incoming
    )
    return export_bundle(options)


TRAINED = metadata_for("sized", (24, 48))


@pytest.mark.parametrize(
    ("metadata", "asked", "want"),
    [
        (None, None, (32, 16)),  # neither tells: what is usual for the network
        ({"network": "sized"}, None, (32, 16)),
        (TRAINED, None, (24, 48)),
        (TRAINED, (40, 20), (40, 20)),
        (None, (40, 20), (40, 20)),
    ],
)
def test_the_size_is_the_one_asked_for_else_that_of_the_training_else_the_usual_one(
    tmp_path: Path,
    metadata: dict[str, str] | None,
    asked: tuple[int, int] | None,
    want: tuple[int, int],
) -> None:
    bundle = exported(tmp_path, metadata, asked)
    told = bundle.manifest.preprocessing
    assert (told.height, told.width) == want
    images = np.random.default_rng(1).normal(size=(3, 3, *want)).astype(np.float32)
    found = []
    for name in ("weights.safetensors", "model.onnx"):
        with open_engine(tmp_path / "b" / name) as engine:
            assert engine.input_size == want
            found.append(engine.run(images))
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_bare_weights_take_the_images_they_were_trained_with(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file(Sized().state_dict(), str(path), metadata=TRAINED)
    with open_engine(path) as engine:
        assert engine.input_size == (24, 48)


@pytest.mark.parametrize(
    ("metadata", "asked", "message"),
    [
        (None, (7, 16), "sized cannot take images of 7x16"),
        (metadata_for("sized", (16, 7)), None, "sized cannot take images of 16x7"),
        ({"input": "0x9"}, None, "says that its images are '0x9': HEIGHTxWIDTH"),
        ({"input": "12345x9"}, None, "says that its images are"),
        ({"input": "x" * 5000}, None, "says that its images are 'x{20}'"),
    ],
)
def test_a_size_that_cannot_be_is_refused(
    tmp_path: Path, metadata: dict[str, str] | None, asked: tuple[int, int] | None, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        exported(tmp_path, metadata, asked)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "b").exists()


def test_only_the_size_may_be_asked_of_a_network_of_our_own() -> None:
    with pytest.raises(UsageError, match="its output and preprocessing are known"):
        ExportOptions("sized", Path("b"), incoming=IncomingOptions((8, 8), color="BGR"))
