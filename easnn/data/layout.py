"""The raw layout on disk: a folder for each split, and in it pairs of events and boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from easnn.utils.errors import DataError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)

EVENTS_SUFFIX = "_td.dat"
BOXES_SUFFIX = "_bbox.npy"

ANY_EVENTS_SUFFIX = (
    EVENTS_SUFFIX,
    *(f"_td.{ending}" for ending in ("raw", "dat.h5", "h5", "hdf5", "aedat4", "npz")),
)
"""Of events in any format, for tools that convert them."""


@dataclass(frozen=True)
class LabelledRecording:
    """The two files of a recording; ``name`` is what their names share."""

    name: str
    events_path: Path
    boxes_path: Path


def find_recordings(
    root: Path, splits: Sequence[str], *, ignored: Collection[str] = (), any_format: bool = False
) -> list[LabelledRecording]:
    """List the recordings of some splits, in the order of the splits and then of the names.

    Args:
        root: folder of the dataset.
        splits: names of folders in it.
        ignored: names of recordings to skip.
        any_format: whether the events may be in another format than DAT.

    Raises:
        DataError: if a folder is missing or empty, a file has no partner, or two splits share a recording.
    """
    suffixes = ANY_EVENTS_SUFFIX if any_format else (EVENTS_SUFFIX,)
    recordings = [
        recording for split in splits for recording in _recordings_of_split(root, split, ignored, suffixes)
    ]
    reject_shared(root, splits, recordings)
    return recordings


def reject_shared(root: Path, splits: Sequence[str], recordings: Sequence[LabelledRecording]) -> None:
    """Check that each recording belongs to one split.

    Args:
        root: folder of the dataset.
        splits: names of the splits.
        recordings: those of all these splits.

    Raises:
        DataError: naming some recordings that do not.
    """
    uses = Counter(recording.name for recording in recordings)
    reject_recordings(
        root,
        [name for name, count in uses.items() if count > 1],
        f"in more than one of {', '.join(splits)}",
        "Each recording belongs to one split; remove it from the others.",
    )


def reject_recordings(folder: Path, names: Sequence[str], fault: str, advice: str) -> None:
    """Check that a folder has no recording with some fault.

    Args:
        folder: the folder, for the message.
        names: the recordings with the fault.
        fault: what is wrong with them.
        advice: what to do, a sentence.

    Raises:
        DataError: if there are any, naming the first few.
    """
    if names:
        shown = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        plural = "s" if len(names) > 1 else ""
        raise DataError(f"{folder} has {len(names)} recording{plural} {fault}: {shown}. {advice}")


def _recordings_of_split(
    root: Path, split: str, ignored: Collection[str], events_suffixes: tuple[str, ...]
) -> list[LabelledRecording]:
    folder = root / split
    missing = next((path for path in (root, folder) if not path.is_dir()), None)
    if missing is not None:
        raise DataError(f"{missing} is not a folder. {_expected_layout(root)}")
    files = [path.name for path in folder.iterdir()]
    events = [
        (name.removesuffix(suffix), name)
        for suffix in events_suffixes
        for name in files
        if name.endswith(suffix)
    ]
    reject_recordings(
        folder,
        sorted(name for name, uses in Counter(name for name, _ in events).items() if uses > 1),
        "with more than one file of events",
        f"Keep one beside its NAME{BOXES_SUFFIX}.",
    )
    with_events = {name: file for name, file in events if name not in ignored}
    with_boxes = {name.removesuffix(BOXES_SUFFIX) for name in files if name.endswith(BOXES_SUFFIX)}
    with_boxes -= set(ignored)
    if not with_events and not with_boxes:
        raise DataError(f"{folder} holds no recording. {_expected_layout(root)}")
    reject_recordings(
        folder,
        sorted(with_events.keys() - with_boxes),
        "without boxes",
        f"Put NAME{BOXES_SUFFIX} beside each NAME{EVENTS_SUFFIX} (with no rows if nothing was labelled).",
    )
    reject_recordings(
        folder,
        sorted(with_boxes - with_events.keys()),
        "with boxes, but no events",
        f"Put NAME{EVENTS_SUFFIX} beside each NAME{BOXES_SUFFIX}, or remove the boxes.",
    )
    return [
        LabelledRecording(name, folder / with_events[name], folder / f"{name}{BOXES_SUFFIX}")
        for name in sorted(with_events)
    ]


def _expected_layout(root: Path) -> str:
    return (
        f"Expected are the recordings of each split in {root}/{{train,val,test}}/: their events, "
        f"NAME{EVENTS_SUFFIX}, with their boxes, NAME{BOXES_SUFFIX}, beside them. `python "
        "tools/make_synthetic.py DIR` makes a small synthetic dataset."
    )
