"""Detections at one time of a recording."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
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


def class_label(class_id: int, class_names: Sequence[str]) -> str:
    """Return the name of a class, or its number if it has no name."""
    return class_names[class_id] if 0 <= class_id < len(class_names) else f"class {class_id}"
