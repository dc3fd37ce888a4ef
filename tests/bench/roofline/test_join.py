"""Steps of a plan joined with nodes of a graph: by name, through fusion, and what is left over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgereid.bench.roofline.join import Joined, join
from edgereid.bench.roofline.layers import ProfileOptions, RuntimeLayer, profiler_of
from edgereid.bench.roofline.network import count
from edgereid.engines.base import EngineOptions

pytest.importorskip("onnx")
CONV, HEAD = "block/conv", "head"


def layer(
    name: str, kind: str, *sources: str, ms: float = 1.0, widths: Any = (4, 4, 4), traffic: Any = 8
) -> RuntimeLayer:
    return RuntimeLayer(name, kind, ms, "f32", sources, *widths, traffic)


def joined(small: Any, *layers: RuntimeLayer) -> Joined:
    return join(count(small(), 1), layers)


def nodes(found: Joined) -> list[tuple[str, ...]]:
    return [work.nodes for work in found.works]


def test_a_plan_without_fusion_is_joined_one_to_one(small: Any, small_macs: int) -> None:
    names = [CONV, "block/relu", "pool", "flatten", HEAD]
    kinds = ["Conv", "Relu", "GlobalAveragePool", "Reshape", "Gemm"]
    found = joined(small, *(layer(n, k, n) for n, k in zip(names, kinds, strict=True)))
    assert nodes(found) == [(name,) for name in names]
    assert (found.time_share, found.macs_share, found.lost) == (1.0, 1.0, ())
    assert sum(work.macs or 0 for work in found.works) == small_macs


def test_unnamed_nodes_went_into_the_step_before_them(small: Any) -> None:
    found = joined(small, layer("a", "Conv", CONV), layer("b", "Gemm", HEAD))
    assert nodes(found) == [(CONV, "block/relu", "pool", "flatten"), (HEAD,)]


def test_a_fused_convolution_may_carry_the_name_of_its_relu(small: Any) -> None:
    found = joined(small, layer("x", "Conv", "block/relu"), layer("y", "FusedGemm", HEAD))
    assert nodes(found)[0][:2] == (CONV, "block/relu")
    assert found.macs_share == 1.0


def test_a_plain_relu_takes_no_convolution(small: Any) -> None:
    found = joined(small, layer("x", "Relu", "block/relu"), layer("y", "Gemm", HEAD))
    assert found.lost == (CONV,)
    assert found.macs_share < 1
    assert found.works[0].macs == 0


def test_names_of_tensors_join_as_names_of_nodes_do(small: Any) -> None:
    assert nodes(joined(small, layer("x", "Conv", "c"), layer("y", "Gemm", "features")))[1] == (
        HEAD,
    )


def test_what_the_runtime_put_in_is_reported_with_its_own_traffic(small: Any) -> None:
    found = joined(
        small,
        layer("a", "Conv", CONV, ms=3.0),
        layer("r", "Reorder", "no such node", ms=1.0, traffic=640),
        layer("b", "Gemm", HEAD, ms=4.0),
    )
    work = found.works[1]
    assert (work.nodes, work.macs, work.nbytes) == ((), 0, 640)
    assert found.time_share == 7 / 8


def test_nodes_that_no_step_stands_for_are_named(small: Any) -> None:
    found = joined(small, layer("a", "Conv", CONV))
    assert found.lost == (HEAD,)


def test_bytes_are_numbers_at_the_widths_the_runtime_tells(small: Any) -> None:
    found = joined(small, layer("a", "Conv", CONV, widths=(1, 2, 8)), layer("b", "Gemm", HEAD))
    images, vector, kernel = 3 * 32, 8, 8 * 27
    # ReLU, pool and flatten are in the first step: of what it makes only the vector leaves it.
    assert found.works[0].nbytes == 1 * images + 2 * vector + 8 * kernel
    assert found.works[1].nbytes == 4 * (8 + 16 + 8 * 16)


def test_an_empty_plan_joins_nothing(small: Any) -> None:
    found = joined(small)
    assert (found.works, found.time_share, found.macs_share) == ((), 0.0, 0.0)
    assert set(found.lost) == {CONV, HEAD}


@pytest.mark.parametrize("int8", [False, True])
@pytest.mark.parametrize("runtime", ["onnxruntime", "openvino"])
def test_the_plans_of_real_runtimes_are_joined_with_all_arithmetic(
    small: Any, small_file: Any, runtime: str, int8: bool
) -> None:
    pytest.importorskip(runtime)
    path: Path = small_file(int8=int8)
    profiler = profiler_of(runtime)
    assert profiler is not None
    images = [np.random.default_rng(i).random((2, 3, 8, 4), dtype=np.float32) for i in range(2)]
    profile = profiler(path, EngineOptions(threads=1), images, ProfileOptions(3, 2))
    found = join(count(small(int8=int8), 2), profile.layers)
    assert found.macs_share == 1.0
    assert found.lost == ()
    assert profile.runs == 3
    assert profile.run_ms > 0
    owned = [name for work in found.works for name in work.nodes]
    assert len(owned) == len(set(owned))
    assert {CONV, HEAD} <= set(owned)
    if int8:
        kinds = {w.layer.precision for w in found.works if CONV in w.nodes}
        assert kinds <= {"int8", "f32"}


def test_runtimes_that_do_not_tell_have_no_profiler() -> None:
    assert profiler_of("eager") is None
    assert profiler_of("tensorrt") is None
