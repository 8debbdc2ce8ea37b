"""Detections of a frame, alone and with the frame and the output of the embedding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from easnn.models import SamplerTrace
from easnn.ops import Placement

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Detections:
    """The detections of one frame, best score first.

    Attributes:
        time_us: end of the window of events that the network received.
        rows: ``[M, 6]``: class id, score, left, top, width, height in sensor pixels.
        class_names: class names in the order of their ids; empty if unknown.
    """

    time_us: int
    rows: Floats
    class_names: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Yield each detection as a dict: ``class``, ``class_id``, ``score``, ``x``, ``y``, …."""
        for class_id, score, *box in self.rows.tolist():
            yield {
                "class": class_label(int(class_id), self.class_names),
                "class_id": int(class_id),
                "score": round(score, 4),
                **{name: round(value, 2) for name, value in zip("xywh", box, strict=True)},
            }

    @property
    def class_ids(self) -> npt.NDArray[np.int64]:
        """Class of each detection ``[M]``."""
        return self.rows[:, 0].astype(np.int64)

    @property
    def names(self) -> list[str]:
        """Class name of each detection."""
        return [class_label(int(class_id), self.class_names) for class_id in self.class_ids]

    @property
    def scores(self) -> Floats:
        """Score of each detection ``[M]``, 0 to 1."""
        return self.rows[:, 1]

    @property
    def boxes_xywh(self) -> Floats:
        """Boxes ``[M, 4]``: left, top, width, height in sensor pixels; they are not clipped."""
        return self.rows[:, 2:]


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """The labels and metadata of a frame; see :class:`~easnn.data.DetectionBatch`.

    A window between labels has the index :data:`~easnn.data.UNLABELLED`.
    """

    index: int
    time_us: int
    sequence: str
    ground_truth: np.ndarray
    placement: Placement
    sensor_hw: tuple[int, int]
    begins: bool = True


@dataclass(frozen=True, eq=False)
class Observation:
    """A frame, the output of the embedding, and the detections.

    Attributes:
        frame: events ``[Tl,Tm,C,H,W]`` at sensor resolution, oldest slice first.
        active: bool ``[h,w]``: pixels of the network's input with an event, cropped to the sensor
            image.
        written: output of the embedding ``[Ts,C,h,w]``, cropped likewise.
        trace: internal states of the sampler ``[…,C,h,w]``, if requested and the embedding has a
            membrane.
        detections: ``[M, 6]``: class, score, left, top, width, height in pixels of the frame, best
            score first.
    """

    frame: Tensor
    active: Tensor
    written: Tensor
    trace: SamplerTrace | None
    detections: Tensor


def class_label(class_id: int, class_names: Sequence[str]) -> str:
    """Return the name of a class, or its number if it has no name."""
    return class_names[class_id] if 0 <= class_id < len(class_names) else f"class {class_id}"
