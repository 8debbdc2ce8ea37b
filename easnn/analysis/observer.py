"""A detector together with all that lies between frames and boxes in sensor pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from easnn.analysis.sampler_view import SamplerView
from easnn.analysis.view import SampleView
from easnn.models import EventDetector
from easnn.ops import (
    Placement,
    letterbox_placement,
    place_frames,
    select_detections,
    unplace_detections,
)
from easnn.ops.resample import Interpolation
from easnn.representations import Measure

MAX_DETECTIONS = 100
"""More in one picture hide what they surround."""


class Observer:
    """Looks at single frames through a detector.

    Args:
        model: the detector, on its device; it is put into evaluation mode.
        input_hw: height and width of the network's input in pixels.
        confidence: least score of a detection.
        nms_iou: greatest IoU of two detections of a class.
        interpolation: how frames are resized to the input.
        aggregation: name of the representation that frames are in.
        measure: what an event adds to its pixel there.
    """

    def __init__(
        self,
        model: EventDetector,
        *,
        input_hw: tuple[int, int],
        confidence: float,
        nms_iou: float,
        interpolation: Interpolation = "linear",
        aggregation: str = "micro_sum",
        measure: Measure = "count",
    ) -> None:
        self._model = model.eval()
        self._device = next(model.parameters()).device
        self._input_hw = input_hw
        self._confidence = confidence
        self._nms_iou = nms_iou
        self._interpolation = interpolation
        self._aggregation = aggregation
        self._measure: Measure = measure

    @torch.inference_mode()
    def observe(
        self, counts: Tensor, sequence: str, time_us: int, ground_truth: npt.NDArray[Any] | None
    ) -> SampleView:
        """Run the detector on one frame.

        Args:
            counts: the frame [Tl,Tm,C,H,W] at sensor resolution, oldest slice first.
            sequence: name of the recording.
            time_us: time at which the events end.
            ground_truth: labelled boxes [N,5] (class, x, y, w, h) in sensor pixels, or None.
        """
        height, width = counts.shape[-2:]
        events, placement = self._place(counts)
        written = self._model.embedding(events).flatten(0, -4)
        outputs = self._model(events)
        [found] = select_detections(outputs, self._confidence, self._nms_iou, max_detections=MAX_DETECTIONS)
        return SampleView(
            sequence=sequence,
            time_us=time_us,
            counts=counts.numpy(),
            written=_as_array(written[..., : placement.height_px, : placement.width_px]),
            ground_truth=ground_truth,
            detections=_as_array(unplace_detections(found, placement, (height, width))),
            aggregation=self._aggregation,
            measure=self._measure,
        )

    @torch.inference_mode()
    def observe_sampler(
        self,
        counts: Tensor,
        sequence: str,
        time_us: int,
        slice_bounds_us: npt.NDArray[np.int64] | None = None,
    ) -> SamplerView | None:
        """Look at what the sampler does with one frame.

        Args:
            counts: the frame [Tl,Tm,C,H,W] at sensor resolution, oldest slice first.
            sequence: name of the recording.
            time_us: time at which the events end.
            slice_bounds_us: times between which the slices lie [Tl·Tm+1], oldest first, if they are known.

        Returns:
            The view, or None if the embedding has no membrane (``count``).
        """
        events, placement = self._place(counts)

        def cut(values: Tensor) -> Tensor:
            return values[..., : placement.height_px, : placement.width_px].cpu()

        trace = self._model.embedding.trace(events)
        if trace is None:
            return None
        return SamplerView(
            sequence=sequence,
            time_us=time_us,
            counts=counts.numpy(),
            active=cut(events.flatten(0, 3).ne(0).any(0)).numpy(),
            trace=trace.apply(lambda values: cut(values[..., 0, :, :, :])),
            output=_as_array(cut(self._model.embedding(events).flatten(0, -4))),
            slice_bounds_us=slice_bounds_us,
            aggregation=self._aggregation,
        )

    def _place(self, counts: Tensor) -> tuple[Tensor, Placement]:
        """Return the network's input [1,Tl,Tm,C,h,w] for one frame, and where the sensor's image is in it."""
        placement = letterbox_placement((counts.shape[-2], counts.shape[-1]), self._input_hw)
        frames = counts[None].to(self._device)
        return place_frames(frames, [placement], self._input_hw, self._interpolation), placement


def _as_array(tensor: Tensor) -> npt.NDArray[np.float32]:
    return tensor.float().cpu().numpy()
