"""Frames in float64 at the resolution of the network, made and resized sample by sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from easnn.data import DetectionBatch, RequestedSamples, SampleRequest, collate, prepare_targets
from easnn.data.sampler import EpochSampler
from easnn.ops import Interpolation, Placement

CV2_INTERPOLATION = {"linear": cv2.INTER_LINEAR, "cubic": cv2.INTER_CUBIC}

Images = npt.NDArray[np.float64]


class LoadedBatch(NamedTuple):
    """The network's input of a batch.

    Attributes:
        events: ``[B, Tl, Tm, C, h, w]`` float64.
        targets: ``[B, N, 5]`` as of :func:`~easnn.data.prepare_batch`.
    """

    events: Tensor
    targets: Tensor


class PublishedLoader:
    """Loads the batches of :class:`~easnn.data.BatchLoader`, ready for the network.

    Windows and counts are those of easnn. From there on, a sample is float64: it is resized in the
    worker, at the resolution of the network, and so it is sent to the training process.

    Args:
        samples: samples of the dataset by request.
        sampler: determines the batches.
        out_hw: height and width of the network's input.
        interpolation: how frames are resized.
        max_boxes: rows of the targets.
        num_workers: worker processes; 0 reads in this process.
    """

    def __init__(
        self,
        samples: RequestedSamples,
        sampler: EpochSampler,
        out_hw: tuple[int, int],
        interpolation: Interpolation = "linear",
        *,
        max_boxes: int = 50,
        num_workers: int,
    ) -> None:
        self._loader = DataLoader(
            _Batches(samples, out_hw, interpolation, max_boxes),
            batch_size=None,
            sampler=sampler,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            generator=torch.Generator(),
        )

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield events, cast to float32, and targets of each batch."""
        for events, targets in self._loader:
            yield events.float(), targets


class _Batches(Dataset[LoadedBatch]):
    def __init__(
        self,
        samples: RequestedSamples,
        out_hw: tuple[int, int],
        interpolation: Interpolation,
        max_boxes: int,
    ) -> None:
        self._samples, self._out_hw, self._interpolation = samples, out_hw, interpolation
        self._max_boxes = max_boxes

    def __getitem__(self, requests: Sequence[SampleRequest]) -> LoadedBatch:
        batch = collate([self._samples[request] for request in requests])
        return LoadedBatch(
            place_batch(batch, self._out_hw, self._interpolation),
            prepare_targets(batch, self._out_hw, max_boxes=self._max_boxes),
        )


def place_batch(
    batch: DetectionBatch, out_hw: tuple[int, int], interpolation: Interpolation = "linear"
) -> Tensor:
    """Resize the frames of a batch one after the other: ``[B, Tl, Tm, C, h, w]`` float64."""
    frames = batch.events.numpy().astype(np.float64)
    placed = [
        place_frame(frame, placement, out_hw, interpolation)
        for frame, placement in zip(frames, batch.placements, strict=True)
    ]
    return torch.from_numpy(np.stack(placed))


def place_frame(
    frame: Images,
    placement: Placement,
    out_hw: tuple[int, int],
    interpolation: Interpolation = "linear",
) -> Images:
    """Resize a frame ``[..., H, W]`` and paste it into an empty one, ``[..., h, w]``."""
    height, width = frame.shape[-2:]
    images = frame.reshape(-1, height, width)
    out = np.zeros((len(images), *out_hw))
    # The part of the resized image that is inside of the output
    top, left = max(0, placement.top_px), max(0, placement.left_px)
    bottom = min(out_hw[0], placement.top_px + placement.height_px)
    right = min(out_hw[1], placement.left_px + placement.width_px)
    rows = slice(top - placement.top_px, bottom - placement.top_px)
    columns = slice(left - placement.left_px, right - placement.left_px)
    for target, image in zip(out, images, strict=True):
        resized = cv2.resize(
            image,
            (placement.width_px, placement.height_px),
            interpolation=CV2_INTERPOLATION[interpolation],
        )
        if placement.flip:
            resized = resized[:, ::-1]
        target[top:bottom, left:right] = resized[rows, columns]
    return out.reshape(*frame.shape[:-2], *out_hw)
