"""What every dataset is told by the experiment."""

from __future__ import annotations

from pathlib import Path
from typing import NotRequired, TypedDict

from easnn.representations import Measure, Slicing


class DatasetOptions(TypedDict):
    """What an experiment says about its frames.

    Attributes:
        window_ms: where the window of events begins, in ms from the label: negative, or 0 for the whole
            recording.
        Tl: macro slices of a frame.
        Tm: micro slices of a window.
        aggregation: name of the representation.
        slicing: how the micro slices are cut; ``extent`` unless said otherwise.
        measure: what an event adds to its pixel; ``count`` unless said otherwise.
        tau_us: time in which an event fades to 1/e, where the representation has it fade; 50 ms unless said
            otherwise.
        num_classes: number of classes that the detector is built for.
        downsample: by how much the resolution of events and boxes is reduced; 1 unless said otherwise.
        cache_dir: folder of caches, where labels are kept for the next start; nowhere unless said otherwise.
    """

    window_ms: int
    Tl: int
    Tm: int
    aggregation: str
    slicing: NotRequired[Slicing]
    measure: NotRequired[Measure]
    tau_us: NotRequired[int]
    num_classes: int
    downsample: NotRequired[int]
    cache_dir: NotRequired[Path | None]
