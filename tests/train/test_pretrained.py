"""Pretrained weights: public namings into our networks, the report, files that are no good."""

from __future__ import annotations

import hashlib
import json
import math
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import resnet18, resnet50, resnet101

from edgereid.cli.main import main
from edgereid.errors import EdgeReidError, InputError, IntegrityError, StorageError, UsageError
from edgereid.models import registry
from edgereid.models.registry import Network
from edgereid.train import pretrained_file
from edgereid.train import recipe as recipes
from edgereid.train.checkpoint import CHECKPOINT
from edgereid.train.checkpoint import load as load_checkpoint
from edgereid.train.naming import ABSENT, CLASSIFIER, HEAD, SHAPE, UNKNOWN, best_fit, roots
from edgereid.train.pretrained import Report, load_pretrained
from edgereid.train.recipe import Recipe
from edgereid.train.run import TrainOptions, run_training

Shapes = dict[str, tuple[int, ...]]
IDS = 5


@cache
def deployable(name: str) -> frozenset[str]:
    with torch.device("meta"):
        return frozenset(registry.build(name).state_dict())


def fresh(name: str, value: float = -1) -> Network:
    """Everything in it is ``value``: no initialisation, which takes seconds."""
    with torch.device("meta"):
        network = registry.build(name, IDS)
    network = network.to_empty(device="cpu")
    for tensor in network.state_dict().values():
        tensor.fill_(value)
    return network


def untouched(network: Network) -> bool:
    return all(bool((v == -1).all()) for v in network.state_dict().values())


def load(path: Path, name: str) -> tuple[Network, Report]:
    network = fresh(name)
    return network, load_pretrained(path, network, deployable(name), name)


def saved(path: Path, value: Any) -> Path:
    torch.save(value, path)
    return path


def why(rests: tuple[Any, ...]) -> dict[str, tuple[str, ...]]:
    return {r.why: r.layers for r in rests}


# --- the public namings, from the sources named in edgereid/train/naming.py


def norm(name: str, n: int) -> Shapes:
    tensors = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{t}": (n,) for t in tensors}, f"{name}.num_batches_tracked": ()}


def with_bias(name: str, *shape: int) -> Shapes:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def resnest50(radix: int, groups: int, width: int) -> Shapes:
    """ResNet(Bottleneck, [3, 4, 6, 3], deep_stem=True, stem_width=32, avg_down=True, avd=True)."""
    s: Shapes = {"conv1.0.weight": (32, 3, 3, 3), **norm("conv1.1", 32)}
    s |= {"conv1.3.weight": (32, 32, 3, 3), **norm("conv1.4", 32)}
    s |= {"conv1.6.weight": (64, 32, 3, 3), **norm("bn1", 64)}
    i = 64
    for stage, (blocks, planes) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 1):
        w, out = int(planes * width / 64) * groups, planes * 4
        inner = max(w * radix // 4, 32)
        for b in range(blocks):
            p = f"layer{stage}.{b}"
            s |= {f"{p}.conv1.weight": (w, i, 1, 1), **norm(f"{p}.bn1", w)}
            s |= {f"{p}.conv2.conv.weight": (w * radix, w // (groups * radix), 3, 3)}
            s |= norm(f"{p}.conv2.bn0", w * radix)
            s |= with_bias(f"{p}.conv2.fc1", inner, w // groups, 1, 1)
            s |= norm(f"{p}.conv2.bn1", inner)
            s |= with_bias(f"{p}.conv2.fc2", w * radix, inner // groups, 1, 1)
            s |= {f"{p}.conv3.weight": (out, w, 1, 1), **norm(f"{p}.bn3", out)}
            if b == 0:
                s |= {f"{p}.downsample.1.weight": (out, i, 1, 1), **norm(f"{p}.downsample.2", out)}
            i = out
    return s | with_bias("fc", 1000, 2048)


def osnet(*channels: int, classes: int = 1000) -> Shapes:
    """OSNet(blocks of two OSBlock, channels, feature_dim=512)."""
    c0, *rest = channels

    def conv(name: str, o: int, i: int, k: int = 1) -> Shapes:
        return {f"{name}.conv.weight": (o, i, k, k), **norm(f"{name}.bn", o)}

    s = conv("conv1", c0, 3, 7)
    i = c0
    for stage, o in enumerate(rest, 2):
        m = o // 4
        for b in range(2):
            p = f"conv{stage}.{b}"
            s |= conv(f"{p}.conv1", m, i)
            for stream, depth in zip("abcd", (1, 2, 3, 4), strict=True):
                for k in range(depth):
                    q = f"{p}.conv2{stream}" + (f".{k}" if depth > 1 else "")
                    s |= {f"{q}.conv1.weight": (m, m, 1, 1), f"{q}.conv2.weight": (m, 1, 3, 3)}
                    s |= norm(f"{q}.bn", m)
            s |= with_bias(f"{p}.gate.fc1", m // 16, m, 1, 1)
            s |= with_bias(f"{p}.gate.fc2", m, m // 16, 1, 1)
            s |= conv(f"{p}.conv3", o, m)
            s |= conv(f"{p}.downsample", o, i) if b == 0 else {}
            i = o
        s |= conv(f"conv{stage}.2.0", o, o) if stage < 4 else {}
    s |= conv("conv5", i, i) | with_bias("fc.0", 512, i) | norm("fc.1", 512)
    return s | with_bias("classifier", classes, 512)


def drawn(shapes: Shapes) -> dict[str, Tensor]:
    """Every tensor is one number, its own (a file of them is small)."""
    return {
        n: torch.tensor(k) if n.endswith("tracked") else torch.tensor(k / 4).expand(s)
        for k, (n, s) in enumerate(shapes.items())
    }


def parameters(shapes: Shapes, part: str = "") -> int:
    """Of the layers whose names hold ``part``."""
    buffers = ("running_mean", "running_var", "tracked")
    return sum(math.prod(s) for n, s in shapes.items() if part in n and not n.endswith(buffers))


def test_the_hand_written_lists_count_what_their_authors_count() -> None:
    """OSNet: torchreid's own counter says 2,193,616 and counts the gate once a stream."""
    shapes = osnet(64, 256, 384, 512)
    body = parameters(shapes) - parameters(shapes, "classifier")
    assert body + 3 * parameters(shapes, "gate") == 2_193_616
    assert parameters(resnest50(2, 1, 64)) == 27_483_240


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    """torchvision's ResNet-50 with batch norms that are anything but the identity."""
    torch.manual_seed(0)
    network: nn.Module = resnet50(weights=None)
    for m in network.modules():
        if isinstance(m, nn.BatchNorm2d):
            for tensor in (m.weight, m.running_var):
                nn.init.uniform_(tensor, 0.5, 1.5)
            for tensor in (m.bias, m.running_mean):
                nn.init.uniform_(tensor, -0.3, 0.3)
    return network.eval()


@pytest.fixture(scope="module")
def resnet_file(resnet: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("weights") / "resnet50.pth", resnet.state_dict())


def stages(network: Any, x: Tensor) -> list[Tensor]:
    """Outputs of the four stages of anything with torchvision's attributes."""
    x = network.maxpool(network.relu(network.bn1(network.conv1(x))))
    found = []
    for n in range(1, 5):
        x = network.get_submodule(f"layer{n}")(x)
        found.append(x)
    return found


def assert_alike(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_sa_mbn_computes_what_torchvision_computes_up_to_stage_three(
    resnet: nn.Module, resnet_file: Path
) -> None:
    network, report = load(resnet_file, "sa_mbn")
    x = torch.randn(2, 3, 64, 32)
    expected, got = stages(resnet, x), stages(network.eval(), x)
    for a, b in zip(got[:3], expected[:3], strict=True):
        assert_alike(a, b)
    assert got[3].shape[2:] == expected[2].shape[2:]  # stage 4 keeps the size, and so differs
    assert report.parameters == sum(p.numel() for p in resnet.parameters()) - 2_049_000
    assert why(report.left) == {
        ABSENT: ("attention", "reduce"),
        HEAD: ("neck", "classifiers"),
    }
    assert why(report.unused) == {CLASSIFIER: ("fc",)}
    assert report.naming.startswith("ResNet-50 of torchvision")


@torch.no_grad()
def test_every_branch_of_mgn_gets_its_copy_of_stages_three_and_four(
    resnet: Any, resnet_file: Path
) -> None:
    network, report = load(resnet_file, "mgn")
    mgn: Any = network.eval()
    x = torch.randn(2, 3, 64, 32)
    expected = stages(resnet, x)
    shared = mgn.trunk(x)
    for branch in mgn.branches():
        assert_alike(branch.layer3(shared), expected[2])
        for name, tensor in resnet.layer4.state_dict().items():
            assert torch.equal(branch.layer4.state_dict()[name], tensor)
    assert_alike(mgn.whole.layer4(mgn.whole.layer3(shared)), expected[3])
    assert {r.why for r in report.left} == {ABSENT, HEAD}
    assert report.fresh[:3] == ("whole.reduce", "part2.reduce", "part2.reduce_parts")
    copies = sum(p.numel() for m in (resnet.layer3[1:], resnet.layer4) for p in m.parameters())
    once = sum(p.numel() for p in resnet.parameters()) - 2_049_000
    assert report.parameters == once + 2 * copies


GOLDEN: dict[str, tuple[str, Shapes]] = {
    "resnest50_k1r2": ("ResNeSt of its authors and timm", resnest50(2, 1, 64)),
    "resnest50_k2r2": ("ResNeSt of its authors and timm", resnest50(2, 2, 40)),
    "osnet_x1_0": ("OSNet of torchreid", osnet(64, 256, 384, 512)),
    "osnet_x0_25": ("OSNet of torchreid", osnet(16, 64, 96, 128, classes=IDS)),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_a_public_file_fills_all_but_the_heads(name: str, tmp_path: Path) -> None:
    naming, shapes = GOLDEN[name]
    values = drawn(shapes)
    network, report = load(saved(tmp_path / "w.pt", OrderedDict(values)), name)
    state = network.state_dict()
    for key in deployable(name):
        assert torch.equal(state[key], values[key]), key
    assert report.naming == naming
    assert report.fresh == ()
    assert why(report.left) == {HEAD: ("classifier",)}
    assert bool((state["classifier.weight"] == -1).all())
    assert [r.layers for r in report.unused] == [("fc",) if "resnest" in name else ("classifier",)]


CONTAINERS: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "bare": lambda s: s,
    "state_dict": lambda s: {"epoch": 3, "rank1": 0.9, "state_dict": OrderedDict(s)},
    "model": lambda s: {"model": s, "optimizer": {"lr": 0.1}},
    "module": lambda s: {f"module.{k}": v for k, v in s.items()},
    "both": lambda s: {"state_dict": {f"module.backbone.{k}": v for k, v in s.items()}},
    "model.": lambda s: {"model": {f"model.{k}": v for k, v in s.items()}},
    "half": lambda s: {k: v.half() if v.is_floating_point() else v for k, v in s.items()},
    "extra": lambda s: {**s, "note": "text"},
}


NESTED = ("state_dict", "model", "both", "model.")  # which safetensors files cannot be


@pytest.mark.parametrize(
    ("container", "suffix"),
    [(c, s) for s in (".pth", ".tar-60") for c in CONTAINERS]
    + [(c, ".safetensors") for c in CONTAINERS if c not in NESTED],
)
def test_containers_and_common_beginnings_are_taken_off(
    tmp_path: Path, container: str, suffix: str
) -> None:
    values = drawn(osnet(16, 64, 96, 128))
    value = CONTAINERS[container](values)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file({k: v.contiguous() for k, v in value.items() if isinstance(v, Tensor)}, path)
    else:
        saved(path, value)
    network, report = load(path, "osnet_x0_25")
    assert report.fresh == ()
    got, given = network.state_dict(), values
    assert all(torch.equal(got[k], given[k].to(got[k].dtype)) for k in deployable("osnet_x0_25"))


def test_a_prefix_that_not_all_names_carry_stays(tmp_path: Path) -> None:
    values = {f"module.{k}": v for k, v in drawn(osnet(16, 64, 96, 128)).items()}
    with pytest.raises(InputError, match="0 of its"):
        load(saved(tmp_path / "w.pth", {**values, "other": torch.zeros(1)}), "osnet_x0_25")


def test_a_network_takes_its_own_weights_and_a_variant_takes_what_fits(tmp_path: Path) -> None:
    other = fresh("dslnet", 3)
    path = saved(tmp_path / "own.pt", other.state_dict())
    network, report = load(path, "dslnet")
    assert report.naming == "edgereid"
    assert why(report.left) == {HEAD: ("classifier", "aux")}
    assert why(report.unused) == {HEAD: ("classifier", "aux")}
    keys = deployable("dslnet")
    assert all(torch.equal(network.state_dict()[k], other.state_dict()[k]) for k in keys)
    _, variant = load(path, "dslnet_se")
    assert variant.fresh[0] == "s1.0.select"
    assert set(why(variant.unused)) == {HEAD, UNKNOWN}


def test_tensors_of_another_shape_are_reported_with_both_shapes(tmp_path: Path) -> None:
    values = drawn(osnet(16, 64, 96, 128))
    values["conv1.conv.weight"] = torch.ones(16, 1, 7, 7)
    values["fc.0.weight"] = torch.ones(512, 99)
    values["conv5.bn.bias"] = torch.ones(128, dtype=torch.int64)
    _, report = load(saved(tmp_path / "w.pth", values), "osnet_x0_25")
    assert why(report.unused)[SHAPE] == (
        "conv1.conv.weight (16, 1, 7, 7) in the file, (16, 3, 7, 7) here",
        "conv5.bn.bias (128,) int64 in the file, (128,) here",
        "fc.0.weight (512, 99) in the file, (512, 128) here",
    )
    assert why(report.left)[SHAPE] == ("conv1.conv", "conv5.bn.bias", "fc.0.weight")


def shapes_of(make: Callable[..., nn.Module]) -> dict[str, Tensor]:
    """A state dict of torchvision's with other values."""
    with torch.device("meta"):
        state = make(weights=None).state_dict()
    return drawn({n: tuple(t.shape) for n, t in state.items()})


WRONG: dict[str, tuple[Callable[[], dict[str, Tensor]], str, str]] = {
    "another width": (lambda: drawn(osnet(64, 256, 384, 512)), "osnet_x0_25", r"\(64, 3, 7, 7\)"),
    "another cardinality": (lambda: drawn(resnest50(2, 1, 64)), "resnest50_k2r3", "ResNeSt"),
    "shallower": (lambda: shapes_of(resnet18), "sa_mbn", "ResNet-50 of torchv"),
    "deeper": (lambda: shapes_of(resnet101), "sa_mbn", "53 of its 104"),
    "plain": (lambda: shapes_of(resnet50), "resnest50_k1r2", "32 of its 53"),
    "no convolutions": (lambda: {"fc.weight": torch.ones(3, 3)}, "sa_mbn", "0 of its 0"),
}


@pytest.mark.parametrize("case", WRONG)
def test_weights_of_another_network_are_refused_and_nothing_is_loaded(
    case: str, tmp_path: Path
) -> None:
    make, name, message = WRONG[case]
    path = saved(tmp_path / "w.pth", make())
    network = fresh(name)
    with pytest.raises(InputError, match=message) as caught:
        load_pretrained(path, network, deployable(name), name)
    assert "\n" not in str(caught.value)
    assert untouched(network)


# --- files that are no good


class Evil:
    """Unpickling it would leave a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.mark,))


def bomb(path: Path) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data/0", bytes(2**22))


def write_bad(path: Path, case: str, mark: Path) -> None:
    good = {k: v.contiguous() for k, v in drawn(osnet(16, 64, 96, 128)).items()}
    nan, big = dict(good), dict(good)
    nan["conv5.bn.bias"] = torch.full((128,), torch.nan)
    big["conv5.bn.bias"] = torch.full((128,), 1e300, dtype=torch.float64)
    values = {
        "evil": {"state_dict": good, "hook": Evil(mark)},
        "list": [1, 2],
        "empty dict": {},
        "no tensors": {"a": 1},
        "nan": nan,
        "too big a number": big,
        "numbers as names": {1: torch.zeros(2)},
        "many names": dict.fromkeys(map(str, range(50_001)), 0),
        "control characters": {**good, "\x1b[31m": torch.zeros(2)},
        "sparse": {"a": torch.eye(2).to_sparse()},
        "meta": {"a": torch.empty(2, device="meta")},
    }
    if case in values:
        torch.save(values[case], path)
    elif case == "bomb":
        bomb(path)
    else:
        torch.save(good, path)
        whole = path.read_bytes()
        path.write_bytes({"empty": b"", "text": b"hello"}.get(case, whole[: len(whole) // 2]))


BAD = (
    "evil", "list", "empty dict", "no tensors", "nan", "too big a number", "numbers as names",
    "many names", "control characters", "sparse", "meta", "bomb", "empty", "text", "cut off",
)  # fmt: skip


@pytest.mark.filterwarnings("ignore:Sparse invariant checks")
@pytest.mark.parametrize("case", BAD)
def test_a_hostile_or_damaged_file_is_one_line_and_runs_nothing(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pretrained_file, "MAX_BYTES", 3 * 2**20)
    path, mark = tmp_path / "w.pth", tmp_path / "ran"
    write_bad(path, case, mark)
    network = fresh("osnet_x0_25")
    with pytest.raises(InputError, match=r"w\.pth") as caught:
        load_pretrained(path, network, deployable("osnet_x0_25"), "osnet_x0_25")
    assert str(caught.value).isprintable()
    assert "weights_only" not in str(caught.value)
    assert not mark.exists()
    assert untouched(network)


def test_a_file_over_the_limit_or_no_file_at_all_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pretrained_file.MAX_BYTES == 2 * 2**30
    big = tmp_path / "big.safetensors"
    with big.open("wb") as f:
        f.truncate(2**31 + 1)  # sparse: takes no room
    for path, message in ((big, "at most 2 GiB"), (tmp_path, "is no file"), (tmp_path / "x", "is")):
        with pytest.raises(InputError, match=message):
            pretrained_file.read(path)
    (tmp_path / "w.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(InputError, match="cannot be read"):
        pretrained_file.read(tmp_path / "w.safetensors")


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 3000), at=st.integers(0, 3000), byte=st.integers(0, 255))
def test_a_damaged_file_is_read_or_refused_in_one_line(
    tmp_path_factory: pytest.TempPathFactory, cut: int, at: int, byte: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "damaged.pth"
    saved(path, {"conv1.weight": torch.ones(4, 3, 3, 3), "bn1.bias": torch.ones(4)})
    data = bytearray(path.read_bytes())
    data[at % len(data)] = byte
    path.write_bytes(bytes(data[: len(data) - (cut if cut % 2 else 0)]))
    try:
        pretrained_file.read(path)
    except InputError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017 - reading may as well succeed


# --- torchvision's file


@pytest.fixture
def hub(tmp_path: Path, resnet_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of torch.hub, and a server (a folder) with a file under its digest's name;
    returns the file on the server."""
    digest = hashlib.sha256(resnet_file.read_bytes()).hexdigest()
    source = tmp_path / "server" / f"resnet50-{digest[:8]}.pth"
    source.parent.mkdir()
    source.hardlink_to(resnet_file)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(pretrained_file, "torchvision_url", source.as_uri)
    return source


def cached(source: Path) -> Path:
    return source.parents[1] / "home" / "hub" / "checkpoints" / source.name


def test_the_address_is_torchvisions_and_names_its_digest() -> None:
    assert pretrained_file.torchvision_url().endswith("/resnet50-0676ba61.pth")
    assert pretrained_file.locate("torchvision").name == "resnet50-0676ba61.pth"


def test_torchvisions_file_is_downloaded_once_and_then_taken_from_the_cache(
    hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = pretrained_file.fetch("torchvision")
    assert path == cached(hub)
    assert path.read_bytes() == hub.read_bytes()
    assert capsys.readouterr().err.startswith("downloading file:")
    hub.unlink()  # no network any more
    assert pretrained_file.fetch("torchvision") == path
    assert capsys.readouterr().err == ""
    _, report = load(path, "sa_mbn")
    assert report.sha256.startswith(hub.stem.removeprefix("resnet50-"))


def refuse_to_write(hub: Path, patch: pytest.MonkeyPatch) -> None:
    cached(hub).parents[1].write_text("a file where the folder should be")


def no_network(hub: Path, patch: pytest.MonkeyPatch) -> None:
    hub.unlink()


def other_bytes(hub: Path, patch: pytest.MonkeyPatch) -> None:
    hub.unlink()
    hub.write_bytes(b"not it")


def broken_cache(hub: Path, patch: pytest.MonkeyPatch) -> None:
    cached(hub).parent.mkdir(parents=True)
    cached(hub).write_bytes(b"half of it")


def full_disk(hub: Path, patch: pytest.MonkeyPatch) -> None:
    def download(*args: Any, **kwargs: Any) -> None:
        raise OSError(28, "No space left on device")

    patch.setattr(torch.hub, "download_url_to_file", download)


FAILURES: dict[Callable[[Path, pytest.MonkeyPatch], None], tuple[type[EdgeReidError], str]] = {
    no_network: (InputError, "connect to the network, or put the file at .*checkpoints"),
    other_bytes: (InputError, "invalid hash value"),
    broken_cache: (IntegrityError, "Remove it and run again"),
    full_disk: (StorageError, "the disk is full"),
    refuse_to_write: (StorageError, "cannot write"),
}


@pytest.mark.parametrize("failure", FAILURES, ids=lambda f: f.__name__)
def test_a_download_that_fails_is_one_line_and_leaves_nothing(
    hub: Path, monkeypatch: pytest.MonkeyPatch, failure: Any
) -> None:
    kind, message = FAILURES[failure]
    (hub.parents[1] / "home").mkdir()
    failure(hub, monkeypatch)
    before = sorted((hub.parents[1] / "home").rglob("*.*"))
    with pytest.raises(kind, match=message) as caught:
        pretrained_file.fetch("torchvision")
    assert len(str(caught.value).splitlines()) == 1
    assert sorted((hub.parents[1] / "home").rglob("*.*")) == before


# --- runs


@pytest.fixture
def backbone(tmp_path: Path) -> Path:
    """Weights of the tiny network under another's beginning, with a classifier of its own."""
    torch.manual_seed(11)
    state = registry.build("tiny", 77).state_dict()
    return saved(
        tmp_path / "tiny.pth", {"state_dict": {f"module.{k}": v for k, v in state.items()}}
    )


@pytest.fixture
def options(market: Path, recipe: Recipe, tmp_path: Path, backbone: Path) -> TrainOptions:
    """A run of one epoch that moves no parameter."""
    still = replace(recipe, epochs=1, lr=0.0, warmup_epochs=0.0)
    out = tmp_path / "run"
    return TrainOptions(still, market, out, pretrained=str(backbone), threads=1)


@pytest.mark.parametrize("spectral", [False, True])
def test_a_run_starts_from_the_file_before_spectral_normalisation_and_records_it(
    options: TrainOptions,
    backbone: Path,
    capsys: pytest.CaptureFixture[str],
    spectral: bool,
) -> None:
    run_training(replace(options, recipe=replace(options.recipe, spectral_norm=spectral)))
    state = load_checkpoint(options.out / CHECKPOINT).model
    given = torch.load(backbone, weights_only=True)["state_dict"]["module.stem.0.0.weight"]
    name = "stem.0.0.parametrizations.weight.original" if spectral else "stem.0.0.weight"
    assert torch.equal(state[name], given)
    record = json.loads((options.out / "weights.json").read_text())["pretrained"]
    assert record["file"] == "tiny.pth"
    assert record["sha256"] == hashlib.sha256(backbone.read_bytes()).hexdigest()
    assert record["naming"] == "edgereid"
    assert record["left"] == [{"why": HEAD, "tensors": 10, "layers": ["classifier", "aux"]}]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith(f"pretrained: {record['tensors']} tensors, ")
    assert lines[1:3] == [
        f"  left as initialised: classifier, aux ({HEAD})",
        f"  not used: classifier, aux ({HEAD})",
    ]


@pytest.fixture
def finished(options: TrainOptions) -> TrainOptions:
    run_training(options)
    return replace(options, resume=True)


def test_a_resumed_run_needs_no_file_and_keeps_the_report(
    finished: TrainOptions, backbone: Path
) -> None:
    before = json.loads((finished.out / "weights.json").read_text())["pretrained"]
    backbone.unlink()
    for choice in (finished.pretrained, None):
        run_training(replace(finished, pretrained=choice))
        record = json.loads((finished.out / "weights.json").read_text())
        assert record["pretrained"] == before


def test_a_run_is_not_resumed_with_other_pretrained_weights(
    finished: TrainOptions, backbone: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere" / backbone.name
    elsewhere.parent.mkdir()
    saved(elsewhere, registry.build("tiny").state_dict())
    with pytest.raises(UsageError, match=r"pretrained\.sha256 was"):
        run_training(replace(finished, pretrained=str(elsewhere)))
    with pytest.raises(UsageError, match=r"pretrained\.file was 'tiny\.pth', is 'gone\.pth'"):
        run_training(replace(finished, pretrained="gone.pth"))
    plain = replace(finished, out=tmp_path / "plain", pretrained=None)
    run_training(replace(plain, resume=False))
    with pytest.raises(UsageError, match="pretrained was None"):
        run_training(replace(plain, pretrained=str(backbone)))


def test_frozen_layers_that_nothing_was_loaded_into_are_named(
    options: TrainOptions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = registry.build("tiny").state_dict()
    part = saved(tmp_path / "part.pth", {k: v for k, v in state.items() if "fc.0" not in k})
    for freeze in (0, 1):
        recipe = replace(options.recipe, freeze_epochs=freeze)
        out = tmp_path / f"run{freeze}"
        run_training(replace(options, recipe=recipe, pretrained=str(part), out=out))
        errors = capsys.readouterr().err
        assert "left as initialised: fc.0 (not in the file)" in errors
        assert ("the first 1 epochs train the heads only" in errors) == bool(freeze)


def test_the_recipes_backbone_of_sa_mbn_is_what_imagenet_weights_fill(resnet: nn.Module) -> None:
    network, recipe = fresh("sa_mbn"), recipes.load("sa-mbn")
    fit = best_fit(resnet.state_dict(), network.state_dict(), deployable("sa_mbn"))
    filled = {t for targets in fit.used.values() for t in targets}
    names = {n for n, _ in network.named_parameters()}
    assert {n for n in names if n.startswith(recipe.backbone)} == filled & names


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--pretrained", "FILE", "--init", "FILE"], 2, "--init and --pretrained exclude"),
        (["--pretrained", "torchvision"], 2, "tiny is not built on"),
        (["--pretrained", "missing.pth"], 3, "missing.pth is no file"),
        (["--pretrained", "RECIPE"], 3, "tiny.json cannot be read"),
    ],
)
def test_wrong_use_on_the_command_line_is_one_line(
    market: Path,
    tmp_path: Path,
    recipe_file: Path,
    backbone: Path,
    capsys: pytest.CaptureFixture[str],
    words: list[str],
    code: int,
    message: str,
) -> None:
    real = {"FILE": str(backbone), "RECIPE": str(recipe_file)}
    base = ["train", "tiny", "--data", market, "--out", tmp_path / "out", "--recipe", recipe_file]
    assert main([*map(str, base), *(real.get(w, w) for w in words)]) == code
    errors = capsys.readouterr().err
    assert message in errors
    assert len(errors.strip().splitlines()) == 1


def test_the_command_trains_from_a_file(
    market: Path,
    tmp_path: Path,
    recipe_file: Path,
    backbone: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    base = ["train", "tiny", "--data", market, "--out", tmp_path / "out", "--recipe", recipe_file]
    more = ["--pretrained", backbone, "--epochs", "1", "--threads", "1", "--json"]
    assert main([*map(str, base), *map(str, more)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["pretrained"]["naming"] == "edgereid"
    assert result["command"].endswith("--pretrained tiny.pth")


# --- the shortest beginnings

NAMES = st.lists(st.sampled_from("ab"), min_size=1, max_size=4).map(".".join)


def covers(root: str, name: str) -> bool:
    return name == root or name.startswith(f"{root}.")


@given(st.sets(NAMES), st.sets(NAMES))
def test_beginnings_cover_the_names_and_none_of_the_others(names: set[str], rest: set[str]) -> None:
    leaves = {n for n in names if not any(covers(n, o) for o in (names | rest) - {n})}
    others = {n for n in rest - names if not any(covers(n, o) for o in (names | rest) - {n})}
    found = roots(sorted(leaves), others)
    assert all(any(covers(r, n) for r in found) for n in leaves)
    assert not any(covers(r, o) for r in found for o in others)
    for root in found:  # the shortest
        above = root.rpartition(".")[0]
        assert not above or any(covers(above, o) for o in others)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
