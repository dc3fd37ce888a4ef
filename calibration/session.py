"""ONNX Runtime as calibration uses it: many outputs, little memory, the arithmetic as written.

Graphs with Q/DQ run as they stand here, in float between the roundings: no fused 8-bit kernel, so
that what is measured is the rounding and not a processor's kernels.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from edgereid.errors import InputError, MissingRuntimeError


def open_session(model: Any, threads: int) -> Any:
    """An onnxruntime.InferenceSession of an onnx.ModelProto, or of its bytes.

    Raises MissingRuntimeError without ONNX Runtime.
    """
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise MissingRuntimeError(
            "calibration runs the float network with ONNX Runtime: pip install onnxruntime."
        ) from error
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4  # errors reach the user as ours, in one line
    options.enable_cpu_mem_arena = False  # outputs are freed, not kept for the next batch
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    data = model if isinstance(model, bytes) else model.SerializeToString()
    return ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def add_outputs(model: Any, tensors: Collection[str], what: str) -> list[str]:
    """Let an onnx.ModelProto, changed in place, return ``tensors`` as well: their names in the
    order of the graph, its input left out.

    Raises InputError, which names the model as ``what``, for a tensor that it does not have.
    """
    import onnx

    source = model.graph.input[0].name
    order = [name for node in model.graph.node for name in node.output if name in tensors]
    unknown = set(tensors) - set(order) - {source}
    if unknown:
        raise InputError(f"{what} has no tensor {min(unknown)!r} to calibrate.")
    present = {o.name for o in model.graph.output}
    for name in order:
        if name not in present:
            model.graph.output.append(onnx.ValueInfoProto(name=name))  # its type is inferred
    return order
