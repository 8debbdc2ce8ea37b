"""When calls are recorded, and what a replay reads. The recorder is a stand-in without a GPU."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor

from easnn.utils import cuda_graphs
from easnn.utils.cuda_graphs import EAGER_CALLS, GraphedFunction


class _Graph:
    """Runs a function again, with the same tensors, and writes the result into its first output."""

    def __init__(self) -> None:
        self.run: Any = None

    def replay(self) -> None:
        self.run()

    def pool(self) -> _Graph:
        return self


class _Doubled:
    """Doubles a tensor; while it is recorded, it only creates its output."""

    def __init__(self) -> None:
        self.recording: _Graph | None = None
        self.python_calls = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.python_calls += 1
        if self.recording is None:
            return 2 * x
        output = torch.full_like(x, torch.nan)
        self.recording.run = lambda: output.copy_(2 * x)
        return output


@pytest.fixture
def doubled(monkeypatch: pytest.MonkeyPatch) -> _Doubled:
    function = _Doubled()

    @contextmanager
    def record(graph: _Graph, pool: Any, capture_error_mode: str) -> Iterator[None]:
        function.recording = graph
        yield
        function.recording = None

    monkeypatch.setattr("torch.cuda.CUDAGraph", _Graph)
    monkeypatch.setattr("torch.cuda.graph", record)
    return function


def test_replays_read_new_inputs_and_run_no_python(doubled: _Doubled) -> None:
    graphed = GraphedFunction(doubled)
    for number in range(EAGER_CALLS + 4):
        x = torch.full((3,), float(number))
        assert graphed(x).tolist() == [2.0 * number] * 3
        assert x.tolist() == [float(number)] * 3
    assert doubled.python_calls == EAGER_CALLS + 1


def test_each_shape_and_type_has_a_graph_of_its_own(doubled: _Doubled) -> None:
    graphed = GraphedFunction(doubled)
    for number in range(EAGER_CALLS + 3):
        for shape, dtype in (((2,), torch.float32), ((3,), torch.float32), ((2,), torch.float64)):
            x = torch.full(shape, float(number), dtype=dtype)
            found = graphed(x)
            assert found.dtype == dtype
            assert found.tolist() == [2.0 * number] * shape[0]
    assert doubled.python_calls == 3 * (EAGER_CALLS + 1)


def test_further_signatures_run_as_usual(
    doubled: _Doubled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuda_graphs, "MOST_GRAPHS", 1)
    graphed = GraphedFunction(doubled)
    for shape in (2, 3):
        for number in range(EAGER_CALLS + 3):
            assert graphed(torch.full((shape,), float(number))).tolist() == [2.0 * number] * shape
    assert doubled.python_calls == EAGER_CALLS + 1 + EAGER_CALLS + 3
