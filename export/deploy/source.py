"""A network in a bundle, as the program that will serve it has to declare it.

Names and sizes of the input and the output are read from the file itself and held against the
manifest, since a server that is told another size than the network's refuses to start, or worse.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from edgereid.bundle import Bundle, BundleFile
from edgereid.engines.companions import companions
from edgereid.engines.onnx_file import read_onnx
from edgereid.errors import InputError
from edgereid.images import Preprocessing
from edgereid.manifest import MANIFEST

_MAX_XML_BYTES = 64 * 2**20
PLAN_SUFFIXES = (".plan", ".engine")
Dims = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Source:
    """An opened bundle, and the file in it that was named (None: the directory was)."""

    bundle: Bundle
    chosen: BundleFile | None

    @staticmethod
    def open(path: Path) -> Source:
        """Raises InputError when there is no bundle, IntegrityError when a file of it was changed
        or the named one is not listed."""
        bundle = Bundle.open(path)
        named = path.is_file() and path.name != MANIFEST
        return Source(bundle, bundle.file(path.name) if named else None)

    @property
    def what(self) -> str:
        """What the user named, for messages."""
        return str(self.bundle.path(self.chosen) if self.chosen else self.bundle.directory)


@dataclass(frozen=True, slots=True)
class Tensors:
    """The one input, (N, 3, H, W) float32 or (N, H, W, 3) uint8 as the manifest says, and the one
    output (N, D) float32, by name; None is a size that the file leaves open."""

    input: str
    input_dims: Dims
    output: str
    output_dims: Dims


@dataclass(frozen=True, slots=True)
class OnnxModel:
    """An ONNX file of a bundle; ``proto`` is its onnx.ModelProto, without external tensors.

    ``int8``: it holds Q/DQ; ``half``: some of its tensors are float16.
    """

    file: BundleFile
    path: Path
    proto: Any
    tensors: Tensors
    companions: tuple[str, ...]
    int8: bool
    half: bool


def read_model(source: Source, file: BundleFile) -> OnnxModel:
    """Read an ONNX file of the bundle. Raises InputError when it cannot be read, or is not a
    network of the manifest's sizes with a batch of any size."""
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    path = source.bundle.path(file)
    extra = companions(path)  # reads the file, and refuses names that lead elsewhere
    for name in extra:
        source.bundle.file(name)
    try:
        proto = onnx.load(str(path), load_external_data=False)
    except (DecodeError, ValueError) as error:
        raise InputError(f"{path} is not an ONNX file that can be read ({error}).") from error
    half = onnx.TensorProto.FLOAT16
    return OnnxModel(
        file,
        path,
        proto,
        check_tensors(path, _onnx_tensors(path, proto.graph, input_type(source)), source.bundle),
        extra,
        int8=read_onnx(path).is_int8,
        half=any(i.data_type == half for i in proto.graph.initializer)
        or any(a.name == "to" and a.i == half for n in proto.graph.node for a in n.attribute),
    )


def input_type(source: Source) -> str:
    """What the bundle's engines take, by the manifest: "float32" or "uint8"."""
    return source.bundle.manifest.preprocessing.input


def image_dims(preprocessing: Preprocessing) -> tuple[int, int, int]:
    """The input's sizes without the batch."""
    height, width = preprocessing.height, preprocessing.width
    return (height, width, 3) if preprocessing.input == "uint8" else (3, height, width)


def check_tensors(path: Path, tensors: Tensors, bundle: Bundle) -> Tensors:
    """The tensors, if they are those of the manifest. Raises InputError."""
    manifest = bundle.manifest
    wanted = image_dims(manifest.preprocessing)
    if tensors.input_dims[1:] != wanted:
        raise InputError(
            f"{path} takes {_shape(tensors.input_dims)}, the manifest says "
            f"{_shape((None, *wanted))}: export the bundle again."
        )
    if tensors.output_dims[1:] != (manifest.feature_size,):
        raise InputError(
            f"{path} gives {_shape(tensors.output_dims)}, the manifest says "
            f"{_shape((None, manifest.feature_size))}: export the bundle again."
        )
    for dims in (tensors.input_dims, tensors.output_dims):
        if dims[0] is not None:
            raise InputError(
                f"{path} has a fixed batch of {dims[0]}: a server needs one of any size, as "
                "`edgereid export` writes it."
            )
    return tensors


def _shape(dims: Dims) -> str:
    return "x".join("N" if d is None else str(d) for d in dims)


def _onnx_tensors(path: Path, graph: Any, taken: str) -> Tensors:
    from onnx import TensorProto

    weights = {i.name for i in graph.initializer}
    inputs = [i for i in graph.input if i.name not in weights]
    if len(inputs) != 1 or len(graph.output) != 1:
        raise InputError(
            f"{path} has {len(inputs)} inputs and {len(graph.output)} outputs: one each is needed."
        )
    found = []
    types = {"float32": TensorProto.FLOAT, "uint8": TensorProto.UINT8}
    for value, wanted in ((inputs[0], taken), (graph.output[0], "float32")):
        kind = value.type.tensor_type
        if kind.elem_type != types[wanted]:
            raise InputError(f"{path}: the tensor {value.name!r:.60} is not {wanted}.")
        found.append(
            tuple(d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim)
        )
    return Tensors(inputs[0].name, found[0], graph.output[0].name, found[1])


def read_ir(path: Path, taken: str = "float32") -> Tensors:
    """The tensors of an OpenVINO network. Raises InputError when the .xml is not one with one
    input of the type ``taken`` and one output."""
    try:
        if path.stat().st_size > _MAX_XML_BYTES:
            raise InputError(f"{path} is larger than {_MAX_XML_BYTES // 2**20} MiB: no network.")
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise InputError(f"{path} cannot be read as an OpenVINO network ({error}).") from error
    inputs = root.findall(".//layer[@type='Parameter']")
    outputs = root.findall(".//layer[@type='Result']")
    if len(inputs) != 1 or len(outputs) != 1:
        raise InputError(
            f"{path} has {len(inputs)} inputs and {len(outputs)} outputs: one each is needed."
        )
    given, port = inputs[0].find("output/port"), outputs[0].find("input/port")
    name = "" if given is None else given.get("names", "").partition(",")[0]
    result = outputs[0].get("output_names", "").partition(",")[0]
    if given is None or port is None or not name or not result:
        raise InputError(f"{path} does not name its input and its output: export it again.")
    if given.get("precision") != {"float32": "FP32", "uint8": "U8"}[taken]:
        raise InputError(f"{path}: the tensor {name!r:.60} is not {taken}.")
    return Tensors(name, _ir_dims(path, given), result, _ir_dims(path, port))


def _ir_dims(path: Path, port: ElementTree.Element) -> Dims:
    try:
        sizes = [int(d.text or "") for d in port.iterfind("dim")]
    except ValueError as error:
        raise InputError(f"{path} cannot be read as an OpenVINO network ({error}).") from error
    return tuple(None if size < 0 else size for size in sizes)
