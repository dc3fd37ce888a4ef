"""The engine inspector: its JSON as 8.x and 10.x write it, and as 11.x does.

Sources: the developer guide's engine inspector section and the page "Migrating IEngineInspector
Usage from TensorRT 10.x to 11.x". The layers are the fake's own.
"""

from __future__ import annotations

import json
from typing import Any

from trt_fakes.binding import Part
from trt_fakes.plan import LayerInfo, PlanInfo, TensorInfo

FORMATS = {
    "Float": "Row major linear FP32",
    "Half": "Channel major FP16 format where channel % 8 == 0",
    "BFloat16": "Row major linear BFloat16 format",
    "Int8": "Thirty-two wide channel vectorized row major Int8 format",
}
NAMES = {"FLOAT": "Float", "HALF": "Half", "INT8": "Int8", "INT32": "Int32", "UINT8": "UInt8"}
NAMES |= {"INT64": "Int64", "BOOL": "Bool", "BF16": "BFloat16"}


class EngineInspector(Part):
    """Layers by name, with details for a plan that was built with detailed verbosity."""

    def _start(self, engine: Any) -> None:
        self._engine, self._info = engine, engine._info

    @property
    def _new(self) -> bool:
        return self._world.api.release.startswith("11.")

    def _do_get_layer_information(self, layer_index: int, format: Any) -> str:
        return self._text(self._layer(self._info.layers[layer_index]), format)

    def _do_get_engine_information(self, format: Any) -> str:
        info: PlanInfo = self._info
        described: dict[str, Any] = {"Layers": [self._layer(layer) for layer in info.layers]}
        if self._new:
            described["I/O Tensors"] = [self._tensor(t) for t in info.tensors]
        else:
            described["Bindings"] = [t.name for t in info.tensors]
        return self._text(described, format)

    def _text(self, described: Any, format: Any) -> str:
        if format.name == "JSON":
            return json.dumps(described, indent=1)
        return str(described)

    def _layer(self, layer: LayerInfo) -> Any:
        detailed = self._info.verbosity == "DETAILED" and not self._world.failures.names_only
        if self._info.verbosity == "NONE":
            return ""
        if not detailed:
            return layer.name
        made: dict[str, Any] = {
            "Name": layer.name,
            "LayerType": layer.kind,
            "Inputs": [self._end(name, layer) for name in layer.inputs],
            "Outputs": [self._end(name, layer) for name in layer.outputs],
            "TacticName": f"fake_{layer.precision.lower()}_{layer.kind.lower()}",
            "StreamId": 0,
            "Metadata": "\x1e".join(f"[ONNX Layer: {name}]" for name in layer.nodes),
        }
        if layer.weights:
            made["Weights"] = {"Type": layer.precision, "Count": layer.weights}
            made["ParameterType"] = "Convolution" if "Conv" in layer.operators else "MatMul"
        return made

    def _end(self, name: str, layer: LayerInfo) -> dict[str, Any]:
        """An input or output of a layer; graph inputs and outputs keep their own type."""
        ours = next((t for t in self._info.tensors if t.name == name), None)
        kind = layer.precision if ours is None else NAMES[ours.dtype]
        text = FORMATS.get(kind, f"Row major linear {kind}")
        dims = [1] if ours is None else list(ours.dims)
        end: dict[str, Any] = {"Name": name, "Location": "Device", "Dimensions": dims}
        if self._new:
            return end | {"Format": text, "DataType": kind}
        return end | {"Format/Datatype": text}

    def _tensor(self, tensor: TensorInfo) -> dict[str, Any]:
        profiles = []
        for profile in self._info.profiles or ({},):
            low, opt, high = profile.get(tensor.name, (tensor.dims,) * 3)
            text = f"{FORMATS.get(NAMES[tensor.dtype], 'Row major linear')} format (kLINEAR)"
            shapes = {"MinShape": low, "OptShape": opt, "MaxShape": high}
            profiles.append({k: list(v) for k, v in shapes.items()} | {"Format": text})
        return {
            "Name": tensor.name,
            "IOMode": "Input" if tensor.is_input else "Output",
            "DataType": NAMES[tensor.dtype],
            "Dimensions": list(tensor.dims),
            "Location": "Device",
            "IsShapeInferenceIO": False,
            "ProfileInfo": profiles,
        }
