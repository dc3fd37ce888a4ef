"""MGN (Wang et al., "Learning Discriminative Features with Multiple Granularities for Person
Re-Identification", ACM MM 2018): one trunk, branches that pool the whole map and 2 or 3 stripes.

Order of the feature and other choices where the paper is silent: ``docs/networks.md``.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from edgereid.models.registry import InputSpec, Network, Published, TrainOutput, register
from edgereid.models.resnet import backbone

REDUCED = 256
WIDTH = 2048


class Reduction(nn.Sequential):
    """1x1 convolution without bias, batch norm, ReLU on a pooled vector (B, 2048, 1, 1)."""

    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(WIDTH, REDUCED, 1, bias=False),
            nn.BatchNorm2d(REDUCED),
            nn.ReLU(inplace=True),
        )


@dataclass(frozen=True, slots=True)
class Pooled:
    """A branch's pooled map (B, 2048), its reduction (B, 256), the reduced stripes."""

    whole: Tensor
    reduced: Tensor
    parts: tuple[Tensor, ...]


class Branch(nn.Module):
    """The rest of res_conv4 and res_conv5 of its own, and pooling into ``stripes`` equal bands, top
    first (1: the whole map only, which also keeps res_conv5's stride)."""

    def __init__(self, stripes: int, num_ids: int | None, heads_on_reduced: bool) -> None:
        super().__init__()
        trunk = backbone(last_stride=2 if stripes == 1 else 1)
        self.stripes = stripes
        self.layer3, self.layer4 = trunk.layer3[1:], trunk.layer4
        self.reduce = Reduction()
        parts = stripes if stripes > 1 else 0
        self.reduce_parts = nn.ModuleList(Reduction() for _ in range(parts))
        self.heads_on_reduced = heads_on_reduced
        self.classifier: nn.Module | None = None
        self.part_classifiers: nn.ModuleList | None = None
        if num_ids is not None:
            self.classifier = nn.Linear(REDUCED if heads_on_reduced else WIDTH, num_ids)
            self.part_classifiers = nn.ModuleList(nn.Linear(REDUCED, num_ids) for _ in range(parts))

    def pool(self, x: Tensor) -> Pooled:
        """Features of the trunk's map (B, 1024, H, W)."""
        x = self.layer4(self.layer3(x))
        height, width = (int(n) for n in x.shape[2:])  # constants in an exported graph
        if height % self.stripes:
            raise ValueError(f"a map of height {height} does not split into {self.stripes} stripes")
        # Fixed sizes, since adaptive pooling does not export; the whole is the largest stripe.
        bands = functional.max_pool2d(x, (height // self.stripes, width))  # (B, 2048, n, 1)
        whole = bands.amax(2, keepdim=True)
        parts = tuple(
            reduce(bands[:, :, i : i + 1]).flatten(1) for i, reduce in enumerate(self.reduce_parts)
        )
        return Pooled(whole.flatten(1), self.reduce(whole).flatten(1), parts)

    def forward(self, x: Tensor) -> Tensor:
        """(B, 256 * (1 + stripes)): the whole first."""
        pooled = self.pool(x)
        return torch.cat([pooled.reduced, *pooled.parts], 1)

    def logits(self, pooled: Pooled) -> tuple[Tensor, ...]:
        """Of the whole and of every part."""
        if self.classifier is None or self.part_classifiers is None:
            raise ValueError("this MGN was built without num_ids: it has no heads to train")
        whole = pooled.reduced if self.heads_on_reduced else pooled.whole
        parts = zip(self.part_classifiers, pooled.parts, strict=True)
        return (self.classifier(whole), *(head(part) for head, part in parts))


class MGN(Network):
    """(B, 3, 384, 128) -> (B, 2048): the wholes of all branches, then the stripes of each.

    ``granularities``: stripes of each branch. ``triplet`` False (ablation "w/o TP"): no feature for
    a metric loss, and the classifiers of the wholes stand behind the reduction.
    """

    def __init__(
        self,
        num_ids: int | None = None,
        granularities: tuple[int, ...] = (1, 2, 3),
        triplet: bool = True,
    ) -> None:
        parts = sum(1 + (n if n > 1 else 0) for n in granularities)
        super().__init__(feature_size=REDUCED * parts)
        trunk = backbone()
        self.triplet = triplet
        self.trunk = nn.Sequential(
            trunk.conv1,
            trunk.bn1,
            trunk.relu,
            trunk.maxpool,
            trunk.layer1,
            trunk.layer2,
            trunk.layer3[0],
        )
        self.branch_names = tuple(f"part{n}" if n > 1 else "whole" for n in granularities)
        for name, stripes in zip(self.branch_names, granularities, strict=True):
            self.add_module(name, Branch(stripes, num_ids, heads_on_reduced=not triplet))

    def branches(self) -> tuple[Branch, ...]:
        """The branches in the order of ``granularities``."""
        found = (self.get_submodule(name) for name in self.branch_names)
        return tuple(branch for branch in found if isinstance(branch, Branch))

    def forward(self, x: Tensor) -> Tensor:
        """Feature (B, 2048), all values at least 0."""
        x = self.trunk(x)
        found = [branch(x) for branch in self.branches()]
        return torch.cat([f[:, :REDUCED] for f in found] + [f[:, REDUCED:] for f in found], 1)

    def forward_train(self, x: Tensor) -> TrainOutput:
        """Reduced wholes for the triplet loss; logits of the wholes and of every stripe."""
        x = self.trunk(x)
        pooled = [branch.pool(x) for branch in self.branches()]
        pairs = zip(self.branches(), pooled, strict=True)
        logits = tuple(out for branch, p in pairs for out in branch.logits(p))
        return TrainOutput(tuple(p.reduced for p in pooled) if self.triplet else (), logits)


_INPUT = InputSpec(384, 128)
_PAPER = "Wang et al., ACM MM 2018"
_PUBLISHED = Published(None, None, "the paper prints no counts")


@register("mgn", _INPUT, _PAPER, _PUBLISHED)
def mgn(num_ids: int | None = None) -> Network:
    """MGN as published: 68,807,744 parameters."""
    return MGN(num_ids)


@register("mgn_no_triplet", _INPUT, _PAPER)
def mgn_no_triplet(num_ids: int | None = None) -> Network:
    """Ablation: without the triplet loss."""
    return MGN(num_ids, triplet=False)


@register("mgn_no_part3", _INPUT, _PAPER)
def mgn_no_part3(num_ids: int | None = None) -> Network:
    """Ablation: without the branch of three stripes."""
    return MGN(num_ids, (1, 2))


@register("mgn_part4", _INPUT, _PAPER)
def mgn_part4(num_ids: int | None = None) -> Network:
    """Ablation: a further branch of four stripes."""
    return MGN(num_ids, (1, 2, 3, 4))


@register("mgn_part24", _INPUT, _PAPER)
def mgn_part24(num_ids: int | None = None) -> Network:
    """Ablation: branches of two and four stripes."""
    return MGN(num_ids, (1, 2, 4))


@register("mgn_part34", _INPUT, _PAPER)
def mgn_part34(num_ids: int | None = None) -> Network:
    """Ablation: branches of three and four stripes."""
    return MGN(num_ids, (1, 3, 4))


@register("mgn_single_whole", _INPUT, _PAPER)
def mgn_single_whole(num_ids: int | None = None) -> Network:
    """Ablation: the global branch alone."""
    return MGN(num_ids, (1,))


@register("mgn_single_part2", _INPUT, _PAPER)
def mgn_single_part2(num_ids: int | None = None) -> Network:
    """Ablation: the branch of two stripes alone."""
    return MGN(num_ids, (2,))


@register("mgn_single_part3", _INPUT, _PAPER)
def mgn_single_part3(num_ids: int | None = None) -> Network:
    """Ablation: the branch of three stripes alone."""
    return MGN(num_ids, (3,))
