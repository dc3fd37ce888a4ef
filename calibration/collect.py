"""Runs a float network over images and counts what its tensors hold, in bounded memory.

The tensors become extra outputs of the ONNX model; each batch's activations are counted and
dropped before the next batch runs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgereid.calibration.histogram import Histogram
from edgereid.errors import InputError, MissingRuntimeError

#: Images in one run. The activations of a batch are alive together: DSLNet has 50 MB an image.
BATCH = 4


def _with_outputs(path: Path, tensors: Collection[str]) -> tuple[bytes, str, list[str]]:
    """The ONNX model in ``path`` that also returns ``tensors``, the name of its input, and the
    tensors in the order of the graph; raises InputError for one that it does not have."""
    import onnx

    model = onnx.load(str(path))
    source = model.graph.input[0].name
    order = [name for node in model.graph.node for name in node.output if name in tensors]
    unknown = set(tensors) - set(order) - {source}
    if unknown:
        raise InputError(f"{path} has no tensor {min(unknown)!r} to calibrate.")
    present = {o.name for o in model.graph.output}
    for name in order:
        if name not in present:
            info = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
            model.graph.output.append(info)
    return model.SerializeToString(), source, order


def _session(model: bytes, threads: int) -> Any:
    try:
        import onnxruntime as ort
    except ImportError as error:
        raise MissingRuntimeError(
            "calibration runs the float network with ONNX Runtime: pip install onnxruntime."
        ) from error
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.enable_cpu_mem_arena = False  # outputs are freed, not kept for the next batch
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def collect(
    path: Path,
    batches: Iterable[NDArray[np.float32]],
    tensors: Collection[str],
    *,
    threads: int,
) -> dict[str, Histogram]:
    """Histograms of ``tensors`` (activations or the input) over all batches (N, 3, H, W) float32.

    Raises InputError that names the first tensor, in the order of the graph, that holds NaN or
    infinity; InputError when there is no batch.
    """
    model, source, order = _with_outputs(path, set(tensors))
    histograms = {name: Histogram(name) for name in tensors}
    session = _session(model, threads)
    seen = 0
    with ThreadPoolExecutor(threads) as pool:  # counting releases the interpreter
        for batch in batches:
            if source in histograms:
                histograms[source].add(batch)
            values = session.run(order, {source: batch})
            # In the graph's order, so that the first tensor with NaN is the one that is named.
            for _ in pool.map(lambda name, value: histograms[name].add(value), order, values):
                pass
            seen += len(batch)
    if not seen:
        raise InputError("no calibration image was given: at least one is needed.")
    return histograms
