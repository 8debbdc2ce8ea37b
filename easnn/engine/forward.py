"""Forward passes of an evaluation: what comes out for a frame depends on that frame alone.

Rounding differs a little between batches of different sizes and between different numbers of threads, and a
spike that is or is not fired makes much of little. So frames are computed in a form that never changes: on
the CPU one by one, each by a single thread (and several frames at a time), on a GPU in groups of a fixed
size. Then the result of an evaluation depends neither on the batch size nor on the number of processes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

from easnn.engine.precision import Precision

GROUP = 8
"""Frames computed together."""

Item = TypeVar("Item")


class Forward(Protocol):
    """Computes the outputs ``[n, A, 5 + classes]`` of at most :data:`GROUP` frames ``[n,Tl,Tm,C,h,w]``."""

    def __call__(self, events: Tensor, /) -> Tensor:
        """Return the outputs."""


@contextmanager
def frame_forward(model: nn.Module, device: torch.device, *, mixed: bool) -> Iterator[Forward]:
    """Put ``model`` into evaluation mode and give its forward pass in the form described above.

    Args:
        model: The detector on ``device``.
        device: Where to compute.
        mixed: Whether to use mixed precision.
    """
    model.eval()
    precision = Precision(device, mixed=mixed)

    @torch.inference_mode()
    def compute(events: Tensor) -> Tensor:
        with precision.autocast():
            outputs: Tensor = model(events)
        return outputs

    def whole_group(events: Tensor) -> Tensor:
        blank = events.new_zeros(GROUP - len(events), *events.shape[1:])
        return compute(torch.cat((events, blank)))[: len(events)]

    if device.type != "cpu":
        yield whole_group
        return
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield lambda events: torch.cat(list(pool.map(compute, events.split(1))))
    finally:
        torch.set_num_threads(threads)


def in_groups(batches: Iterable[tuple[Tensor, Sequence[Item]]]) -> Iterator[tuple[Tensor, list[Item]]]:
    """Cut a stream of batches into groups of :data:`GROUP` frames; only the last may be smaller.

    Args:
        batches: The events of frames and what goes with each frame.
    """
    waiting: list[tuple[Tensor, Item]] = []
    for events, items in batches:
        waiting.extend(zip(events, items, strict=True))
        while len(waiting) >= GROUP:
            yield _stacked(waiting[:GROUP])
            waiting = waiting[GROUP:]
    if waiting:
        yield _stacked(waiting)


def _stacked(frames: Sequence[tuple[Tensor, Item]]) -> tuple[Tensor, list[Item]]:
    return torch.stack([events for events, _ in frames]), [item for _, item in frames]
