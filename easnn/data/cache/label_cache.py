"""Cache of the labels of a dataset: one file, read at the next start."""

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
from easnn.utils.files import atomic_write, file_stamp, make_directory, remove_unfinished

MIN_RECORDINGS = 200
"""The labels of fewer recordings are not cached: reading their box files takes little time."""
MAX_FILES = 32
"""Label files that are kept; if there are more, the oldest are removed."""

BoxReader = Callable[[RecordingFiles], np.ndarray]


@dataclass(frozen=True)
class StampedLabels:
    """Labels, and the state of the box files that they were read from.

    Attributes:
        labels: labels of all recordings.
        paths: box file of each recording.
        stamps: ``[recordings, 2]`` int64, size and time of change of each file before it was read.
    """

    labels: LabelIndex
    paths: list[str]
    stamps: np.ndarray


class LabelFile:
    """The file in the folder of caches that holds the labels of a dataset.

    Args:
        cache_dir: the folder of caches.
        fingerprint: everything that the labels depend on besides the box files.
    """

    def __init__(self, cache_dir: Path, fingerprint: str) -> None:
        digest = hashlib.blake2b(fingerprint.encode(), digest_size=16).hexdigest()
        self.path = cache_dir / "labels" / f"{digest}.npz"

    def read(self) -> StampedLabels | None:
        """Return what :meth:`write` wrote, None if the file is missing or damaged."""
        try:
            with np.load(self.path, allow_pickle=False) as stored:
                labels = LabelIndex(
                    recordings=stored["recordings"],
                    times_us=stored["times_us"],
                    offsets=stored["offsets"],
                    boxes=stored["boxes"],
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
        """Write the labels.

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
        remove_unfinished(self.path.parent, "*.npz")
        files = sorted(
            self.path.parent.glob("*.npz"), key=lambda path: file_stamp(path)[1], reverse=True
        )
        for path in files[MAX_FILES:]:
            path.unlink(missing_ok=True)


def read_labels(
    recordings: Sequence[RecordingFiles], boxes_of: BoxReader, file: LabelFile | None
) -> LabelIndex:
    """Return the labels of some recordings; box files that have not changed are not read again.

    Args:
        recordings: the recordings.
        boxes_of: reads the boxes of a recording, sorted by time.
        file: the label file; None to read all box files.

    Raises:
        DataError: if boxes cannot be read.
    """
    if file is None or len(recordings) < MIN_RECORDINGS:
        return index_labels(boxes_of(files) for files in recordings)
    paths = [str(files.boxes_path.absolute()) for files in recordings]
    stamps = np.array([file_stamp(files.boxes_path) for files in recordings], np.int64)
    cached = file.read()
    if cached is not None and cached.paths == paths and np.array_equal(cached.stamps, stamps):
        return cached.labels
    labels = _read_changed(recordings, paths, stamps, boxes_of, cached)
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
    cached: StampedLabels | None,
) -> LabelIndex:
    """Return the labels of all recordings; only box files that have changed or are new are read."""
    numbers = {} if cached is None else {path: number for number, path in enumerate(cached.paths)}
    parts = []
    for files, path, stamp in zip(recordings, paths, stamps, strict=True):
        number = numbers.get(path)
        if (
            cached is not None
            and number is not None
            and np.array_equal(cached.stamps[number], stamp)
        ):
            parts.append(cached.labels.of_recording(number))
        else:
            parts.append(labels_of_recording(boxes_of(files)))
    return join_labels(parts)
