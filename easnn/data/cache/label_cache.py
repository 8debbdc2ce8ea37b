"""The labels of a dataset in one file, for the next start."""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from loguru import logger

from easnn.data.label_index import LabelIndex, index_labels, join_labels, labels_of_recording
from easnn.data.label_source import RecordingFiles
from easnn.utils.distributed import is_main
from easnn.utils.errors import OutputError
from easnn.utils.files import atomic_write, file_stamp, make_directory

LEAST_RECORDINGS = 200
"""With fewer, reading all box files takes no time that anybody notices."""
MOST_FILES = 32
"""Files that are kept; of more, those that were written first go."""

BoxReader = Callable[[RecordingFiles], np.ndarray]


@dataclass(frozen=True)
class StampedLabels:
    """Labels, and the box files that they were read from.

    Attributes:
        labels: of all recordings.
        paths: box file of each recording.
        stamps: ``[recordings, 2]`` int64, size and time of change of each file, as they were before it was read.
    """

    labels: LabelIndex
    paths: list[str]
    stamps: np.ndarray


class LabelFile:
    """The file in a folder of caches for the labels of certain settings.

    Args:
        cache_dir: the folder of caches.
        settings: everything that labels follow from beside the box files.
    """

    def __init__(self, cache_dir: Path, settings: str) -> None:
        digest = hashlib.blake2b(settings.encode(), digest_size=16).hexdigest()
        self.path = cache_dir / "labels" / f"{digest}.npz"

    def read(self) -> StampedLabels | None:
        """Return what :meth:`write` wrote, None if that is not there or damaged."""
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                labels = LabelIndex(
                    *(stored[name] for name in ("recordings", "times_us", "offsets", "boxes"))
                )
                paths = stored["paths"].tobytes().decode().split("\0")
                stamps = stored["stamps"]
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            logger.warning("{} is damaged ({}): all box files are read again.", self.path, error)
            return None
        return StampedLabels(labels, paths, stamps)

    def write(self, stamped: StampedLabels) -> None:
        """Keep labels.

        Raises:
            OutputError: if the file cannot be written.
        """
        make_directory(self.path.parent)
        labels = stamped.labels
        with atomic_write(self.path) as file:
            np.savez(
                file,
                recordings=labels.recordings,
                times_us=labels.times_us,
                offsets=labels.offsets,
                boxes=labels.boxes,
                paths=np.frombuffer("\0".join(stamped.paths).encode(), np.uint8),
                stamps=stamped.stamps,
            )
        self._remove_oldest()

    def _remove_oldest(self) -> None:
        files = sorted(self.path.parent.glob("*.npz"), key=lambda path: file_stamp(path)[1], reverse=True)
        for path in files[MOST_FILES:]:
            path.unlink(missing_ok=True)


def read_labels(
    recordings: Sequence[RecordingFiles], boxes_of: BoxReader, file: LabelFile | None
) -> LabelIndex:
    """Return the labels of some recordings; only box files that ``file`` does not know as they are are read.

    Args:
        recordings: the recordings.
        boxes_of: reads the boxes of one, sorted by time.
        file: where labels are kept, if they are.

    Raises:
        DataError: if boxes cannot be read.
    """
    if file is None or len(recordings) < LEAST_RECORDINGS:
        return index_labels(boxes_of(files) for files in recordings)
    paths = [str(files.boxes_path.absolute()) for files in recordings]
    stamps = np.array([file_stamp(files.boxes_path) for files in recordings], np.int64)
    known = file.read()
    if known is not None and known.paths == paths and np.array_equal(known.stamps, stamps):
        return known.labels
    labels = _read_changed(recordings, paths, stamps, boxes_of, known)
    try:
        if is_main():
            file.write(StampedLabels(labels, paths, stamps))
    except OutputError as error:
        logger.warning("Labels are not kept for the next start: {} (`cache_dir`)", error)
    return labels


def _read_changed(
    recordings: Sequence[RecordingFiles],
    paths: Sequence[str],
    stamps: np.ndarray,
    boxes_of: BoxReader,
    known: StampedLabels | None,
) -> LabelIndex:
    """Read the boxes of those recordings whose files are not known as they are now."""
    numbers = {} if known is None else {path: number for number, path in enumerate(known.paths)}
    parts = []
    for files, path, stamp in zip(recordings, paths, stamps, strict=True):
        number = numbers.get(path)
        if known is not None and number is not None and np.array_equal(known.stamps[number], stamp):
            parts.append(known.labels.of_recording(number))
        else:
            parts.append(labels_of_recording(boxes_of(files)))
    return join_labels(parts)
