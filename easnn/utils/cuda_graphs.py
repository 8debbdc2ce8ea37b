"""Functions that a GPU replays as CUDA graphs: the host does not start each kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import torch
from torch import Tensor

Result = TypeVar("Result")
Signature = tuple[tuple[torch.Size, torch.dtype], ...]

EAGER_CALLS = 2
"""Calls for a signature that run as usual before it is recorded. They compile kernels, choose
algorithms and create whatever the first calls create."""

MOST_GRAPHS = 32
"""Number of recorded signatures, because each keeps its outputs in memory; others run as usual."""


@dataclass(frozen=True)
class _Recorded(Generic[Result]):
    """A recorded call: its graph, the tensors that it reads, and the outputs that it writes."""

    graph: torch.cuda.CUDAGraph
    inputs: tuple[Tensor, ...]
    outputs: Result


class GraphedFunction(Generic[Result]):
    """A function of tensors on a GPU that is recorded once for each signature, and then replayed.

    A signature is the shapes and types of the inputs. Replaying runs the recorded kernels and no
    Python code: whatever the function reads besides its inputs must stay at its place in memory
    (weights that are updated in place do), and what it does on the host is not repeated. The
    outputs of a call are overwritten by the next one.

    Args:
        function: must not wait for the GPU.
    """

    def __init__(self, function: Callable[..., Result]) -> None:
        self._function = function
        self._calls: dict[Signature, int] = {}
        self._recorded: dict[Signature, _Recorded[Result]] = {}

    def __call__(self, *inputs: Tensor) -> Result:
        """Return the outputs of the function.

        Raises:
            RuntimeError: if the function cannot be recorded.
        """
        signature = tuple((x.shape, x.dtype) for x in inputs)
        recorded = self._recorded.get(signature)
        if recorded is None:
            calls = self._calls[signature] = self._calls.get(signature, 0) + 1
            if calls <= EAGER_CALLS or len(self._recorded) == MOST_GRAPHS:
                return self._function(*inputs)
            recorded = self._recorded[signature] = self._record(inputs)
        for place, value in zip(recorded.inputs, inputs, strict=True):
            place.copy_(value, non_blocking=True)
        recorded.graph.replay()
        return recorded.outputs

    def _record(self, inputs: tuple[Tensor, ...]) -> _Recorded[Result]:
        places = tuple(torch.empty_like(x) for x in inputs)
        graph = torch.cuda.CUDAGraph()
        others = next(iter(self._recorded.values()), None)
        with torch.cuda.graph(
            graph,
            pool=None if others is None else others.graph.pool(),
            # The thread that page-locks batches may allocate while this one records.
            capture_error_mode="thread_local",
        ):
            outputs = self._function(*places)
        return _Recorded(graph, places, outputs)
