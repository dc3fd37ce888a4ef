"""The steps from a file as it was given to one like our own: each can be checked by running it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgereid.engines.vendor import runtime_errors
from edgereid.export.graph import Graph
from edgereid.export.incoming.batch import open_batch
from edgereid.export.incoming.clean import OUTPUT, clean, name_nodes, name_tensors
from edgereid.export.incoming.edit import infer, names_of, unique
from edgereid.export.incoming.folding import fold_affine, fold_constants, products_to_gemm
from edgereid.export.incoming.opset import set_ir_version, upgrade
from edgereid.export.incoming.signature import Signature, fix_input


@dataclass(frozen=True, slots=True)
class Case:
    """What the steps need to know of the file: ``what`` is how messages call it, ``flat`` whether
    its output is NxD already and not NxDx1x1."""

    what: str
    signature: Signature
    flat: bool

    @property
    def size(self) -> tuple[int, int]:
        return self.signature.height, self.signature.width


def _upgrade(model: Any, case: Case) -> tuple[Any, str]:
    old = Graph(model).opset
    model = upgrade(model, case.what)
    new = Graph(model).opset
    return model, f"operator set {old} upgraded to {new}" if new != old else ""


def _clean(model: Any, case: Case) -> tuple[Any, str]:
    before = len(model.graph.node)
    fix_input(model, case.size, case.signature.batch)
    clean(model)
    fold_constants(model)
    taken = before - len(model.graph.node)
    said = f"{taken} of {before} nodes taken out (constants and what does nothing)"
    return model, said if taken else ""


def _fold(model: Any, case: Case) -> tuple[Any, str]:
    products_to_gemm(model)
    count = fold_affine(model)
    return model, f"{count} batch norms and other factors folded into layers" if count else ""


def _open_batch(model: Any, case: Case) -> tuple[Any, str]:
    """Also where the file says that it is dynamic: it may hold a fixed one inside."""
    batch = case.signature.batch
    changed = open_batch(model, batch or 1, case.size)
    if batch is None and not changed:
        return model, ""
    old = "fixed inside" if batch is None else str(batch)
    return model, f"batch {old} made dynamic ({len(changed)} nodes changed)"


def _finish(model: Any, case: Case) -> tuple[Any, str]:
    import onnx

    if not case.flat:
        _flatten(model)
    name_nodes(model)  # the converter adds nodes without names
    name_tensors(model)
    set_ir_version(model)
    kind = onnx.TensorProto.FLOAT
    size = infer(model)[0].get(OUTPUT, (None, None))[-1]
    shape = ["batch", "size" if size is None else size]
    model.graph.output[0].CopyFrom(onnx.helper.make_tensor_value_info(OUTPUT, kind, shape))
    model.producer_name, model.producer_version, model.doc_string = "edgereid", "", ""
    with runtime_errors(f"{case.what} cannot be prepared"):
        onnx.checker.check_model(model)
    return model, ""


def _flatten(model: Any) -> None:
    """Let an output of NxDx1x1 be NxD."""
    from onnx import helper

    taken = names_of(model)
    out = model.graph.output[0]
    name = unique(f"{out.name}.flat", taken)
    model.graph.node.append(helper.make_node("Flatten", [out.name], [name], name=name, axis=1))
    out.name = name


Step = Callable[[Any, Case], tuple[Any, str]]
#: What each step is called, the step, and whether the batch is as in the file after it.
STEPS: tuple[tuple[str, Step, bool], ...] = (
    ("upgrading the operator set", _upgrade, True),
    ("taking out constants", _clean, True),
    ("folding batch norm", _fold, True),
    ("making the batch dynamic", _open_batch, False),
    ("naming", _finish, False),
)


def prepare(model: Any, case: Case, steps: int = len(STEPS)) -> tuple[Any, list[str]]:
    """A changed copy after the first ``steps`` steps, and what was done, in words.

    Raises InputError for what cannot be taken.
    """
    made = copy.deepcopy(model)
    done = []
    for _, step, _ in STEPS[:steps]:
        made, said = step(made, case)
        done += [said] if said else []
    return made, done
