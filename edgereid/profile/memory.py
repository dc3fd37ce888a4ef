"""Peak memory of activations in inference, by liveness over the order of execution.

The definition. The network runs once, and each operator that reads or makes tensors is a step. A
tensor lives from the step that makes it to the last step that reads it or a view of it; at a step,
both what it reads and what it makes are alive. The image lives from the start to its last reader,
the feature to the end. The peak is the largest sum of bytes alive at one step.

* Views (reshape, split, transpose) share the memory of what they look at.
* An element-wise operator or a batch norm writes over an operand of the same size that nothing
  reads afterwards. So batch norm, ReLU and residual sums cost nothing, as in a runtime that folds
  them, and ReLU written in place or not gives the same figure.
* What nothing reads (the indices of a pooling, saved statistics) is not counted; neither are
  weights, nor the workspace that an operator needs inside (im2col, padding, alignment).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

PEAK_MEMORY = (
    "largest sum of tensors alive at one operator, from the maker to the last reader; views share "
    "memory; element-wise operators and batch norm write over an operand that is read no more; "
    "weights and the inside of operators not counted; FP32, batch 1"
)
_BATCH_NORM = frozenset({"native_batch_norm", "_native_batch_norm_legit_no_training", "batch_norm"})


@dataclass(frozen=True, slots=True)
class Step:
    """One operator: the buffers it reads and makes (numbers), and whether it is element-wise."""

    stage: str
    operator: str
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    elementwise: bool = False


@dataclass(frozen=True, slots=True)
class Execution:
    """The steps of one pass in order; ``sizes``: buffer -> bytes; ``given``: alive before the first
    step and never written over; ``results``: alive to the end."""

    steps: tuple[Step, ...]
    sizes: Mapping[int, int]
    given: frozenset[int]
    results: frozenset[int]


@dataclass(frozen=True, slots=True)
class Peak:
    """The largest sum of bytes alive at once, and where it occurs first."""

    bytes: int
    stage: str
    operator: str


def peak(run: Execution) -> Peak:
    """The peak by the definition above (module docstring)."""
    last = {buffer: index for index, step in enumerate(run.steps) for buffer in step.reads}
    last |= dict.fromkeys(run.results, len(run.steps))
    alive = {buffer for buffer in run.given if buffer in last}
    now = sum(run.sizes[b] for b in alive)
    highest = Peak(now, "", "")
    for index, step in enumerate(run.steps):
        made = [b for b in step.makes if b in last]
        ending = {b for b in step.reads if last[b] == index} & alive
        reused = _written_over(step, made, ending - run.given, run.sizes)
        now += sum(run.sizes[b] for b in made) - sum(run.sizes[b] for b in reused)
        if now > highest.bytes:
            highest = Peak(now, step.stage, step.operator)
        now -= sum(run.sizes[b] for b in ending - reused)
        alive = (alive | set(made)) - ending
    return highest


def _written_over(
    step: Step, made: Sequence[int], ending: set[int], sizes: Mapping[int, int]
) -> set[int]:
    """The operand that an element-wise step writes over, if there is one."""
    if not step.elementwise or len(made) != 1:
        return set()
    fitting = [b for b in step.reads if b in ending and sizes[b] == sizes[made[0]]]
    return set(fitting[:1])


def record(network: nn.Module, x: Tensor) -> Execution:
    """Run ``network`` once on ``x`` and note every operator. On the "meta" device only shapes are
    computed. A stage is a direct child of the network."""
    recorder = _Recorder()
    given = recorder.number(x)
    with torch.no_grad(), _stages(network, recorder), recorder:
        found = network(x)
    results = recorder.known(found)
    return Execution(tuple(recorder.steps), recorder.sizes, frozenset({given}), frozenset(results))


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Notes the operators that run under it. Tensors are told apart by their storage; weights and
    other tensors from outside get no number."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.stage = ""
        self.steps: list[Step] = []
        self.sizes: dict[int, int] = {}
        self._numbers: dict[int, int] = {}
        self._storages: list[Any] = []  # kept, so that no address is used twice

    def number(self, tensor: Tensor) -> int:
        """The number of the tensor's storage, a new one if it has none."""
        storage = tensor.untyped_storage()
        if storage._cdata not in self._numbers:
            self._numbers[storage._cdata] = len(self._storages)
            self.sizes[len(self._storages)] = storage.nbytes()
            self._storages.append(storage)
        return self._numbers[storage._cdata]

    def known(self, tree: Any) -> tuple[int, ...]:
        """The numbers of the tensors in ``tree`` that have one, each once."""
        tensors = (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
        numbers = (self._numbers.get(t.untyped_storage()._cdata) for t in tensors)
        return tuple(dict.fromkeys(n for n in numbers if n is not None))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        given = (args, kwargs or {})
        out = func(*args, **(kwargs or {}))
        outside = {t.untyped_storage()._cdata for t in tree_leaves(given) if isinstance(t, Tensor)}
        reads = self.known(given)
        makes = {
            self.number(t)
            for t in tree_leaves(out)
            if isinstance(t, Tensor) and t.untyped_storage()._cdata not in outside
        }
        name = func.overloadpacket.__name__
        elementwise = torch.Tag.pointwise in func.tags or name in _BATCH_NORM
        self.steps.append(Step(self.stage, name, reads, tuple(sorted(makes)), elementwise))
        return out


@contextmanager
def _stages(network: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Tell the recorder which direct child of the network runs."""

    def enter(name: str) -> Callable[..., None]:
        return lambda *_: setattr(recorder, "stage", name)

    handles = []
    for name, child in network.named_children():
        handles.append(child.register_forward_pre_hook(enter(name)))
        handles.append(child.register_forward_hook(enter("")))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
