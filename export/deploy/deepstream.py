"""The ``ReID:`` section of a DeepStream tracker's configuration, and the ONNX file it names.

Fields and their meaning: the comments in NVIDIA's own ``config_tracker_NvDeepSORT.yml`` and
``config_tracker_NvDCF_accuracy.yml``, Gst-nvtracker in the DeepStream developer guide, and the
classes ReIDConfigParams and ReIDCropScaler of the 9.2 API reference. The tracker feeds the network
``netScaleFactor * (x - offsets)``, x from 0 to 255, and compares features by their cosine.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from edgereid.bundle import BundleFile
from edgereid.errors import InputError, UsageError
from edgereid.export.deploy.normalisation import IDENTITY, Scaling, fold_normalisation, one_factor
from edgereid.export.deploy.options import (
    NETWORK_MODES,
    TRACKERS,
    DeepStreamOptions,
    DeployOptions,
)
from edgereid.export.deploy.output import Output
from edgereid.export.deploy.source import OnnxModel, Source, read_model
from edgereid.images import Preprocessing

SECTION = "reid_section.yml"
#: Features kept of one target: the value in NVIDIA's own configurations.
HISTORY = 100
COLOUR_FORMATS = {"RGB": 0, "BGR": 1}
_MODE_NAMES = {"f32": "fp32", "f16": "fp16", "int8": "int8"}  # in names of engine files
_HEAD = """\
# {network}: paste this section over the one in NVIDIA's config_tracker_{example}.yml.
# Not run with DeepStream. Make the paths below absolute: DeepStream 9.2 can take relative ones as
# relative to this file, earlier releases need not. A release without onnxFile (before 7) needs
# another file format.
"""
_EXAMPLES = {"nvdcf": "NvDCF_accuracy", "nvdeepsort": "NvDeepSORT"}


@dataclass(frozen=True, slots=True)
class _Line:
    """One field of the section, and what it means."""

    name: str
    value: str
    meaning: str


def deepstream(source: Source, options: DeployOptions, own: DeepStreamOptions) -> Output:
    """The section and its network. Raises InputError and UsageError."""
    manifest = source.bundle.manifest
    if manifest.distance != "cosine":
        raise InputError(
            f"{source.what} compares embeddings by {manifest.distance} distance, DeepStream's "
            "tracker by cosine: its re-identification would not be the network's."
        )
    if manifest.preprocessing.input != "float32":
        raise InputError(
            f"{source.what} has networks that take bytes and normalise them; DeepStream's tracker "
            "scales by itself and feeds float32: export without --uint8-input."
        )
    model = read_model(source, choose(source, own.precision))
    precision = _precision(source, model, own.precision)
    scaling, notes = scaling_for(manifest.preprocessing, own.normalisation, source.what)
    if manifest.flip:
        notes.append(
            "the bundle's embedding is the mean with that of the mirror image; DeepStream takes "
            "the image's own alone"
        )
    notes.append(
        "DeepStream scales crops by its own filter, not by Pillow's antialiased "
        f"{manifest.preprocessing.interpolation}: expect other embeddings than `edgereid eval`"
    )
    copies = {name: model.path.parent / name for name in model.companions}
    contents = {SECTION: section(source, model, scaling, precision, options, own).encode()}
    if own.normalisation == "fold":
        folded = fold_normalisation(model.proto, manifest.preprocessing)
        contents["model.onnx"] = folded.SerializeToString(deterministic=True)
    else:
        copies["model.onnx"] = model.path
    return Output(contents, copies, notes=tuple(notes))


def choose(source: Source, precision: str | None) -> BundleFile:
    """The ONNX file for TensorRT: the named one, else by precision the Q/DQ or the float network.

    Raises UsageError when the named file is none, InputError when the bundle has none.
    """
    if source.chosen is not None:
        if not source.chosen.name.endswith(".onnx"):
            raise UsageError(f"{source.what} is no ONNX file: DeepStream builds its plan from one.")
        return source.chosen
    if precision != "int8":
        if floats := source.bundle.find("float"):
            return floats[0]
        raise InputError(f"{source.what} has no float network: export it again.")
    for file in source.bundle.find("data"):
        if file.precision == "int8" and file.name.endswith(".onnx"):
            return file
    raise InputError(
        f"{source.what} has no INT8 network for TensorRT: export it with --int8 --target tensorrt, "
        "or deploy another precision."
    )


def _precision(source: Source, model: OnnxModel, wanted: str | None) -> str:
    """What the plan is built in: a Q/DQ network can only be INT8, a float one cannot."""
    if model.int8 and model.file.runtime == "onnxruntime":
        raise InputError(
            f"{model.path} is quantized for ONNX Runtime: export with --int8 --target tensorrt."
        )
    allowed = ("int8",) if model.int8 else ("f16", "f32")
    precision = wanted or allowed[0]
    if precision not in allowed:
        raise UsageError(
            f"{model.path} cannot be built in {precision}: {' or '.join(allowed)}, or name the "
            f"bundle {source.bundle.directory} to have the file chosen."
        )
    return precision


def scaling_for(
    preprocessing: Preprocessing, normalisation: str, what: str
) -> tuple[Scaling, list[str]]:
    """The tracker's scale and offsets, and notes. Raises UsageError when one factor for three
    different std was neither folded nor accepted."""
    scaling = one_factor(preprocessing)
    if normalisation == "fold":
        return IDENTITY, ["normalisation is inside model.onnx: same numbers as edgereid's own"]
    if scaling.error == 0.0:
        return scaling, []
    wrong = f"off by up to {scaling.error:.2%}"
    if normalisation == "approximate":
        return scaling, [f"one netScaleFactor for std {preprocessing.std}: inputs are {wrong}"]
    raise UsageError(
        f"{what} divides its channels by different std {preprocessing.std}, and DeepStream has one "
        "netScaleFactor for all: --fold-normalisation puts them into the network (exact), "
        f"--approximate-normalisation accepts inputs that are {wrong}."
    )


def section(
    source: Source,
    model: OnnxModel,
    scaling: Scaling,
    precision: str,
    options: DeployOptions,
    own: DeepStreamOptions,
) -> str:
    """The YAML text, comments included."""
    manifest = source.bundle.manifest
    pre = manifest.preprocessing
    head = _HEAD.format(network=manifest.network, example=_EXAMPLES[own.tracker])
    if own.tracker == "nvdcf":
        head += "# Re-association also needs enableReAssoc: 1 under TrajectoryManagement.\n"
    dims = f"[3, {pre.height}, {pre.width}]"
    plan = f"model.onnx_b{options.max_batch}_gpu0_{_MODE_NAMES[precision]}.engine"
    lines = (
        _Line("reidType", str(TRACKERS[own.tracker]), "1: association, 2: re-association"),
        _Line("batchSize", str(options.max_batch), "largest batch of the plan"),
        _Line("workspaceSize", str(own.workspace_mib), "MB for building the plan"),
        _Line("reidFeatureSize", str(manifest.feature_size), "numbers in a feature"),
        _Line("reidHistorySize", str(HISTORY), "features kept of one target"),
        _Line("inferDims", dims, "channels, height, width"),
        _Line("networkMode", str(NETWORK_MODES[precision]), "fp32=0, fp16=1, int8=2"),
        _Line("inputOrder", "0", "NCHW=0, NHWC=1"),
        _Line("colorFormat", str(COLOUR_FORMATS[pre.color]), "RGB=0, BGR=1"),
        _Line("offsets", f"[{', '.join(map(number, scaling.offsets))}]", _meaning(scaling)),
        _Line("netScaleFactor", number(scaling.factor), "then multiplied by this"),
        _Line("keepAspc", "0", "the network was trained on crops stretched to its size"),
        _Line("addFeatureNormalization", "1", "to length 1; a second time changes nothing"),
        _Line("onnxFile", '"model.onnx"', f"{model.file.name} of the bundle"),
        _Line("modelEngineFile", f'"{plan}"', "built at the first start"),
    )
    calibration = (
        "  # no calibrationTableFile: the network carries its scales (Q/DQ)\n"
        if model.int8
        else "  # no calibrationTableFile: nothing is quantized\n"
    )
    return head + "ReID:\n" + "".join(_aligned(lines)) + calibration


def _aligned(lines: tuple[_Line, ...]) -> Iterator[str]:
    fields = [f"  {line.name}: {line.value}" for line in lines]
    width = max(map(len, fields))
    for field, line in zip(fields, lines, strict=True):
        yield f"{field:<{width}}  # {line.meaning}\n"


def _meaning(scaling: Scaling) -> str:
    if scaling == IDENTITY:
        return "normalisation is inside the network"
    off = f", off by up to {scaling.error:.2%}" if scaling.error else ""
    return f"subtracted a channel, x from 0 to 255{off}"


def number(value: float) -> str:
    """A float32 in decimal, with a point, so that YAML takes it for a float; nine digits are
    enough to read the same float32 back."""
    digits, e, exponent = format(value, ".9g").partition("e")
    return f"{digits if '.' in digits else digits + '.0'}{e}{exponent}"
