"""Shell scripts that build a plan on the device with ``trtexec`` and measure it.

One script a recipe, each exact and readable by itself, and ``build.sh`` that chooses by the flags
the ``trtexec`` at hand knows. CUDA graph, spin-wait and transfers are always said, since 11.1
turned their defaults round.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from edgereid.bundle import BundleFile
from edgereid.errors import InputError, UsageError
from edgereid.export.deploy.options import DeployOptions, TrtexecOptions
from edgereid.export.deploy.output import Output
from edgereid.export.deploy.recipes import (
    CHOOSER,
    HOST_FLAGS,
    MEASURE_FLAGS,
    NO_TRANSFERS,
    RECIPES,
    Recipe,
)
from edgereid.export.deploy.source import OnnxModel, Source, image_dims, read_model
from edgereid.export.graph import Graph
from edgereid.export.lint.view import View, label
from edgereid.export.typed.rules import float32_layers

DEFAULT_OPT_BATCH = 8
OPSET_OF_8 = 17  # onnx-tensorrt's docs/operators.md at 8.6
#: In a list of trtexec a name must not hold its separators; in a shell's double quotes, no "$".
_SAFE_NAME = re.compile(r"[A-Za-z0-9_./-]+")
_SCRIPT = """\
#!/bin/sh
# {network} on TensorRT {releases}: build the plan on the device that will run it, then measure it.
# Written by edgereid from {file}; not run with TensorRT.
{about}set -eu
cd "$(dirname "$0")"
TRTEXEC=${{TRTEXEC:-trtexec}}

{build}

# Twice a batch: compute alone, then with the copies to and from the device. Several builds need not
# be equal: compare them.
{transfers}for batch in {batches}; do
  {compute}
  {whole}
done
"""
_ASK_FOR_TRANSFERS = """\
transfers={flag}  # 11.1 and above leave them out by default
"$TRTEXEC" --help 2>&1 | grep -q -e {flag} || transfers=
"""


@dataclass(frozen=True, slots=True)
class _Job:
    """What all scripts share: the batches a plan is built for, and memory."""

    network: str
    dims: str  # "3x256x128", of bytes "256x128x3"
    batches: tuple[int, int, int]
    workspace_mib: int


def trtexec(source: Source, options: DeployOptions, own: TrtexecOptions) -> Output:
    """The scripts, and the ONNX files they read. Raises InputError and UsageError."""
    manifest = source.bundle.manifest
    opt = own.opt_batch or min(DEFAULT_OPT_BATCH, options.max_batch)
    batches = (1, opt, options.max_batch)
    dims = "x".join(map(str, image_dims(manifest.preprocessing)))
    job = _Job(manifest.network, dims, batches, own.workspace_mib)
    weak, strong = choose(source)
    contents = {"build.sh": CHOOSER.encode()}
    used: dict[str, OnnxModel] = {}
    for recipe in RECIPES:
        model = strong if recipe.strong else weak
        contents[f"trtexec-{recipe.name}.sh"] = script(recipe, model, job).encode()
        used[model.file.name] = model
    copies = {}
    for model in used.values():
        for name in (model.file.name, *model.companions):
            copies[name] = source.bundle.directory / name
    notes = [f"weakly typed (8.5 to 10.x): {weak.file.name} with {' '.join(_precision(weak))}"]
    notes.append(_typing_note(strong))
    if not weak.int8 and any(f.precision == "int8" for f in manifest.files):
        notes.append("no INT8 network for TensorRT: it takes `export --int8 --target tensorrt`")
    if (opset := Graph(weak.proto).opset) > OPSET_OF_8:
        notes.append(f"TensorRT 8 reads operator set {OPSET_OF_8}, {weak.file.name} has {opset}")
    return Output(contents, copies, frozenset(contents), tuple(notes))


def _typing_note(strong: OnnxModel) -> str:
    what = f"strongly typed (10.x by choice, 11.x): {strong.file.name}"
    if strong.half:
        return f"{what}, float16 where the file says so"
    rest = "float32 around its INT8 layers" if strong.int8 else "float32 throughout"
    return f"{what}, {rest}, as its types are; `edgereid build` types it FP16 by itself"


def choose(source: Source) -> tuple[OnnxModel, OnnxModel]:
    """The networks for a weakly and for a strongly typed build.

    The named file serves both. Otherwise a Q/DQ network goes before the float one, and where types
    come from the file, one that holds float16 before both. Raises UsageError and InputError.
    """
    if source.chosen is not None:
        if not source.chosen.name.endswith(".onnx"):
            raise UsageError(f"{source.what} is no ONNX file: trtexec builds a plan from one.")
        model = _read(source, source.chosen)
        if model.half:
            raise UsageError(
                f"{model.path} holds float16 already: name the bundle {source.bundle.directory}, "
                "so that weakly typed builds get a float32 file."
            )
        return model, model
    listed = [f for f in source.bundle.manifest.files if f.name.endswith(".onnx")]
    models = [_read(source, f) for f in listed if not _for_onnxruntime(f)]
    models.sort(key=lambda m: not m.int8)  # stable: by name within each kind
    plain = [m for m in models if not m.half]
    typed = [m for m in models if m.half]
    if not plain:
        raise InputError(f"{source.what} has no network for TensorRT: export it again.")
    return plain[0], (*typed, *plain)[0]


def _for_onnxruntime(file: BundleFile) -> bool:
    return file.role == "engine" and file.runtime == "onnxruntime"


def _read(source: Source, file: BundleFile) -> OnnxModel:
    model = read_model(source, file)
    if model.int8 and _for_onnxruntime(file):
        raise InputError(
            f"{model.path} is quantized for ONNX Runtime: export with --int8 --target tensorrt."
        )
    for name in (model.tensors.input, *float_layers(model)):
        if not _SAFE_NAME.fullmatch(name):
            raise InputError(
                f"{model.path}: the name {name!r:.60} cannot stand in a list of trtexec; letters, "
                "digits and '_./-' can."
            )
    return model


def float_layers(model: OnnxModel) -> list[str]:
    """Names of the nodes that a weakly typed build keeps in FP32, in the graph's order: those of
    ``edgereid build``. What gives no floats has no type to choose."""
    view = View(model.proto)
    floats = {label(n) for n in view.nodes if any(view.dtype(o) == "float" for o in n.output if o)}
    return [name for name in float32_layers(model.proto) if name in floats]


def _precision(model: OnnxModel) -> tuple[str, ...]:
    return ("--fp16", "--int8") if model.int8 else ("--fp16",)


def script(recipe: Recipe, model: OnnxModel, job: _Job) -> str:
    """One recipe's script."""
    plan = f"{job.network}-{recipe.name}.plan"
    run = (f"--loadEngine={plan}", f"--shapes={model.tensors.input}:${{batch}}x{job.dims}")
    measure = (*MEASURE_FLAGS, *HOST_FLAGS)
    name = f"{job.network}-{recipe.name}-b${{batch}}"
    stem = f"--exportTimes={name}"
    # Types are told of a running engine only: a building one has no shapes yet.
    layers = f"--exportLayerInfo={name}-layers.json"
    asked = ('${transfers:+"$transfers"}',) if recipe.transfers else ()
    ask = _ASK_FOR_TRANSFERS.format(flag=recipe.transfers) if recipe.transfers else ""
    return _SCRIPT.format(
        network=job.network,
        releases=recipe.releases,
        file=model.file.name,
        about="".join(f"# {line}\n" for line in _about(recipe, model)),
        build=_command(build_flags(recipe, model, job, plan), "  "),
        transfers=ask,
        batches=" ".join(map(str, sorted(set(job.batches)))),
        compute=_command((*run, *measure, NO_TRANSFERS, layers, f"{stem}-compute.json"), "    "),
        whole=_command((*run, *measure, *asked, f"{stem}-with-copies.json"), "    "),
    )


def build_flags(recipe: Recipe, model: OnnxModel, job: _Job, plan: str) -> list[str]:
    """The arguments of the building call, before quoting."""
    shapes = [f"{model.tensors.input}:{batch}x{job.dims}" for batch in job.batches]
    flags = [
        f"--onnx={model.file.name}",
        f"--saveEngine={plan}",
        *(f"--{n}Shapes={s}" for n, s in zip(("min", "opt", "max"), shapes, strict=True)),
        f"--memPoolSize=workspace:{job.workspace_mib}",  # MiB in every release
        f"--timingCacheFile=timing-{recipe.name}.cache",
        "--profilingVerbosity=detailed",
        recipe.build_only,
    ]
    if recipe.strong:
        return [*flags, *recipe.flags]
    flags += _precision(model)
    if kept := float_layers(model):
        types = ",".join(f"{name}:fp32" for name in kept)
        flags.append("--precisionConstraints=obey")
        flags += [f"--layerPrecisions={types}", f"--layerOutputTypes={types}"]
    return flags


def _about(recipe: Recipe, model: OnnxModel) -> Iterator[str]:
    if recipe.strong:
        yield _typing_note(model)
    elif kept := float_layers(model):
        yield f"Kept in FP32, as float16 is too small for them: {len(kept)} layers."
    if recipe.transfers:
        yield "The flags for CUDA graph, spin-wait and no transfers do nothing from 11.1: defaults."


def _command(flags: tuple[str, ...] | list[str], indent: str) -> str:
    """A call of trtexec, one flag a line, quoted for the shell."""
    return f" \\\n{indent}".join(('"$TRTEXEC"', *map(_quoted, flags)))


def _quoted(flag: str) -> str:
    """Quoted; ``${batch}`` and ``${transfers...}`` are for the shell to fill in."""
    if flag.startswith("${"):
        return flag
    return f'"{flag}"' if "${batch}" in flag else shlex.quote(flag)
