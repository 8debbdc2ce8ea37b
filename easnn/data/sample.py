"""Samples and batches: what the loader's workers send to the device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import reduce

import numpy as np
import torch
from torch import Tensor

from easnn.ops import Placement


@dataclass(frozen=True)
class DetectionSample:
    """A frame at sensor resolution, its boxes, and their placement in the network's input.

    Attributes:
        events: ``[Tl,Tm,C,H,W]``, oldest slice first: integers (counts) or floats.
        boxes: ``[N,5]`` float32, rows (class, x, y, w, h): top-left corner and size in sensor
            pixels.
        placement: position and size of the sensor's image in the network's input.
        index: position in the dataset, which is also the frame's number in an evaluation;
            :data:`~easnn.data.timeline.UNLABELLED` for a window without a label.
        time_us: time of the label; the events end there.
        sequence: name of the recording.
        begins: whether the memory is empty before the window.
    """

    events: Tensor
    boxes: Tensor
    placement: Placement
    index: int
    time_us: int
    sequence: str
    begins: bool = True


@dataclass(frozen=True)
class DetectionBatch:
    """Samples of one dataset, stacked; each tuple has one entry per sample.

    Attributes:
        events: ``[B,Tl,Tm,C,H,W]`` integers or floats.
        boxes: ``[B,N,5]`` float32 as in :class:`DetectionSample`; N is the largest number of boxes
            in the batch, and a frame with fewer boxes is padded with zero rows.
        placements: as in :class:`DetectionSample`, like the following.
        indices: positions in the dataset.
        times_us: times of the labels.
        sequences: names of the recordings.
        begins: whether the memory is empty before each window; it is, if not given.
    """

    events: Tensor
    boxes: Tensor
    placements: tuple[Placement, ...]
    indices: tuple[int, ...]
    times_us: tuple[int, ...]
    sequences: tuple[str, ...]
    begins: tuple[bool, ...] = ()

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def sensor_hw(self) -> tuple[int, int]:
        """Height and width of the sensor in pixels."""
        height, width = self.events.shape[-2:]
        return height, width

    def to(self, device: torch.device | str) -> DetectionBatch:
        """Return the batch on ``device``; copies from page-locked memory do not block."""
        return replace(
            self,
            events=self.events.to(device, non_blocking=True),
            boxes=self.boxes.to(device, non_blocking=True),
        )

    def split(self, count: int) -> Iterator[DetectionBatch]:
        """Yield ``count`` parts of equal size, in order.

        Raises:
            ValueError: if the samples cannot be divided into so many.
        """
        size, rest = divmod(len(self), count)
        if rest:
            raise ValueError(f"{len(self)} samples cannot be divided into {count} equal parts.")
        for start in range(0, len(self), size):
            part = slice(start, start + size)
            yield DetectionBatch(**{f.name: getattr(self, f.name)[part] for f in fields(self)})

    def pin_memory(self) -> DetectionBatch:
        """Return the batch with its tensors in page-locked memory; the loader calls it."""
        return replace(self, events=self.events.pin_memory(), boxes=self.boxes.pin_memory())

    def ground_truth(self) -> list[np.ndarray]:
        """Return each frame's boxes ``[N,5]`` (class, x, y, w, h) in sensor pixels, not padded."""
        return [rows[rows[:, 3] > 0] for rows in self.boxes.cpu().numpy()]


def collate(samples: Sequence[DetectionSample]) -> DetectionBatch:
    """Stack samples of the same sensor and slices into a batch.

    The events of the batch get the smallest type that can hold those of every sample.
    """
    dtype = reduce(torch.promote_types, (s.events.dtype for s in samples))
    boxes = torch.zeros(len(samples), max(len(s.boxes) for s in samples), 5)
    for row, sample in zip(boxes, samples, strict=True):
        row[: len(sample.boxes)] = sample.boxes
    return DetectionBatch(
        events=torch.stack([s.events.to(dtype) for s in samples]),
        boxes=boxes,
        placements=tuple(s.placement for s in samples),
        indices=tuple(s.index for s in samples),
        times_us=tuple(s.time_us for s in samples),
        sequences=tuple(s.sequence for s in samples),
        begins=tuple(s.begins for s in samples),
    )
