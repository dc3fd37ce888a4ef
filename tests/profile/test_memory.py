"""Peak activation memory against hand-computed graphs, a naive simulation and torch's allocator."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from edgereid.models.registry import build
from edgereid.profile.memory import Execution, Peak, Step, peak, record

FLOAT = 4  # bytes


class Skip(nn.Module):
    """conv 3 -> 4, then 4 -> 8 -> 4 beside a skip connection, then a linear layer."""

    def __init__(self, skip: bool = True, inplace: bool = False, norm: bool = False) -> None:
        super().__init__()
        self.skip, self.inplace = skip, inplace
        self.first = nn.Conv2d(3, 4, 3, padding=1)
        self.wide = nn.Conv2d(4, 8, 1)
        self.narrow = nn.Conv2d(8, 4, 1)
        self.norm = nn.BatchNorm2d(8) if norm else nn.Identity()
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        a = self.first(x)
        wide = functional.relu(self.norm(self.wide(a)), inplace=self.inplace)
        out = self.narrow(wide)
        if self.skip:
            out = out + a
        return self.fc(out.mean((2, 3)))


def peak_of(network: nn.Module, *shape: int) -> Peak:
    return peak(record(network.eval(), torch.zeros(1, *shape)))


def test_a_skip_connection_stays_alive_to_its_sum() -> None:
    # elements at 8x8: image 192, first 256, wide 512, narrow 256.
    # first: 192 + 256; wide: 256 + 512; narrow: 512 + 256, and first for the sum: 1024
    assert peak_of(Skip(), 3, 8, 8) == Peak(1024 * FLOAT, "narrow", "convolution")
    assert peak_of(Skip(skip=False), 3, 8, 8).bytes == (256 + 512) * FLOAT


@pytest.mark.parametrize("norm", [False, True])
@pytest.mark.parametrize("inplace", [False, True])
def test_batch_norm_and_relu_in_place_or_not_cost_nothing(norm: bool, inplace: bool) -> None:
    assert peak_of(Skip(norm=norm, inplace=inplace), 3, 8, 8).bytes == 1024 * FLOAT


def test_an_operand_that_is_read_later_is_not_written_over() -> None:
    class Later(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            a = functional.max_pool2d(x, 2)  # 3 * 4 * 4 = 48
            b = a.sigmoid()  # a is needed once more: 96
            return functional.max_pool2d(a * b, 4)

    assert peak_of(Later(), 3, 8, 8).bytes == (192 + 48) * FLOAT  # the pooling of the image
    assert peak_of(nn.Sequential(nn.Sigmoid(), nn.MaxPool2d(8)), 3, 8, 8).bytes == 2 * 192 * FLOAT


def test_views_share_memory_and_the_smaller_half_does_not_free_the_whole() -> None:
    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.widen = nn.Conv2d(3, 8, 1)  # 512 elements at 8x8
            self.right = nn.Conv2d(4, 4, 1)  # 256

        def forward(self, x: Tensor) -> Tensor:
            left, right = self.widen(x).chunk(2, 1)
            return torch.cat([left, self.right(right)], 1).flatten(1)

    assert peak_of(Halves(), 3, 8, 8).bytes == (512 + 256 + 512) * FLOAT  # cat copies


def test_what_nothing_reads_is_not_counted() -> None:
    # the pooling also makes 64-bit indices: 8 bytes for each of 48 elements
    assert peak_of(nn.MaxPool2d(2), 3, 8, 8).bytes == (192 + 48) * FLOAT


def test_shapes_alone_give_the_same_peak() -> None:
    with torch.device("meta"):
        network = Skip(norm=True).eval()
        x = torch.zeros(1, 3, 8, 8)
    assert peak(record(network, x)) == peak_of(Skip(norm=True), 3, 8, 8)


def test_recording_leaves_no_hooks() -> None:
    network = Skip().eval()
    record(network, torch.zeros(1, 3, 8, 8))
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in network.modules())


# --- the simulation -----------------------------------------------------------------------------


def naive(run: Execution) -> int:
    """Step by step: everything that was made before and is needed now or later."""
    highest = 0
    needed = [set(step.reads) for step in run.steps] + [set(run.results)]
    for index, step in enumerate(run.steps):
        made = set(run.given).union(*(s.makes for s in run.steps[: index + 1]))
        later = set().union(*needed[index + 1 :])
        fresh = set(step.makes)
        total = sum(run.sizes[b] for b in made if b in later or b in needed[index])
        read_again = fresh & later
        if step.elementwise and len(read_again) == 1:
            (out,) = read_again
            over = [
                b
                for b in step.reads
                if b not in later and b not in run.given and run.sizes[b] == run.sizes[out]
            ]
            total -= run.sizes[out] if over else 0
        highest = max(highest, total)
    return max(highest, sum(run.sizes[b] for b in run.given if any(b in n for n in needed)))


@st.composite
def executions(draw: st.DrawFn) -> Execution:
    sizes = {0: draw(st.integers(1, 4))}
    steps = []
    for _ in range(draw(st.integers(1, 8))):
        reads = draw(st.lists(st.sampled_from(sorted(sizes)), max_size=3, unique=True))
        makes = []
        for _ in range(draw(st.integers(0, 2))):
            makes.append(len(sizes))
            sizes[len(sizes)] = draw(st.integers(1, 4))
        steps.append(Step("", "op", tuple(reads), tuple(makes), draw(st.booleans())))
    results = draw(st.sets(st.sampled_from(sorted(sizes)), max_size=2))
    return Execution(tuple(steps), sizes, frozenset({0}), frozenset(results))


@settings(max_examples=300, deadline=None)
@given(executions())
def test_the_peak_is_the_naive_simulation_s(run: Execution) -> None:
    assert peak(run).bytes == naive(run)


# --- torch's own allocator ----------------------------------------------------------------------


def allocated(network: nn.Module, x: Tensor) -> int:
    """The most bytes that torch's CPU allocator held at once above what it held before."""
    network.eval()
    with torch.no_grad(), torch.profiler.profile(profile_memory=True, acc_events=True) as seen:
        network(x)
    assert seen.profiler is not None
    events = [e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"]
    now = highest = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        now += event.nbytes()
        highest = max(highest, now)
    return highest


class Pyramid(nn.Module):
    """Only operators without a workspace; what can be written in place is."""

    def forward(self, x: Tensor) -> Tensor:
        a = functional.interpolate(x, scale_factor=2.0)  # 3 * 32 * 32 = 3072
        out = functional.interpolate(a, scale_factor=3.0)  # 27648
        out = functional.avg_pool2d(out.relu_(), 3)  # a, 27648 and 3072 are alive
        return functional.avg_pool2d(out.add_(a).sigmoid_(), 32)


def test_torch_allocates_the_peak_where_it_writes_in_place_and_needs_no_workspace() -> None:
    x = torch.zeros(1, 3, 16, 16)
    found = peak(record(Pyramid(), x)).bytes
    assert found == (3072 + 27648 + 3072) * FLOAT
    assert allocated(Pyramid(), x) == found


def test_torch_allocates_somewhat_more_for_a_network_that_writes_nothing_in_place() -> None:
    network, x = build("osnet_x0_25").eval(), torch.zeros(1, 3, 256, 128)
    found = peak(record(network, x)).bytes
    assert found <= allocated(network, x) <= 3 * found
