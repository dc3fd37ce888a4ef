"""An ONNX file from elsewhere as the start of an export: checked, prepared, compared.

What is compared is always the file as it was given, image by image where its batch is fixed.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from edgereid.engines.vendor import runtime_errors
from edgereid.errors import InputError
from edgereid.export.checks import MIN_VARIATION
from edgereid.export.graph import Graph
from edgereid.export.incoming.batch import blame, lost_at
from edgereid.export.incoming.clean import drop_listed_constants, gather_constants, name_nodes
from edgereid.export.incoming.features import Features
from edgereid.export.incoming.load import load_incoming
from edgereid.export.incoming.opset import require_opset
from edgereid.export.incoming.options import DEFAULT_PREPROCESSING, IncomingOptions
from edgereid.export.incoming.prepare import STEPS, Case, prepare
from edgereid.export.incoming.refuse import refuse_operators, refuse_tensors
from edgereid.export.incoming.signature import keep_output, read_signature
from edgereid.export.origin import MODEL_FILE, Written
from edgereid.export.parity import MIN_COSINE, cosines, measure_parity
from edgereid.export.probe import activations, begins, constant_from, not_finite, spread_of
from edgereid.files import sha256, write_bytes
from edgereid.images import Preprocessing
from edgereid.progress import note

Floats = NDArray[np.float32]
_LOOKED_AT = 8  # images, where every tensor is looked at


class Incoming:
    """Loads the file; raises InputError, and says what is assumed of its images."""

    peer = "the file as it was given"

    def __init__(self, path: Path, options: IncomingOptions, threads: int) -> None:
        self._path, self._threads = path, threads
        self.name = plain_name(path.stem)
        model = load_incoming(path)
        self._facts = _facts(model)
        require_opset(model, str(path))
        drop_listed_constants(model)
        self._signature = read_signature(model, options, str(path))
        keep_output(model, self._signature.output)
        gather_constants(model)
        name_nodes(model)
        refuse_operators(model, str(path))
        refuse_tensors(model, self._signature, str(path))
        self._model = model
        height, width = self._signature.height, self._signature.width
        self.preprocessing = preprocessing_of(options, height, width)
        note(f"{path.name}: {_pixels_text(self.preprocessing, options)}")

    @property
    def _batch(self) -> int:
        """At which the file is run; where it leaves that open, image by image."""
        return self._signature.batch or 1

    def write(self, directory: Path, crops: Floats) -> Written:
        """See ``Origin.write``. Raises InputError when the prepared network is not the one given,
        naming the step, and the node where the batch is what differs."""
        what = str(self._path)
        raw = Features(self._model, self._threads, what).raw(crops, self._batch)
        reference = raw.reshape(len(raw), -1)
        self._require_useful(crops, reference)
        case = Case(what, self._signature, flat=raw.ndim == 2)
        model, done = prepare(self._model, case)
        few = slice(0, _LOOKED_AT)  # all of them are compared once the engine is there
        self._verify(model, case, crops[few], reference[few])
        note(f"{self._path.name}: {'; '.join(done) or 'nothing had to be changed'}")
        write_bytes(directory / MODEL_FILE, model.SerializeToString(deterministic=True))
        source = {
            "file": self._path.name,
            "sha256": sha256(self._path),
            **self._facts,
            "input": self._signature.input,
            "output": self._signature.output,
            "batch": self._signature.batch,
            "steps": done,
        }
        return Written(reference, (), {"source": source})

    def _require_useful(self, crops: Floats, reference: Floats) -> None:
        """Raise InputError, naming the layer, when features are NaN or hardly vary."""
        count = self._batch * -(-_LOOKED_AT // self._batch)
        images = np.resize(crops, (count, *crops.shape[1:]))
        place = (self._model, images, self._signature.output, self._batch, self._threads)
        if not np.isfinite(reference).all():
            node = not_finite(*place)
            raise InputError(
                f"{self._path} gives NaN or infinity{_from(node)}: check its weights and "
                "--preprocess."
            )
        if spread_of(reference) <= MIN_VARIATION:
            node = constant_from(*place, MIN_VARIATION)
            raise InputError(
                f"{self._path} gives nearly the same embedding for every image{_from(node)}: are "
                "its weights trained, and is --preprocess what it was trained with?"
            )

    def _verify(self, model: Any, case: Case, crops: Floats, reference: Floats) -> None:
        """Compare the prepared model with the file, and find out what went wrong if they differ."""

        try:
            run = Features(model, self._threads, case.what)
            parity = measure_parity(lambda images: run(images, len(images)), crops, reference)
            if parity.agrees:
                return
            said = ""
        except InputError as error:
            said = str(error)
        for i, (name, _, comparable) in enumerate(STEPS):
            if comparable:
                self._require_step(case, i, name, crops, reference)
        self._blame_batch(model, case, said, crops)

    def _require_step(
        self, case: Case, step: int, name: str, crops: Floats, reference: Floats
    ) -> None:
        made, _ = prepare(self._model, case, step + 1)
        got = Features(made, self._threads, case.what)(crops, self._batch)
        cosine = float(cosines(got, reference).min())
        if cosine < MIN_COSINE or not np.allclose(got, reference, rtol=1e-2, atol=1e-3):
            raise InputError(
                f"{case.what} cannot be prepared: {name} changes its embeddings (cosine "
                f"{cosine:.6f}); export it again with opset 17 and constant folding."
            )

    def _blame_batch(self, model: Any, case: Case, said: str, crops: Floats) -> NoReturn:
        """Raise InputError with the node that prevents a dynamic batch."""
        node = blame(said) or lost_at(model, self._batch, case.size)
        node = node or _found_by_running(model, crops[:3], self._threads) or "a node"
        fixed = self._signature.batch
        what = (
            f"gives an image another embedding in a larger batch, from {node} on"
            if fixed is None
            else f"cannot be given a dynamic batch: {node} depends on the {fixed} that it has"
        )
        raise InputError(
            f"{case.what} {what}; export it anew, with dynamic_axes={{input: {{0: 'batch'}}}} and "
            "no sizes of the batch in the code."
        )


def _found_by_running(model: Any, images: Floats, threads: int) -> str:
    """The node that mixes images, or at which a batch cannot be run at all."""
    try:
        with runtime_errors("in a batch"):
            return _mixes(model, images, threads)
    except InputError as error:
        return blame(str(error))


def _mixes(model: Any, images: Floats, threads: int) -> str:
    """The node that gives an image something else in a batch than alone."""
    graph = Graph(model)
    tensors = set(graph.producer)
    alone = dict(activations(model, images, tensors, 1, threads))
    differ = set()
    for name, rows in activations(model, images, tensors, len(images), threads):
        same = name in alone and alone[name].shape == rows.shape
        if not same or not np.allclose(alone[name], rows, rtol=1e-3, atol=1e-4):
            differ.add(name)
    return begins(graph, differ.__contains__, model.graph.output[0].name)


def _from(node: str) -> str:
    return f", from {node} on" if node else ""


def _facts(model: Any) -> dict[str, Any]:
    """What the file says of itself."""
    producer = f"{model.producer_name} {model.producer_version}".strip()
    return {
        "opset": Graph(model).opset,
        "ir_version": int(model.ir_version),
        "producer": producer[:80],
    }


def plain_name(stem: str) -> str:
    """A file's name as the manifest takes it: letters, digits, ".", "_" and "-"."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("._-")[:100]
    return plain or "network"


def preprocessing_of(options: IncomingOptions, height: int, width: int) -> Preprocessing:
    """The manifest's form, in which pixels go from 0 to 1 before the mean is subtracted."""
    pixels = options.pixels
    r, g, b = (v / pixels.peak for v in pixels.mean)
    x, y, z = (v / pixels.peak for v in pixels.std)
    interpolation = options.interpolation or "bilinear"
    return Preprocessing(height, width, pixels.color, (r, g, b), (x, y, z), interpolation)


def _pixels_text(pre: Preprocessing, options: IncomingOptions) -> str:
    mean, std = (", ".join(f"{v:.4g}" for v in values) for values in (pre.mean, pre.std))
    text = (
        f"{pre.color} crops of {pre.height}x{pre.width}, {pre.interpolation}, from 0 to 1, minus "
        f"({mean}), divided by ({std})"
    )
    if options.says_pixels:
        return text
    return (
        f"an ONNX file does not say what its images are; assumed is {DEFAULT_PREPROCESSING}: "
        f"{text}; --preprocess says otherwise"
    )
