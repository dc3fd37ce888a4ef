"""How the public files of ImageNet and re-ID weights call their tensors, as tables, and which of
them a network can take.

Sources of the names: pytorch/vision ``torchvision/models/resnet.py`` (timm's ``resnet50`` has the
same), zhanghang1989/ResNeSt ``resnest/torch/models`` and timm ``timm/models/resnest.py`` (alike),
KaiyangZhou/deep-person-reid ``torchreid/models/osnet.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor

_BRANCHES = ("whole", "part2", "part3", "part4")  # of MGN: each has a copy of stages 3 and 4

HEAD = "training head, learned anew"
CLASSIFIER = "a classifier of other classes"
UNKNOWN = "no layer of that name"
ABSENT = "not in the file"
SHAPE = "another shape or type"

_CLASSIFIERS = re.compile(r"(fc|head|classifiers?|last_linear|aux|neck)(\..+)?")
#: Counters that nothing here reads (batch norm has a fixed momentum); many files lack them.
_COUNTER = ".num_batches_tracked"


@dataclass(frozen=True, slots=True)
class Naming:
    """Regular expressions of names in a file, and the names in a network that they stand for.

    Of the names in a network those count that a network has; several may take the same tensor.
    """

    name: str
    rules: tuple[tuple[str, tuple[str, ...]], ...]

    def targets(self, name: str) -> tuple[str, ...]:
        """The names by the first rule that knows ``name``; none where no rule does."""
        for pattern, templates in self.rules:
            if match := re.fullmatch(pattern, name):
                return tuple(match.expand(t) for t in templates)
        return ()


_BOTTLENECK = r"(?:(?:conv|bn)[123]|downsample\.[01])\.\w+"
_SPLIT = r"(?:(?:conv|bn)[13]|conv2\.(?:conv|bn0|fc1|bn1|fc2)|downsample\.[12])\.\w+"

RESNET = Naming(
    "ResNet-50 of torchvision and timm",
    (  # to SA-MBN by the same name; to MGN's trunk, which ends within stage 3, and its branches
        (r"conv1\.(\w+)", (r"conv1.\1", r"trunk.0.\1")),
        (r"bn1\.(\w+)", (r"bn1.\1", r"trunk.1.\1")),
        (rf"layer1\.(\d\.{_BOTTLENECK})", (r"layer1.\1", r"trunk.4.\1")),
        (rf"layer2\.(\d\.{_BOTTLENECK})", (r"layer2.\1", r"trunk.5.\1")),
        (rf"layer3\.0\.({_BOTTLENECK})", (r"layer3.0.\1", r"trunk.6.\1")),
        (
            rf"layer3\.([1-5]\.{_BOTTLENECK})",
            (r"layer3.\1", *(rf"{b}.layer3.\1" for b in _BRANCHES)),
        ),
        (
            rf"layer4\.(\d\.{_BOTTLENECK})",
            (r"layer4.\1", *(rf"{b}.layer4.\1" for b in _BRANCHES)),
        ),
    ),
)
RESNEST = Naming(
    "ResNeSt of its authors and timm",
    (
        (r"(conv1\.[013467]\.\w+|bn1\.\w+)", (r"\1",)),
        (rf"(layer[1-4]\.\d\.{_SPLIT})", (r"\1",)),
    ),
)
OSNET = Naming(
    "OSNet of torchreid",
    (
        (r"(conv[15]\.(?:conv|bn)\.\w+)", (r"\1",)),
        (r"(conv[234]\.[012]\.\w+(?:\.\w+)+)", (r"\1",)),
        (r"(fc\.[01]\.\w+)", (r"\1",)),
    ),
)
OWN = Naming("edgereid", ((r"(.+)", (r"\1",)),))

#: The first of equals is taken.
NAMINGS = (RESNET, RESNEST, OSNET, OWN)


@dataclass(frozen=True, slots=True)
class Fit:
    """A file's tensors in a network by one naming.

    ``used``: name in the file -> names in the network. ``left`` (names in the network) and
    ``unused`` (names in the file) say why for the rest; ``shapes`` says what differs for those
    with the reason SHAPE.
    """

    naming: str
    used: dict[str, tuple[str, ...]]
    left: dict[str, str]
    unused: dict[str, str]
    shapes: dict[str, str]


def best_fit(
    file: Mapping[str, Tensor], own: Mapping[str, Tensor], deployable: frozenset[str]
) -> Fit:
    """The naming by which most tensors of ``file`` fit the network's state ``own``; only its
    ``deployable`` tensors are given away, training heads never."""
    return max((_fit(n, file, own, deployable) for n in NAMINGS), key=lambda fit: len(fit.used))


def is_resnet50(own: Mapping[str, Tensor]) -> bool:
    """Whether the network has the first and the last 3x3 or 7x7 convolution of a ResNet-50."""
    shapes = {"conv1.weight": (64, 3, 7, 7), "layer4.2.conv2.weight": (512, 512, 3, 3)}
    return all(
        any(t in own and tuple(own[t].shape) == shape for t in RESNET.targets(name))
        for name, shape in shapes.items()
    )


def _fit(
    naming: Naming,
    file: Mapping[str, Tensor],
    own: Mapping[str, Tensor],
    deployable: frozenset[str],
) -> Fit:
    used: dict[str, tuple[str, ...]] = {}
    unused: dict[str, str] = {}
    shapes: dict[str, str] = {}
    missed = set()
    for name, tensor in file.items():
        targets = [t for t in naming.targets(name) if t in own]
        open_ones = [t for t in targets if t in deployable]
        taken = tuple(t for t in open_ones if _same_kind(tensor, own[t]))
        if taken:
            used[name] = taken
        elif open_ones:
            unused[name] = SHAPE
            shapes[name] = f"{_kind(tensor)} in the file, {_kind(own[open_ones[0]])} here"
            missed.update(open_ones)
        elif targets:
            unused[name] = HEAD
        else:
            unused[name] = CLASSIFIER if _CLASSIFIERS.fullmatch(name) else UNKNOWN
    given = {t for targets in used.values() for t in targets}
    rest = (t for t in own if t not in given and not t.endswith(_COUNTER))
    left = {t: HEAD if t not in deployable else SHAPE if t in missed else ABSENT for t in rest}
    return Fit(naming.name, used, left, unused, shapes)


def _same_kind(a: Tensor, b: Tensor) -> bool:
    return a.shape == b.shape and a.is_floating_point() == b.is_floating_point()


def _kind(tensor: Tensor) -> str:
    kind = "" if tensor.is_floating_point() else f" {tensor.dtype}".replace("torch.", "")
    return f"{tuple(tensor.shape)}{kind}"


def roots(names: Iterable[str], others: Iterable[str]) -> tuple[str, ...]:
    """The shortest beginnings (whole parts between dots) that cover ``names`` and none of
    ``others``, in the order of ``names``."""
    taken = {beginning for name in others for beginning in _beginnings(name)}
    found = (next((b for b in _beginnings(n) if b not in taken), n) for n in names)
    return tuple(dict.fromkeys(found))


def _beginnings(name: str) -> Iterator[str]:
    parts = name.split(".")
    return (".".join(parts[:n]) for n in range(1, len(parts) + 1))
