"""The interface of every dataset: labelled frames by index."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np
from torch import Tensor

from easnn.data.timeline import Timeline, single_windows
from easnn.utils.errors import ConfigError


class Label(NamedTuple):
    """A frame without its events; the attributes are those of :class:`Frame`."""

    boxes: Tensor
    time_us: int
    sequence: str


class Frame(NamedTuple):
    """The events before a label and its boxes, both in sensor pixels.

    Attributes:
        events: ``[Tl,Tm,C,H,W]``, oldest slice first: counts in the smallest integer type that
            holds them, or other values in float16 (float32 beyond its range).
        boxes: ``[N,5]`` float32, rows (class, x, y, w, h): top-left corner and size; they may reach
            beyond the frame.
        time_us: time of the label.
        sequence: name of the recording.
    """

    events: Tensor
    boxes: Tensor
    time_us: int
    sequence: str


class DetectionDataset(ABC):
    """Labelled frames of some splits; frame i is the same in every process and every epoch.

    A subclass sets the attributes and implements ``__len__`` and :meth:`load`. To have its frames
    cached, it also implements :meth:`fingerprint` and :meth:`frame_fingerprint`.

    The loader's workers share its memory, so labels should be kept in arrays: reading a Python list
    changes reference counts, which gradually copies the list into every worker. Recordings should
    be opened when they are needed.

    Attributes:
        name: name of the dataset, as in the key ``data_name``.
        split: names of the splits, joined by ``+``.
        sensor_hw: height and width of every frame in pixels.
        class_names: name of each class id, in order.
    """

    name: str
    split: str
    sensor_hw: tuple[int, int]
    class_names: tuple[str, ...]

    @property
    def measures_silence(self) -> bool:
        """Whether ``still_s`` of :meth:`motion` is measured from events, for want of labels."""
        return False

    @abstractmethod
    def __len__(self) -> int:
        """Return the number of labelled frames."""

    @abstractmethod
    def load(self, index: int) -> Frame:
        """Read frame ``index``.

        Raises:
            DataError: if its recording cannot be read.
        """

    def load_at_speed(self, index: int, speed: float) -> Frame:
        """Read frame ``index`` with its recording played at another speed.

        At a speed of 2 everything happens in half the time (``speed_aug``). At a negative speed
        everything happens backwards, and polarities are swapped (``time_flip``). The label's time,
        its boxes, and the end of the window do not change. So at a negative speed the window shows
        what follows the label in the recording. Only datasets that compute their frames from events
        can do this; they override this method.

        Raises:
            ConfigError: if this dataset cannot.
            DataError: if the recording cannot be read.
        """
        if speed < 0:
            raise ConfigError(
                f"`time_flip` must be 0 for `data_name` {self.name}, whose frames are not made "
                "from events here, but is more."
            )
        raise ConfigError(
            f"`speed_aug` must be False for `data_name` {self.name}, whose frames are not made "
            "from events here, but is True."
        )

    def label(self, index: int) -> Label:
        """Return frame ``index`` without its events.

        A subclass whose frames are cached overrides it, so that a cached frame needs no recording.

        Raises:
            DataError: if its recording cannot be read.
        """
        frame = self.load(index)
        return Label(frame.boxes, frame.time_us, frame.sequence)

    def timeline(self) -> Timeline:
        """Return the windows of each recording in playing order, labelled or not.

        By default each frame is a recording of its own. A dataset that knows what is between its
        frames overrides this method, and :meth:`load_between`.

        Raises:
            DataError: if a recording cannot be read.
        """
        return single_windows(len(self))

    def load_between(self, recording: int, end: int) -> Frame:
        """Read a window that has no label; it has no boxes.

        Args:
            recording: position of its recording, as in the time line.
            end: where the window ends, as in the time line.

        Raises:
            DataError: if the recording cannot be read.
        """
        raise NotImplementedError(f"{type(self).__name__} has no windows between its frames.")

    def motion(self, index: int) -> np.ndarray | None:
        """Return how the objects of frame ``index`` move, [N,3]: the fields of ``MOTION_DTYPE``.

        There is one row for each of its boxes, NaN where something is not known. None if the
        dataset does not know anything. This is the default.

        Raises:
            DataError: if its boxes cannot be read.
        """
        return None

    def fingerprint(self) -> str | None:
        """Return what all frames depend on besides recording and time: code, folder, settings.

        None if that is not known; the frames are then not cached. This is the default.
        """
        return None

    def frame_fingerprint(self, index: int) -> str | None:
        """Return which recording frame ``index`` shows, and at which time.

        It identifies the file by its path, its size and the time of its last change when this
        process first asked. None if the file has changed since then, because it is not known which
        version is being read; the frame is then not cached.
        """
        return None
