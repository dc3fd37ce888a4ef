"""A float32 or Q/DQ ONNX model, typed FP16 for a builder that obeys the types of the file.

A strongly typed TensorRT build (11.x always, 10.x by choice) computes in what the file says. Here
weights, arithmetic and the scales around 8-bit layers become float16, what ``rules.py`` names stays
float32, and casts stand between the two: one for a tensor, however many read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from edgereid.engines.vendor import runtime_errors
from edgereid.errors import InputError
from edgereid.export.lint.view import View
from edgereid.export.typed.assign import FLOAT, HALF, assign, reason
from edgereid.export.typed.biases import fold_biases
from edgereid.export.typed.opset import raised
from edgereid.export.typed.report import TypedReport
from edgereid.export.typed.writer import Writer


def typed_fp16(
    model: Any, *, keep_io: bool = True, peaks: Mapping[str, float] | None = None
) -> tuple[Any, TypedReport]:
    """An FP16 copy of an onnx.ModelProto at operator set 19 or later, and what was done.

    ``keep_io``: inputs and outputs stay float32, with casts. ``peaks``: tensor -> the largest
    magnitude that calibration saw in it; what came near the end of FP16's range stays FP32 as well
    (None: nothing was measured). The copy passes onnx's full check.
    Raises InputError, naming the node, on what FP16 cannot say, on a model that holds float16
    already, on graphs inside nodes, on weights in other files, and on one that contradicts itself.
    """
    import onnx

    plain = raised(model)
    fold_biases(plain)
    view = View(plain)
    _require_float32(view)
    types = assign(view, FLOAT if keep_io else HALF, peaks or {})
    writer = Writer(view, types.types, FLOAT if keep_io else HALF)
    out = writer.write()
    with runtime_errors("the FP16 model contradicts itself"):
        onnx.checker.check_model(out, full_check=True)
    kinds = list(types.types.values())
    return out, TypedReport(
        opset=view.graph.opset,
        half=kinds.count(HALF),
        single=kinds.count(FLOAT),
        casts=writer.casts,
        raised=writer.raised,
        float32=reason(view, types),
    )


def _require_float32(view: View) -> None:
    for node in view.nodes:
        for name in (*node.input, *node.output):
            if not name:
                continue
            got = view.dtype(name)
            if got in ("float16", "bfloat16"):
                raise InputError(
                    f"the tensor {name!r:.80} is {got} already: give the float32 model."
                )
            if not got:
                raise InputError(
                    f"nothing tells the type of the tensor {name!r:.80} ({node.op_type}): only "
                    "ONNX's own operators can be typed."
                )
