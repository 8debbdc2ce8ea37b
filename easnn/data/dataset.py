"""What every dataset gives: labelled frames by number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

from torch import Tensor

from easnn.utils.errors import ConfigError


class Label(NamedTuple):
    """What is known about a frame without its events; see :class:`Frame`."""

    boxes: Tensor
    time_us: int
    sequence: str


class Frame(NamedTuple):
    """The events before a label and its boxes, both in sensor pixels.

    Attributes:
        events: ``[Tl,Tm,C,H,W]``, oldest slice first: counts in the smallest integer type that holds them, or
            other values in float16 (float32 beyond its range).
        boxes: ``[N,5]`` float32, rows (class, x, y, w, h): top-left corner and size; may leave the frame.
        time_us: time of the label.
        sequence: name of the recording.
    """

    events: Tensor
    boxes: Tensor
    time_us: int
    sequence: str


class DetectionDataset(ABC):
    """Labelled frames of one or several splits; frame i is the same in every process and every epoch.

    A subclass sets the attributes and gives ``__len__`` and :meth:`load`. The loader's workers share its
    memory, so it keeps labels in arrays: reading a Python list writes reference counts, which copies the
    list bit by bit into every worker. Recordings are opened when they are asked for.

    Attributes:
        name: value of the key ``data_name``.
        split: names of the splits, joined by ``+``.
        sensor_hw: height and width of every frame in pixels.
        class_names: name of each class id, in order.
    """

    name: str
    split: str
    sensor_hw: tuple[int, int]
    class_names: tuple[str, ...]

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
        """Read frame ``index`` with its recording played ``speed`` times as fast, for ``speed_aug``.

        The label's time, its boxes, and the end of the window stay as they are. Only datasets that make their
        frames from events can do it; they override this.

        Raises:
            ConfigError: if this dataset cannot.
            DataError: if the recording cannot be read.
        """
        raise ConfigError(
            f"`speed_aug` must be False for `data_name` {self.name}, whose frames are not made from events "
            "here, but is True."
        )


class CacheableDataset(DetectionDataset):
    """A dataset that can tell what its frames follow from, so that they can be kept and found again."""

    @abstractmethod
    def label(self, index: int) -> Label:
        """Return frame ``index`` without its events."""

    @abstractmethod
    def settings(self) -> str | None:
        """Return what all frames follow from beside their recordings and times: code, folder, options.

        None if that cannot be told; then frames are not to be kept.
        """

    @abstractmethod
    def moment(self, index: int) -> str | None:
        """Return which recording and which time in it frame ``index`` shows.

        The recording is told by its path, its size and the time of its last change, as they were when this
        process first asked. If they are others by now, this is None, for nobody can tell which of the two is
        read: then the frame is not to be kept.
        """
