"""The network definition and its parser."""

from __future__ import annotations

from typing import Any

from trt_fakes.binding import NotPlayedError, Part
from trt_fakes.layers import KINDS, OTHER
from trt_fakes.model import Model, ModelError, Node, read
from trt_fakes.plan import TensorInfo


class ITensor(Part):
    """An input, an output or something in between."""

    def _start(self, network: Any, info: TensorInfo) -> None:
        self._network, self._info = network, info
        self._is_output = any(not t.is_input and t.name == info.name for t in network._tensors())

    def _get_name(self) -> str:
        return self._info.name

    def _set_name(self, value: str) -> None:
        raise NotPlayedError("renaming a tensor")

    def _get_shape(self) -> Any:
        return self._world.dims(self._info.dims)

    def _set_shape(self, value: Any) -> None:
        if not self._info.is_input:
            raise NotPlayedError("the shape of a tensor that is no input")
        self._network._reshape(self._info.name, tuple(value))
        self._info = self._network._tensor(self._info.name)

    def _get_dtype(self) -> Any:
        return self._world.enum("DataType", self._info.dtype)

    def _get_is_network_input(self) -> bool:
        return self._info.is_input

    def _get_is_network_output(self) -> bool:
        return self._is_output

    def _get_is_shape_tensor(self) -> bool:
        return False

    def _get_is_execution_tensor(self) -> bool:
        return True


class ILayer(Part):
    """A layer of the definition: one a node of the ONNX file."""

    def _start(self, network: Any, node: Node, outputs: int = 1) -> None:
        self._network, self._node = network, node
        self._outputs: dict[int, Any] = {}

    def _get_name(self) -> str:
        return self._node.name

    def _set_name(self, value: str) -> None:
        raise NotPlayedError("renaming a layer")

    def _get_metadata(self) -> str:
        return f"[ONNX Layer: {self._node.name}]"

    def _get_type(self) -> Any:
        return self._world.enum("LayerType", KINDS.get(self._node.op, OTHER)[0])

    def _get_num_inputs(self) -> int:
        return sum(1 for name in self._node.inputs if name)

    def _get_num_outputs(self) -> int:
        return len(self._node.outputs)

    def _tensor_at(self, names: tuple[str, ...], index: int) -> Any:
        return self._network._any(names[index]) if 0 <= index < len(names) else None

    def _do_get_input(self, index: int) -> Any:
        return self._tensor_at(self._node.inputs, index)

    def _do_get_output(self, index: int) -> Any:
        return self._tensor_at(self._node.outputs, index)

    def _get_precision(self) -> Any:
        name = self._network._fixed.get(self._node.name, "FLOAT")
        return self._world.enum("DataType", name)

    def _set_precision(self, value: Any) -> None:
        self._network._fixed[self._node.name] = value.name

    def _get_precision_is_set(self) -> bool:
        return self._node.name in self._network._fixed

    def _do_reset_precision(self) -> None:
        self._network._fixed.pop(self._node.name, None)

    def _do_set_output_type(self, index: int, dtype: Any) -> None:
        self._network._output_types[self._node.name, index] = dtype.name

    def _do_get_output_type(self, index: int) -> Any:
        name = self._network._output_types.get((self._node.name, index), "FLOAT")
        return self._world.enum("DataType", name)

    def _do_output_type_is_set(self, index: int) -> bool:
        return (self._node.name, index) in self._network._output_types

    def _do_reset_output_type(self, index: int) -> None:
        self._network._output_types.pop((self._node.name, index), None)


class INetworkDefinition(Part):
    """Filled by the parser; layers cannot be added by hand."""

    def _start(self, builder: Any, flags: int) -> None:
        self._builder, self._bits = builder, flags
        self._model: Model | None = None
        self._fixed: dict[str, str] = {}
        self._output_types: dict[tuple[str, int], str] = {}
        self._sizes: dict[str, tuple[int, ...]] = {}
        self._called = ""

    @property
    def _strong(self) -> bool:
        """Whether types come from the file only."""
        flags = self._world.types["NetworkDefinitionCreationFlag"].__members__
        if "EXPLICIT_BATCH" not in flags:  # from 11 on always
            return True
        return "STRONGLY_TYPED" in flags and bool(self._bits >> int(flags["STRONGLY_TYPED"]) & 1)

    def _tensors(self) -> list[TensorInfo]:
        if self._model is None:
            return []
        return [
            TensorInfo(t.name, t.dtype, self._sizes.get(t.name, t.dims), t.symbols, t.is_input)
            for t in self._model.tensors
        ]

    def _tensor(self, name: str) -> TensorInfo:
        return next(t for t in self._tensors() if t.name == name)

    def _reshape(self, name: str, sizes: tuple[int, ...]) -> None:
        self._sizes[name] = sizes

    def _any(self, name: str) -> Any:
        """The tensor of that name, None for a weight or nothing."""
        assert self._model is not None
        for info in self._tensors():
            if info.name == name:
                return self._world.make("ITensor", self, info)
        if name in self._model.sizes or not name:
            return None
        dtype = self._model.types.get(name, "FLOAT")
        return self._world.make("ITensor", self, TensorInfo(name, dtype, (), (), False))

    def _listed(self, is_input: bool) -> list[TensorInfo]:
        return [t for t in self._tensors() if t.is_input == is_input]

    def _get_num_inputs(self) -> int:
        return len(self._listed(True))

    def _get_num_outputs(self) -> int:
        return len(self._listed(False))

    def _get_num_layers(self) -> int:
        return 0 if self._model is None else len(self._model.nodes)

    def _do_get_input(self, index: int) -> Any:
        found = self._listed(True)
        return self._world.make("ITensor", self, found[index]) if index < len(found) else None

    def _do_get_output(self, index: int) -> Any:
        found = self._listed(False)
        return self._world.make("ITensor", self, found[index]) if index < len(found) else None

    def _do_get_layer(self, index: int) -> Any:
        assert self._model is not None
        return self._world.make("ILayer", self, self._model.nodes[index])

    def _get_name(self) -> str:
        return self._called or "Unnamed Network 0"

    def _set_name(self, value: str) -> None:
        self._called = value

    def _get_flags(self) -> int:
        return self._bits

    def _do_get_flag(self, flag: Any) -> bool:
        return bool(self._bits >> int(flag) & 1)

    def _get_builder(self) -> Any:
        return self._builder

    def _get_has_implicit_batch_dimension(self) -> bool:
        return False


class OnnxParser(Part):
    """Reads ONNX bytes into a network definition, with the checks of ``model.read``."""

    def _start(self, network: Any, logger: Any) -> None:
        self._network, self._logger = network, logger
        self._errors: list[ModelError] = []
        natively = self._world.api.release != "8.6"
        flags = self._world.types["OnnxParserFlag"].__members__
        self._bits = 1 << int(flags["NATIVE_INSTANCENORM"]) if natively else 0

    def _do_parse(self, model: Any, path: str | None) -> bool:
        failures = self._world.failures.parser_errors
        if failures:
            self._errors = [ModelError("UNSUPPORTED_NODE", t, 0, "node_0", "Op") for t in failures]
        else:
            try:
                self._network._model = read(bytes(model), path, self._world.api.release)
                return True
            except ModelError as error:
                self._errors.append(error)
        for error in self._errors:
            where = f"While parsing node number {error.node} [{error.op} -> ...]: "
            self._world.error(self._logger, (where if error.node >= 0 else "") + error.text)
        return False

    def _do_parse_from_file(self, model: str) -> bool:
        try:
            with open(model, "rb") as file:
                data = file.read()
        except OSError:
            self._errors.append(
                ModelError("MODEL_DESERIALIZE_FAILED", f"Failed to open file: {model}")
            )
            return False
        return self._do_parse(data, model)

    def _do_supports_model(self, model: Any, path: str | None) -> tuple[bool, list[Any]]:
        done = self._do_supports_model_v2(model, path)
        return done, [([0], done)]

    def _do_supports_model_v2(self, model: Any, path: str | None) -> bool:
        try:
            read(bytes(model), path, self._world.api.release)
        except ModelError as error:
            self._errors.append(error)
            return False
        return True

    def _get_num_errors(self) -> int:
        return len(self._errors)

    def _do_get_error(self, index: int) -> Any:
        return self._world.make("ParserError", self._errors[index])

    def _do_clear_errors(self) -> None:
        self._errors.clear()

    def _do_set_flag(self, flag: Any) -> None:
        self._bits |= 1 << int(flag)

    def _do_clear_flag(self, flag: Any) -> None:
        self._bits &= ~(1 << int(flag))

    def _do_get_flag(self, flag: Any) -> bool:
        return bool(self._bits >> int(flag) & 1)

    def _get_flags(self) -> int:
        return self._bits

    def _set_flags(self, value: int) -> None:
        self._bits = value
