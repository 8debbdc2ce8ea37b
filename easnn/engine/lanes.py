"""The memory of the clips that a process trains on, carried from step to step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from easnn.data import UNLABELLED, DetectionBatch
from easnn.data.sampler import part_of_rank
from easnn.models import Clips, MemoryState
from easnn.utils.distributed import gather_objects, rank, world_size
from easnn.utils.errors import CheckpointError


class Lanes:
    """The state of the memory of each of this process's lanes: the clips of a batch.

    Which lane plays what is up to :class:`~easnn.data.LaneSampler`; the batches say where a memory
    is empty.

    Args:
        clip: windows of a clip.
    """

    def __init__(self, clip: int) -> None:
        self._clip = clip
        self._state: MemoryState | None = None

    def clips_of(self, batch: DetectionBatch, targets: Tensor) -> tuple[Tensor, Clips]:
        """Return the targets ``[K, N, 5]`` of the labelled windows of a batch, and its clips.

        Args:
            batch: the windows, clip after clip.
            targets: of all windows ``[B·L, N, 5]``, on the device.

        Raises:
            CheckpointError: if the state that was restored is that of another number of lanes.
        """
        lanes = len(batch) // self._clip
        if self._state is not None and len(self._state[0]) != lanes:
            raise CheckpointError(
                f"The checkpoint has the memory of {len(self._state[0])} clips for this process, "
                f"but a step now has {lanes}. Resume with the same batch size (-b)."
            )
        places = [at for at, index in enumerate(batch.indices) if index != UNLABELLED]
        labelled = _sent(torch.tensor(places or [0]), targets.device)
        begins = _sent(torch.tensor(batch.begins).view(lanes, self._clip), targets.device)
        wanted = targets[labelled]
        if not places:
            wanted = torch.zeros_like(wanted)
        return wanted, Clips(lanes, self._state, begins, labelled, float(bool(places)))

    def carry(self, state: MemoryState | None) -> None:
        """Keep the state after a step for the next one."""
        self._state = state

    def saved(self) -> list[Tensor] | None:
        """Return the states of the lanes of all processes, in order; every process calls this.

        None if there is no memory, or no step has been done.
        """
        own = None if self._state is None else [values.cpu() for values in self._state]
        states = [state for state in gather_objects(own) if state is not None]
        return [torch.cat(level) for level in zip(*states, strict=True)] or None

    def restore(self, saved: Sequence[Tensor] | None, device: torch.device) -> None:
        """Restore this process's part of what :meth:`saved` returned.

        Raises:
            ValueError: if it is something else.
        """
        if saved is None:
            self._state = None
            return
        x3, x4, x5 = saved
        if not len(x3) == len(x4) == len(x5):
            raise ValueError("the levels have different numbers of lanes")
        part = part_of_rank(len(x3), rank(), world_size())
        own = slice(part.start, part.stop)
        self._state = x3[own].to(device), x4[own].to(device), x5[own].to(device)


def _sent(values: Tensor, device: torch.device) -> Tensor:
    """Copy to the device without waiting for it."""
    if device.type != "cuda":
        return values
    return values.pin_memory().to(device, non_blocking=True)
