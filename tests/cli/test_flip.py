"""``edgereid export --flip`` and what the other commands make of such a bundle."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from safetensors.torch import save_file  # noqa: E402

from edgereid.bundle import Bundle  # noqa: E402
from edgereid.cli.export import summary  # noqa: E402
from edgereid.cli.main import main  # noqa: E402
from edgereid.evaluation.score import FLIPPED  # noqa: E402
from edgereid.models import registry  # noqa: E402
from edgereid.models.dslnet import DSLNet  # noqa: E402


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Drawn people, and bundles of a small network with and without mirror images."""
    registry.names()  # loads the networks, so that the small one is added to them

    @registry.register("small-flip", registry.InputSpec(height=64, width=32), paper="none")
    def small(num_ids: int | None = None) -> registry.Network:
        return DSLNet(widths=(12, 24, 36, 48), feature_size=32, num_ids=num_ids)

    folder = tmp_path_factory.mktemp("flip")
    assert (
        main(["synth", str(folder / "data"), "--ids", "8", "--test-ids", "5", "--workers", "1"])
        == 0
    )
    torch.manual_seed(0)
    network = small().train()
    with torch.no_grad():  # batch statistics, so that features differ
        for _ in range(40):
            network(torch.randn(16, 3, 64, 32))
    save_file(network.state_dict(), str(folder / "w.safetensors"))
    argv = ["export", "small-flip", "--weights", str(folder / "w.safetensors")]
    argv += ["--calib", str(folder / "data"), "--target", "onnxruntime", "--threads", "1"]
    assert main([*argv, "--out", str(folder / "plain")]) == 0
    assert main([*argv, "--out", str(folder / "flip"), "--flip"]) == 0
    yield folder
    del registry._ENTRIES["small-flip"]


@pytest.fixture
def evaluate(work: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    def run(bundle: str, *flags: str) -> dict[str, Any]:
        argv = ["eval", str(work / bundle), "--data", str(work / "data"), "--no-cache", "--json"]
        capsys.readouterr()
        assert main([*argv, "--runtime", "onnxruntime", "--threads", "1", *flags]) == 0
        (row,) = json.loads(capsys.readouterr().out)["rows"]
        return {key: row[key] for key in ("map", "minp", "cmc", "protocol")}

    return run


def test_only_the_manifest_differs(work: Path) -> None:
    manifests = [json.loads((work / n / "manifest.json").read_text()) for n in ("flip", "plain")]
    assert manifests[0].pop("flip") is True
    for manifest in manifests:
        del manifest["provenance"]["command"]
    assert manifests[0] == manifests[1]


def test_eval_follows_the_manifest_and_a_flag_overrides_it(evaluate: Any) -> None:
    plain, mirrored = evaluate("plain"), evaluate("flip")
    assert FLIPPED in mirrored["protocol"]
    assert FLIPPED not in plain["protocol"]
    assert mirrored["map"] != plain["map"]
    assert evaluate("plain", "--flip") == mirrored
    assert evaluate("flip", "--no-flip") == plain


@pytest.mark.parametrize("bundle", ["flip", "plain"])
def test_show_ranks_by_the_same_embeddings_as_eval(
    evaluate: Any, bundle: str, work: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    want = evaluate(bundle)
    argv = ["show", str(work / bundle), "--data", str(work / "data"), "--threads", "1", "--json"]
    assert main([*argv, "--no-cache", "--out", str(tmp_path / "lists.html")]) == 0
    (engine,) = json.loads(capsys.readouterr().out)["engines"]
    assert engine["mean_ap"] == pytest.approx(want["map"], abs=1e-6)


def test_the_export_says_it(work: Path) -> None:
    said = [summary(Bundle.open(work / name)) for name in ("flip", "plain")]
    assert ["mirror" in text for text in said] == [True, False]
