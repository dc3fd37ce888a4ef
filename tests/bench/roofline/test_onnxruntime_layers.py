"""ONNX Runtime's profile, from a file written by hand."""

from __future__ import annotations

from typing import Any

import pytest

from edgereid.bench.roofline.onnxruntime_layers import from_events
from edgereid.errors import InputError

pytest.importorskip("onnxruntime")


def node(ts: int, dur: int, name: str, op: str, reads: Any, writes: Any, index: int = 0) -> Any:
    args = {
        "op_name": op, "node_index": str(index), "input_type_shape": reads,
        "output_type_shape": writes,
    }  # fmt: skip
    return {"cat": "Node", "name": f"{name}_kernel_time", "ts": ts, "dur": dur, "args": args}


def run(ts: int, dur: int) -> Any:
    return {"cat": "Session", "name": "model_run", "ts": ts, "dur": dur, "args": {}}


FLOAT, BYTES = [{"float": [1, 3, 4]}], [{"uint8": [1, 3, 4]}]


def profile(durations: list[int]) -> list[Any]:
    """One quantised convolution that takes so many microseconds in run after run."""
    events: list[Any] = [
        {"cat": "Session", "name": "model_loading_uri", "ts": 0, "dur": 9, "args": {}}
    ]
    for i, dur in enumerate(durations):
        start = 1000 * (i + 1)
        events.append(node(start + 1, dur, "a/Conv_nchwc_token_7", "QLinearConv", BYTES, FLOAT))
        events.append(run(start, dur + 5))
    return events


def test_times_are_medians_in_milliseconds_without_the_first_runs() -> None:
    found = from_events(profile([900, 900, 10, 30, 20]), skip=2)
    (layer,) = found.layers
    assert layer.ms == 0.02
    assert (found.runs, found.run_ms) == (3, 0.025)


def test_a_step_tells_its_types_its_traffic_and_the_node_it_came_from() -> None:
    (layer,) = from_events(profile([5]), skip=0).layers
    assert (layer.kind, layer.precision) == ("QLinearConv", "int8")
    assert (layer.read_width, layer.write_width, layer.weight_width) == (1, 4, 1)
    assert layer.traffic == 12 + 48
    assert layer.sources == ("a/Conv",)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("stem/Relu_nchwc", "stem/Relu"),
        ("fused head/Gemm", "head/Gemm"),
        ("a/Conv_token_12", "a/Conv"),
        ("a/Conv_nchwc_1", "a/Conv_nchwc_1"),
        ("token_5", "token_5"),
        ("att/MatMul/MatmulTransposeFusion/", "att/MatMul"),
        ("att/Slice/GatherSliceToSplitFusion_token_9", "att/Slice"),
    ],
)
def test_marks_of_the_rewriting_are_taken_off_names(name: str, source: str) -> None:
    events = [node(1, 1, name, "Conv", FLOAT, FLOAT), run(0, 3)]
    assert from_events(events, 0).layers[0].sources == (source,)


def test_steps_of_one_name_are_told_apart_by_their_index() -> None:
    events = [
        node(1, 1, "", "Relu", FLOAT, FLOAT, index=1),
        node(3, 5, "", "Relu", FLOAT, FLOAT, index=2),
        run(0, 9),
    ]
    assert [layer.ms for layer in from_events(events, 0).layers] == [0.001, 0.005]


@pytest.mark.parametrize("events", [[], [run(0, 1)], [{"cat": "Node"}], "text", [1]])
def test_a_profile_that_is_none_is_refused(events: Any) -> None:
    with pytest.raises(InputError):
        from_events(events, 0)
