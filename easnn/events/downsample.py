"""Recordings and boxes at a lower resolution."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from easnn.events.types import Recording


class DownsampledRecording:
    """A recording seen by a coarser sensor, each pixel of which takes the events of ``factor`` × ``factor``.

    See :class:`easnn.events.Recording`.

    Args:
        recording: the recording.
        factor: how many pixels of it a pixel takes along each axis; those left over make a last one.
    """

    def __init__(self, recording: Recording, factor: int) -> None:
        self._recording = recording
        self._factor = factor

    @property
    def path(self) -> Path:
        """The file."""
        return self._recording.path

    @property
    def sensor_hw(self) -> tuple[int, int] | None:
        """Height and width of the coarser sensor in pixels, None if that of the recording is not known."""
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
        """Return the events with ``start_us <= t_us < end_us``: a fresh array of EVENT_DTYPE, sorted by time.

        Raises:
            DataError: if an event lies outside the sensor.
        """
        return self._coarse(self._recording.window(start_us, end_us))

    def events(self) -> np.ndarray:
        """Return all events: a fresh array of EVENT_DTYPE, sorted by time.

        Raises:
            DataError: if an event lies outside the sensor.
        """
        return self._coarse(self._recording.events())

    def _coarse(self, events: np.ndarray) -> np.ndarray:
        for name in "xy":
            events[name] //= self._factor
        return events


def downsample_recording(recording: Recording, factor: int) -> Recording:
    """Return a recording at a resolution ``factor`` times as coarse; itself if that is 1."""
    return recording if factor == 1 else DownsampledRecording(recording, factor)


def downsampled_hw(sensor_hw: tuple[int, int], factor: int) -> tuple[int, int]:
    """Return height and width of a sensor after downsampling, in pixels."""
    height, width = sensor_hw
    return -(-height // factor), -(-width // factor)


def downsample_boxes(boxes: np.ndarray, factor: int) -> np.ndarray:
    """Return boxes (BOX_DTYPE) in the pixels of a sensor that is ``factor`` times as coarse."""
    coarse = boxes.copy()
    for name in "xywh":
        coarse[name] /= factor
    return coarse
