"""The weights in the package: what their records say is what they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

import edgereid  # noqa: E402
from edgereid.data.layouts import open_dataset  # noqa: E402
from edgereid.data.synth import SynthOptions, synthesise  # noqa: E402
from edgereid.data.types import ReidDataset  # noqa: E402
from edgereid.export.torch_onnx import load_network  # noqa: E402
from edgereid.files import sha256  # noqa: E402
from edgereid.images import Preprocessing  # noqa: E402
from edgereid.models import registry  # noqa: E402
from edgereid.train import recipe as recipes  # noqa: E402
from edgereid.train.evaluate import evaluate_network  # noqa: E402

SHIPPED = sorted((Path(edgereid.__file__).parent / "weights").glob("*.safetensors"))
NAMES = [path.stem for path in SHIPPED]


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> ReidDataset:
    """Drawn people that no training has seen."""
    root = tmp_path_factory.mktemp("strangers") / "data"
    options = SynthOptions(train_ids=2, test_ids=8, distractors=0, junk=0, seed=77)
    synthesise(root, options, workers=1)
    return open_dataset(root)


def test_these_networks_have_weights() -> None:
    assert NAMES == ["dslnet", "robust_reid_1x"]


@pytest.mark.parametrize("path", SHIPPED, ids=NAMES)
def test_the_record_belongs_to_the_weights_and_to_a_recipe_that_exists(path: Path) -> None:
    record = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    told = record["weights"]
    assert (told["file"], told["bytes"]) == (path.name, path.stat().st_size)
    assert told["sha256"] == sha256(path)
    assert told["bytes"] <= 12_000_000
    assert record["network"] == path.stem
    recipe = recipes.load(record["recipe"]["name"])
    assert recipe.network == path.stem
    assert len(record["curves"]) == record["recipe"]["epochs"]
    assert f"train {path.stem} --recipe {recipe.name} " in record["command"]


@pytest.mark.parametrize("path", SHIPPED, ids=NAMES)
def test_they_tell_strangers_apart_far_better_than_the_untrained_network(
    path: Path, strangers: ReidDataset
) -> None:
    network, preprocessing = load_network(path.stem, path)
    told = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))["preprocessing"]
    assert preprocessing == Preprocessing.from_json(told)
    torch.manual_seed(0)
    untrained = registry.build(path.stem).eval()
    found, chance = (
        evaluate_network(n, strangers, preprocessing)["map"] for n in (network, untrained)
    )
    assert found > 0.7
    assert found > chance + 0.2
