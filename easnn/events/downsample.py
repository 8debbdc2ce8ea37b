"""Recordings and boxes at a lower resolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from easnn.events.recording import Recording


class DownsampledRecording:
    """A :class:`~easnn.events.Recording` at a lower resolution.

    Each pixel gets the events of ``factor`` × ``factor`` pixels of the original sensor.

    Args:
        recording: the original recording.
        factor: reduction along each axis; pixels left over at the edge form one more pixel.
    """

    def __init__(self, recording: Recording, factor: int) -> None:
        self._recording = recording
        self._factor = factor

    @property
    def path(self) -> Path:
        """Path of the file."""
        return self._recording.path

    @property
    def sensor_hw(self) -> tuple[int, int] | None:
        """Reduced height and width in pixels; None if those of the original are unknown."""
        hw = self._recording.sensor_hw
        return None if hw is None else downsampled_hw(hw, self._factor)

    @property
    def first_us(self) -> int:
        """Time of the first event."""
        return self._recording.first_us

    @property
    def last_us(self) -> int:
        """Time of the last event."""
        return self._recording.last_us

    def __len__(self) -> int:
        return len(self._recording)

    def window(self, start_us: int, end_us: int) -> np.ndarray:
        """See :meth:`easnn.events.Recording.window`."""
        return self._downsampled(self._recording.window(start_us, end_us))

    def events(self) -> np.ndarray:
        """See :meth:`easnn.events.Recording.events`."""
        return self._downsampled(self._recording.events())

    def _downsampled(self, events: np.ndarray) -> np.ndarray:
        for name in "xy":
            events[name] //= self._factor
        return events


def downsample_recording(recording: Recording, factor: int) -> Recording:
    """Return the recording at 1/``factor`` of its resolution; unchanged if the factor is 1."""
    return recording if factor == 1 else DownsampledRecording(recording, factor)


def downsampled_hw(sensor_hw: tuple[int, int], factor: int) -> tuple[int, int]:
    """Return height and width of a sensor after downsampling, in pixels."""
    height, width = sensor_hw
    return -(-height // factor), -(-width // factor)


def downsample_boxes(boxes: np.ndarray, factor: int) -> np.ndarray:
    """Return boxes (BOX_DTYPE or MOTION_BOX_DTYPE) scaled to 1/``factor`` of the resolution."""
    scaled = boxes.copy()
    for name in ("x", "y", "w", "h", "speed"):
        if name in (scaled.dtype.names or ()):
            scaled[name] /= factor
    return scaled
