"""The time line of a dataset: the windows of each recording in playing order.

A memory goes through a recording window by window. The windows that a dataset has labels for are
some of them; the others fill the gaps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

UNLABELLED = -1
"""What stands for the frame of a window without a label."""


@dataclass(frozen=True)
class Timeline:
    """The windows of all recordings, in the order of the recordings and of time.

    Attributes:
        recordings: ``[W]`` int32, position of each window's recording in the dataset.
        ends: ``[W]`` int64, where each window ends: its time in µs or, for histograms, the number
            of its last one.
        frames: ``[W]`` int64, the labelled frame that each window is, or :data:`UNLABELLED`. All
            frames of the dataset occur, in their order.
        begins: ``[W]`` bool, the first windows of recordings.
    """

    recordings: np.ndarray
    ends: np.ndarray
    frames: np.ndarray
    begins: np.ndarray

    def __len__(self) -> int:
        return len(self.ends)

    @property
    def starts(self) -> np.ndarray:
        """The positions of the first windows of recordings, [recordings with windows] int64."""
        return np.flatnonzero(self.begins)

    def frame_from(self, window: int) -> int:
        """Return the first labelled frame at or after a window: that is in the same recording."""
        return int(self.frames[window + int((self.frames[window:] != UNLABELLED).argmax())])


def single_windows(frames: int) -> Timeline:
    """Return the time line of frames each of which is a recording of its own."""
    order = np.arange(frames)
    return Timeline(order.astype(np.int32), order, order, np.ones(frames, bool))


def join_recordings(
    ends_of_frames: Sequence[np.ndarray], starts: Sequence[int], step: int, *, slack: int = 0
) -> Timeline:
    """Return the time line of recordings; see :func:`windows_before`.

    Args:
        ends_of_frames: for each recording the ends of its labelled frames, rising.
        starts: for each recording where its first window starts.
        step: length of a window.
        slack: how much may be left out between two windows.
    """
    ends, frames, recordings, begins = [], [], [], []
    first_frame = 0
    for number, (labelled, start) in enumerate(zip(ends_of_frames, starts, strict=True)):
        windows, places = windows_before(labelled, start, step, slack=slack)
        of_frame = np.full(len(windows), UNLABELLED)
        of_frame[places] = first_frame + np.arange(len(labelled))
        first_frame += len(labelled)
        ends.append(windows)
        frames.append(of_frame)
        recordings.append(np.full(len(windows), number, np.int32))
        begins.append(np.arange(len(windows)) == 0)
    return Timeline(*map(np.concatenate, (recordings, ends, frames, begins)))


def windows_before(
    labelled: np.ndarray, start: int, step: int, *, slack: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of the windows of a recording, up to its last label.

    Each label is the end of a window. Before it, windows end every ``step``, back to the label
    before, or to the start of the recording. The first of them overlaps what is before it, unless
    the gap is a multiple of ``step``; if labels are closer than a step, all windows overlap. What
    is left of a gap gets no window if it is at most ``slack``.

    Args:
        labelled: where the labels are, rising ``[frames]``.
        start: where the recording begins.
        step: length of a window.
        slack: how much may be left out.

    Returns:
        The ends of the windows, rising, and the positions of the labelled ones among them.
    """
    gaps = np.diff(labelled, prepend=start)
    counts = np.maximum(1, -(-(gaps - slack) // step))  # rounded up
    places = np.cumsum(counts) - 1
    back = np.repeat(places, counts) - np.arange(counts.sum())  # windows until the next label
    return np.repeat(labelled, counts) - back * step, places
