"""From an ONNX file, float or Q/DQ, to OpenVINO's own format: ``engine.xml`` and ``engine.bin``.

The XML is made small, because for a network of two million INT8 weights it would otherwise be a
quarter of the engine: equal constants are stored once, and what the reader infers anyway is left
out (shapes and types at ports, names of inner tensors, white space). OpenVINO's reader takes
shapes from the input and the constants (its ``ir_deserializer.cpp``); the exported engine is
opened and compared with the float network before a bundle is written.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from edgereid.errors import InputError, MissingRuntimeError, StorageError
from edgereid.files import atomic_path, write_bytes

_MAX_SHARED_BYTES = 4096  # scales and shapes; weights are never equal
_AUTOMATIC_NAME = re.compile(r"[A-Za-z]+_\d+")
#: Layers that no report names, and attributes at the value that the operators' specification gives
#: as their default.
_ANONYMOUS = ("Const", "Convert", "FakeQuantize", "Multiply")
_DEFAULTS = {"auto_broadcast": "numpy"}


def write_ir(onnx_path: Path, xml_path: Path) -> None:
    """Write ``xml_path`` and the .bin beside it; 8-bit weights stay 8 bits in the file.

    Raises MissingRuntimeError without OpenVINO, InputError when it cannot convert the model,
    StorageError when a file cannot be written; each file is written whole or not at all.
    """
    try:
        import openvino as ov
    except ImportError as error:
        raise MissingRuntimeError(
            "the target openvino needs OpenVINO: pip install 'edgereid[openvino]'."
        ) from error
    try:
        model = ov.Core().read_model(str(onnx_path))
        _simplify(model)
        _fold_weight_reshapes(model)
        _share_constants(model)
        model.validate_nodes_and_infer_types()
    except RuntimeError as error:
        line = str(error).strip().splitlines()[-1]
        raise InputError(f"OpenVINO cannot convert {onnx_path}: {line}") from error
    with (
        atomic_path(xml_path) as file,
        tempfile.TemporaryDirectory(prefix=".ir-", dir=xml_path.parent) as folder,
    ):
        whole = Path(folder) / "engine.xml"
        ov.save_model(model, str(whole), compress_to_fp16=False)
        weights, description = whole.with_suffix(".bin").read_bytes(), whole.read_bytes()
        _require_complete(description, weights, xml_path)
        write_bytes(xml_path.with_suffix(".bin"), weights)
        file.write_bytes(compact_xml(description))


def _require_complete(description: bytes, weights: bytes, path: Path) -> None:
    """Raise StorageError when OpenVINO, which does not report it, could not write all."""
    constants = re.findall(rb'offset="(\d+)" size="(\d+)"', description)
    end = max((int(offset) + int(size) for offset, size in constants), default=0)
    if not description.rstrip().endswith(b"</net>") or len(weights) < end:
        raise StorageError(
            f"cannot write {path}: OpenVINO's files were cut off (is the disk full?)."
        )


def _simplify(model: Any) -> None:
    """OpenVINO's own simplifications, which its reader of ONNX files leaves out.

    ``openvino.convert_model`` makes them too, but reports each use to its maker over the network.
    """
    from openvino._offline_transformations import apply_moc_transformations

    apply_moc_transformations(model, cf=False, smart_reshape=True)


def _source(op: Any, port: int) -> Any:
    return op.input(port).get_source_output().get_node()


def _fold_weight_reshapes(model: Any) -> None:
    """Store 8-bit weights of grouped convolutions in the shape OpenVINO wants them."""
    from openvino import opset13 as ops

    for op in model.get_ordered_ops():
        if op.get_type_name() != "GroupConvolution":
            continue
        reshape = _source(op, 1)
        chain = [reshape]  # Reshape <- Multiply <- Convert <- Constant
        for wanted in ("Multiply", "Convert", "Constant"):
            if chain[-1].get_input_size() == 0:
                break
            chain.append(_source(chain[-1], 0))
            if chain[-1].get_type_name() != wanted:
                break
        else:
            _, multiply, convert, constant = chain
            scale = np.array(_source(multiply, 1).data)
            shape = tuple(reshape.output(0).get_shape())
            if scale.size != shape[0] * shape[1] and scale.size != 1:
                continue
            integers = ops.constant(np.array(constant.data).reshape(shape))
            scales = scale.reshape((*shape[:2], 1, 1, 1) if scale.size > 1 else ())
            real = ops.convert(integers, convert.get_element_type().to_dtype())
            op.input(1).replace_source_output(ops.multiply(real, ops.constant(scales)).output(0))


def _share_constants(model: Any) -> None:
    """Let equal small constants be one, and the limits of quantisers scalars."""
    from openvino import opset13 as ops

    known: dict[tuple[str, tuple[int, ...], bytes], Any] = {}
    for op in model.get_ordered_ops():
        for port in op.inputs():
            source = port.get_source_output().get_node()
            if source.get_type_name() != "Constant":
                continue
            value: NDArray[Any] = np.array(source.data)
            if value.nbytes > _MAX_SHARED_BYTES:
                continue
            if op.get_type_name() == "FakeQuantize" and value.size == 1:
                value = value.reshape(())
            key = (value.dtype.str, value.shape, value.tobytes())
            if key not in known:
                known[key] = ops.constant(value)
            port.replace_source_output(known[key].output(0))


def compact_xml(data: bytes) -> bytes:
    """The same network description without what OpenVINO's reader infers or ignores."""
    root = ElementTree.fromstring(data)
    finals = {layer.get("output_names") for layer in root.iter("layer")}
    for layer in root.iter("layer"):
        _compact_layer(layer, finals)
    for info in root.iterfind("rt_info"):
        for child in info.findall("conversion_parameters"):
            info.remove(child)
    for element in root.iter():
        element.tail = None
        if element.text is not None and not element.text.strip():
            element.text = None
    return b'<?xml version="1.0"?>' + ElementTree.tostring(root).replace(b" />", b"/>")


def _compact_layer(layer: ElementTree.Element, finals: set[str | None]) -> None:
    kind, name = layer.get("type"), layer.get("name", "")
    if kind in _ANONYMOUS or _AUTOMATIC_NAME.fullmatch(name):  # counted through the whole process
        layer.set("name", f"n{layer.get('id')}")
    if kind not in ("Parameter", "Result"):
        for port in layer.iter("port"):
            port[:] = []
            if port.get("names") not in finals:
                port.attrib.pop("names", None)
    for port in layer.iterfind("input/port"):
        port.attrib.pop("precision", None)
    for data in layer.iterfind("data"):
        for key, default in _DEFAULTS.items():
            if data.get(key) == default:
                del data.attrib[key]
        if not data.attrib:
            layer.remove(data)
