"""Forward passes whose result for a frame depends on that frame alone.

Rounding differs between batch sizes and between numbers of threads, and a spike turns a tiny
difference into a large one. So the batch size is fixed: on the CPU each frame is computed alone, by
a single thread (several frames in parallel); on a GPU frames are computed in groups of constant
size. The detections then depend neither on the batch size nor on the number of processes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

import torch
from torch import Tensor

from easnn.utils.options import PrecisionName
from easnn.utils.precision import Precision

GROUP = 8
"""Batch size of a forward pass on a GPU, and maximum number of frames per call."""

Result = TypeVar("Result")
Label = TypeVar("Label")


class FixedForm(Protocol):
    """Applies a function of a batch ``[b,Tl,Tm,C,h,w]`` to at most :data:`GROUP` frames."""

    def __call__(
        self, function: Callable[[Tensor], Result], events: Tensor, /
    ) -> list[tuple[Result, int]]:
        """Return for each frame the result of its batch, and its position in that batch."""


@contextmanager
def fixed_form(device: torch.device, precision: PrecisionName) -> Iterator[FixedForm]:
    """Provide a function that applies another one to frames in batches of fixed size.

    On a CPU, torch uses a single thread within the block.

    Args:
        device: device of the frames.
        precision: what ``function`` computes in.
    """
    autocast = Precision(device, precision).autocast

    def call(function: Callable[[Tensor], Result], events: Tensor) -> Result:
        with torch.inference_mode(), autocast():
            return function(events)

    def on_gpu(function: Callable[[Tensor], Result], events: Tensor) -> list[tuple[Result, int]]:
        blank = events.new_zeros(GROUP - len(events), *events.shape[1:])
        result = call(function, torch.cat((events, blank)))
        return [(result, position) for position in range(len(events))]

    if device.type != "cpu":
        yield on_gpu
        return
    threads = torch.get_num_threads()
    with (
        single_thread(device),
        ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):

        def on_cpu(
            function: Callable[[Tensor], Result], events: Tensor
        ) -> list[tuple[Result, int]]:
            results = pool.map(lambda frame: call(function, frame), torch.split(events, 1))
            return [(result, 0) for result in results]

        yield on_cpu


@contextmanager
def single_thread(device: torch.device) -> Iterator[None]:
    """Let torch use a single thread within the block if the device is a CPU."""
    if device.type != "cpu":
        yield
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def regrouped(
    batches: Iterable[tuple[Tensor, Sequence[Label]]],
) -> Generator[tuple[Tensor, list[Label]]]:
    """Regroup batches into groups of :data:`GROUP` frames; only the last may be smaller.

    Args:
        batches: frames ``[b,…]``, each batch with what belongs to each frame.
    """
    waiting: list[tuple[Tensor, Label]] = []
    for events, labels in batches:
        waiting.extend(zip(events, labels, strict=True))
        while len(waiting) >= GROUP:
            yield _stacked(waiting[:GROUP])
            waiting = waiting[GROUP:]
    if waiting:
        yield _stacked(waiting)


def _stacked(frames: Sequence[tuple[Tensor, Label]]) -> tuple[Tensor, list[Label]]:
    return torch.stack([events for events, _ in frames]), [label for _, label in frames]
