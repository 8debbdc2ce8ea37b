"""Folders and files of a dataset preprocessed for RVT (Gehrig and Scaramuzza, CVPR 2023)."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from easnn.data.label_source import RecordingFiles, reject_recordings, reject_shared
from easnn.utils.errors import DataError
from easnn.utils.files import is_apple_double, special_kind
from easnn.utils.options import EVENTS_SUFFIX

REPRESENTATIONS = "event_representations_v2"
HISTOGRAMS = "stacked_histogram_dt=50_nbins=10"
LABELS = "labels_v2"

FULL_NAME = "event_representations.h5"
HALVED_NAME = "event_representations_ds2_nearest.h5"
END_TIMES_NAME = "timestamps_us.npy"

LABEL_KEYS = ("labels", "objframe_idx_2_label_idx")
"""The arrays in ``labels.npz``."""


@dataclass(frozen=True)
class SequenceFiles(RecordingFiles):
    """The five files of a sequence; ``events_path`` holds histograms.

    Attributes:
        end_times_path: the time at which each histogram ends.
        histogram_numbers_path: the number of the histogram that ends at each label.
        label_times_path: the distinct label times.
    """

    end_times_path: Path
    histogram_numbers_path: Path
    label_times_path: Path

    @property
    def halved(self) -> bool:
        """Whether the histograms have half the resolution of the boxes."""
        return self.events_path.name == HALVED_NAME

    def missing(self) -> list[Path]:
        """Return the files that do not exist."""
        paths = (
            self.events_path,
            self.end_times_path,
            self.histogram_numbers_path,
            self.boxes_path,
            self.label_times_path,
        )
        return [path for path in paths if not path.is_file() and special_kind(path) is None]


def sequence_files(folder: Path, *, halved: bool) -> SequenceFiles:
    """Return the files of the sequence in ``folder``; they need not exist."""
    histograms = folder / REPRESENTATIONS / HISTOGRAMS
    return SequenceFiles(
        name=folder.name,
        events_path=histograms / (HALVED_NAME if halved else FULL_NAME),
        boxes_path=folder / LABELS / "labels.npz",
        end_times_path=histograms / END_TIMES_NAME,
        histogram_numbers_path=histograms / "objframe_idx_2_repr_idx.npy",
        label_times_path=folder / LABELS / "timestamps_us.npy",
    )


def is_preprocessed(root: Path | str) -> bool:
    """Return whether a folder holds preprocessed sequences rather than raw recordings.

    Raises:
        DataError: if it holds both.
    """
    root = Path(root)
    splits = [path for path in root.iterdir() if path.is_dir()] if root.is_dir() else []
    sequence = next((path for split in splits for path in _sequence_folders(split)), None)
    if sequence is None:
        return False
    raw = next(
        (
            path
            for split in splits
            for path in split.glob(f"*{EVENTS_SUFFIX}")
            if not is_apple_double(path.name)
        ),
        None,
    )
    if raw is not None:
        raise DataError(
            f"{root} must hold either raw recordings or sequences that were preprocessed for RVT, "
            f"but holds both, such as {raw} and {sequence}. Put them into different folders."
        )
    return True


def find_sequences(
    root: Path, splits: Sequence[str], *, ignored: Collection[str] = ()
) -> list[SequenceFiles]:
    """List the sequences of some splits, in the order of the splits and then of the names.

    Folders without labels and representations are ignored.

    Args:
        root: folder of the dataset.
        splits: names of folders in it.
        ignored: names of sequences to skip.

    Raises:
        DataError: if a folder is missing or empty, a file of a sequence is missing, or two splits
            share a sequence.
    """
    sequences = [
        sequence for split in splits for sequence in _sequences_of_split(root, split, ignored)
    ]
    reject_shared(root, splits, sequences)
    return sequences


def _sequences_of_split(root: Path, split: str, ignored: Collection[str]) -> list[SequenceFiles]:
    folder = root / split
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. {_expected_layout(root)}")
    sequences = [
        sequence_files(path, halved=sequence_files(path, halved=True).events_path.exists())
        for path in _sequence_folders(folder)
        if path.name not in ignored
    ]
    if not sequences:
        raise DataError(f"{folder} holds no sequence. {_expected_layout(root)}")
    incomplete = {sequence.name: sequence.missing() for sequence in sequences if sequence.missing()}
    if incomplete:
        first = next(iter(incomplete.values()))[0]
        reject_recordings(
            folder,
            list(incomplete),
            "without all of their files",
            f"{first} is missing. {_expected_layout(root)}",
        )
    return sequences


def _sequence_folders(folder: Path) -> list[Path]:
    """Return the visible folders of a split that hold representations or labels, sorted."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:  # needs no system call per file to find the folders
        names = sorted(
            entry.name
            for entry in entries
            if not entry.name.startswith(".")
            and (
                entry.is_dir(follow_symlinks=False)
                # A loop of links is no folder; `entry.is_dir()` raises an OSError for it.
                or (entry.is_symlink() and (folder / entry.name).is_dir())
            )
        )
    return [
        folder / name
        for name in names
        if any((folder / name / p).is_dir() for p in (REPRESENTATIONS, LABELS))
    ]


def _expected_layout(root: Path) -> str:
    return (
        f"Expected are sequences {root}/{{train,val,test}}/NAME/ with "
        f"{REPRESENTATIONS}/{HISTOGRAMS}/{{{FULL_NAME} or {HALVED_NAME}, {END_TIMES_NAME}, "
        f"objframe_idx_2_repr_idx.npy}} and {LABELS}/{{labels.npz, timestamps_us.npy}}. `easnn "
        "preprocess` makes them from raw recordings."
    )
