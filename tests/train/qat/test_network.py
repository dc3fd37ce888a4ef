"""The network that is trained is the exported one, rounding included."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from edgereid.calibration.scheme import Range
from edgereid.calibration.session import add_outputs, open_session
from edgereid.calibration.table import CalibrationTable, Entry
from edgereid.errors import InputError
from edgereid.export.graph import Graph
from edgereid.export.placement import place
from edgereid.export.policy import OPENVINO, POLICIES, PlacementPolicy
from edgereid.export.qdq import quantize
from edgereid.export.torch_onnx import export_onnx
from edgereid.train.qat.backend import Backend, open_backend
from edgereid.train.qat.network import GraphNetwork, Roundings, roundings
from edgereid.train.qat.unfold import unfold
from tests.export.test_qdq_engines import QUANTUM, table_of
from tests.export.test_shared_and_dead_weights import sharing
from tests.train.qat.conftest import EVERYWHERE, Exported

ALL = {**POLICIES, "everywhere": EVERYWHERE}


def run(network: torch.nn.Module, images: Any) -> Any:
    with torch.no_grad():
        return network(torch.from_numpy(images)).numpy()


def cosines(a: Any, b: Any) -> Any:
    return (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def test_without_rounding_it_is_the_network(exported: Exported) -> None:
    got = run(GraphNetwork(exported.graph, Roundings()), exported.crops)
    np.testing.assert_allclose(got, run(exported.network, exported.crops), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("target", ALL)
def test_with_rounding_it_is_the_writers_model_in_onnx_runtime(
    target: str, exported: Exported, backend: Backend
) -> None:
    policy = ALL[target]
    table = exported.table(policy)
    student = GraphNetwork(
        exported.graph,
        roundings(place(exported.graph, policy), table, policy, backend, learned=True),
    )
    quantised, _ = quantize(exported.graph.model, table, policy)
    wanted = open_session(quantised, 1).run(None, {"images": exported.crops})[0]
    got = run(student, exported.crops)
    assert cosines(got, wanted).min() > 0.999
    plain = run(exported.network, exported.crops)
    assert np.abs(got - wanted).mean() < 0.3 * np.abs(plain - wanted).mean()


@pytest.mark.parametrize("target", ALL)
def test_every_construct_of_the_placement_rules_is_covered(
    target: str, make_small: Callable[..., Any], crops: Any, backend: Backend
) -> None:
    policy, graph = ALL[target], Graph(make_small())
    names = set(place(graph, policy).activations.values())
    watched = make_small()
    add_outputs(watched, names, "small")
    outputs = open_session(watched, 1).run(None, {"images": crops})
    found = {o.name: v for o, v in zip(watched.graph.output, outputs, strict=True)}
    found["images"] = crops
    entries = {}
    for name in names:
        low, high = float(found[name].min()), float(found[name].max())
        both = Range(min(low, 0.0), max(high, 0.0))
        kinds = {s.name: both for s in (policy.nonnegative, policy.signed)}
        entries[name] = Entry(low, high, 1, "minmax", kinds)
    table = CalibrationTable(entries)
    quantised, placement = quantize(graph.model, table, policy)
    student = GraphNetwork(graph, roundings(placement, table, policy, backend, learned=False))
    wanted = open_session(quantised, 1).run(None, {"images": crops})[0]
    assert cosines(run(student, crops), wanted).min() > 0.9999


@pytest.mark.parametrize(("kept", "other"), [("a", "b"), ("b", "a")])
def test_a_layer_in_float_reads_float_weights_though_another_shares_them(
    kept: str, other: str, backend: Backend
) -> None:
    model = sharing()
    graph, table = Graph(model), table_of(model)
    placement = place(graph, OPENVINO, keep=[kept])
    assert placement.precision[other] == "int8"
    quantised, _ = quantize(model, table, OPENVINO, keep=[kept])
    images = np.random.default_rng(0).uniform(-1, 1, size=(2, 3, 16, 8)).astype(np.float32)
    wanted = open_session(quantised, 1).run(None, {"images": images})[0]
    student = GraphNetwork(graph, roundings(placement, table, OPENVINO, backend, learned=False))
    np.testing.assert_allclose(run(student, images), wanted, atol=QUANTUM / 2)
    both = place(graph, OPENVINO)
    rounded = GraphNetwork(graph, roundings(both, table, OPENVINO, backend, learned=False))
    assert np.abs(run(rounded, images) - wanted).max() > QUANTUM / 2


def test_unfolded_weights_come_out_of_the_export_to_the_last_bit(
    exported: Exported, tmp_path: Any
) -> None:
    student = GraphNetwork(exported.graph, Roundings())
    trained = {n: w + 0.01 * torch.randn_like(w) for n, w in student.weights().items()}
    again = unfold(exported.network, trained)
    export_onnx(again, (32, 16), tmp_path / "again.onnx")
    import onnx

    graph = Graph(onnx.load(str(tmp_path / "again.onnx")))
    assert trained
    for name, value in trained.items():
        np.testing.assert_array_equal(graph.weights[name], value.numpy())
    assert set(again.state_dict()) == set(exported.network.state_dict())


def test_a_weight_that_no_layer_has_is_refused(exported: Exported) -> None:
    with pytest.raises(InputError, match=r"constant\.7 .*cannot be trained"):
        unfold(exported.network, {"constant.7": torch.zeros(3)})


def test_an_operator_that_is_not_known_is_refused_by_name(make_small: Callable[..., Any]) -> None:
    model = make_small()
    next(n for n in model.graph.node if n.name == "gate.softmax").op_type = "LogSoftmax"
    with pytest.raises(InputError, match=r"gate\.softmax is a LogSoftmax"):
        GraphNetwork(Graph(model), Roundings())


def test_ranges_that_are_fixed_have_no_gradient(
    exported: Exported, everywhere: PlacementPolicy
) -> None:
    table = exported.table(everywhere)
    placement = place(exported.graph, everywhere)
    for learned in (True, False):
        rounding = roundings(placement, table, everywhere, open_backend("torch"), learned)
        student = GraphNetwork(exported.graph, rounding)
        scalars = [p for p in student.parameters() if p.ndim == 0 and p.requires_grad]
        assert len(scalars) == (len(rounding.sources) if learned else 0)
