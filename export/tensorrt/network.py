"""From an ONNX file to TensorRT's network definition, and what must stay FP32 in it."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from edgereid.engines.tensorrt.logger import Log
from edgereid.engines.vendor import one_line
from edgereid.errors import InputError
from edgereid.export.tensorrt.module import release

#: How the parser says which node a layer comes from, in its metadata (8.6 and later).
_OF_NODE = re.compile(r"\[ONNX Layer: ([^\]\x1e\x1f]*)\]")


def parse(trt: Any, network: Any, data: bytes, path: Path, log: Log) -> Any:
    """Fill an empty network definition with the model in ``data`` (its external tensors are read
    beside ``path``), and give the parser, which owns the weights until the plan is built. Raises
    InputError with the node that the parser stopped at."""
    trt.init_libnvinfer_plugins(log.sink, "")  # some operators are plugins in older releases
    parser = trt.OnnxParser(network, log.sink)
    # Up to 8.6 instance normalisation is a plugin of cuDNN unless this is asked for; 8.5 cannot be.
    if hasattr(trt, "OnnxParserFlag") and hasattr(trt.OnnxParserFlag, "NATIVE_INSTANCENORM"):
        parser.set_flag(trt.OnnxParserFlag.NATIVE_INSTANCENORM)
    if not parser.parse(data, path=str(path)):
        raise _refusal(trt, parser, path, log)
    return parser


def _refusal(trt: Any, parser: Any, path: Path, log: Log) -> InputError:
    version = release(trt)
    if parser.num_errors:
        where, why = _where_and_why(parser.get_error(0))
    else:
        where, why = "", log.reason()
    short = ".".join(version.split(".")[:2])
    return InputError(
        f"TensorRT {version} cannot read {path}: {where}{why.rstrip('.')}; "
        f"`edgereid lint {path} --target tensorrt --trt-version {short}` lists what it refuses."
    )


def _where_and_why(error: Any) -> tuple[str, str]:
    """ "node 12 (/pool/GridSample, GridSample): ", and the parser's own words."""
    names: list[str] = []
    if hasattr(error, "node_name") and hasattr(error, "node_operator"):  # 10 and later
        names = [text for text in (error.node_name(), error.node_operator()) if text]
    number = int(error.node())
    told = f" ({', '.join(names)})" if names else ""
    where = f"node {number}{told}: " if number >= 0 or names else ""
    return where, one_line(Exception(str(error.desc())))


def keep_float32(trt: Any, network: Any, nodes: Collection[str]) -> tuple[str, ...]:
    """Constrain the layers of these ONNX nodes to FP32, and give the nodes that have none.

    Layers without a float output and constants are left alone: they have no type to choose.
    """
    found: set[str] = set()
    wanted = set(nodes)
    if not hasattr(trt.ILayer, "precision"):  # types come from the file alone
        return tuple(sorted(wanted))
    for i in range(network.num_layers):
        layer = network.get_layer(i)
        node = node_of(layer, wanted)
        if node is None:
            continue
        found.add(node)
        outputs = [layer.get_output(j) for j in range(layer.num_outputs)]
        floats = [j for j, o in enumerate(outputs) if o is not None and o.dtype == trt.float32]
        if not floats or layer.type == trt.LayerType.CONSTANT:
            continue
        layer.precision = trt.float32
        for j in floats:
            layer.set_output_type(j, trt.float32)
    return tuple(sorted(wanted - found))


def node_of(layer: Any, nodes: Collection[str]) -> str | None:
    """Which of ``nodes`` a layer belongs to.

    The parser names a layer after its node, and further ones with a number behind ("norm_4"); it
    states the node in the metadata, where a release has that (onnx-tensorrt, ImporterContext).
    """
    for node in _OF_NODE.findall(str(getattr(layer, "metadata", "") or "")):
        return node if node in nodes else None
    name = str(layer.name)
    if name in nodes:
        return name
    stem, _, number = name.rpartition("_")
    return stem if number.isdigit() and stem in nodes else None
