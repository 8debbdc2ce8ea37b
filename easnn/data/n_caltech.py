"""N-Caltech101: images of Caltech101 shown to a moving camera, with one box each."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from loguru import logger

from easnn.data.label_source import SPLITS, RecordingFiles, reject_recordings, reject_shared
from easnn.data.recording_dataset import RecordingSource
from easnn.events import BOX_DTYPE, LoadedRecording, open_n_mnist, read_contours
from easnn.utils.distributed import is_main
from easnn.utils.errors import DataError
from easnn.utils.files import is_apple_double, is_file, refuse_special, special_kind
from easnn.utils.seeding import generator

N_CALTECH_CLASSES: tuple[str, ...] = tuple(
    json.loads(Path(__file__).with_name("n_caltech_classes.json").read_text("utf-8"))
)
"""In the order of the published checkpoints, which is not alphabetical."""
N_CALTECH_SENSOR_HW = (180, 240)

EVENTS_FOLDER = "Caltech101"
BOXES_FOLDER = "Caltech101_annotations"
IGNORED_CLASSES = frozenset({"BACKGROUND_Google"})
"""Images without a labelled object."""

VAL_DIVISOR = 5
"""Without lists, n // VAL_DIVISOR of a class's n recordings are for validation."""
LIST_SEED = 0

_LINE = re.compile(
    rf"(?:.*[/\\])?{EVENTS_FOLDER}[/\\](?P<class_name>[^/\\]+)[/\\](?P<events>[^/\\]+\.bin)\s+"
    rf"(?:.*[/\\])?{BOXES_FOLDER}[/\\](?P=class_name)[/\\](?P<boxes>[^/\\]+\.bin)\s*"
)


class NCaltechSource(RecordingSource):
    """Recordings of N-Caltech101.

    Labels have no time: a frame holds all events of its recording. The box shows where the object
    is at the start; the image moves by up to 7 px.

    Args:
        root: folder with ``Caltech101/``, ``Caltech101_annotations/`` and the lists.
        splits: name of a split, or several; see :func:`find_listed`.

    Raises:
        DataError: if folders, lists or files are missing, two splits share a recording, or a class
            is unknown.
    """

    name = "n-caltech"
    class_names = N_CALTECH_CLASSES
    sensor_hw = N_CALTECH_SENSOR_HW
    clip_boxes = True
    timeless = True

    def __init__(self, root: Path | str, splits: str | Sequence[str]) -> None:
        super().__init__(root, splits)
        self.recordings = [
            files for split in self.splits for files in find_listed(self.root, split)
        ]
        reject_shared(self.root, self.splits, self.recordings)
        self._class_ids = {name: number for number, name in enumerate(N_CALTECH_CLASSES)}
        unknown = sorted({class_of(files) for files in self.recordings} - self._class_ids.keys())
        if unknown:
            raise DataError(
                f"The classes of {self.root} must be the {len(N_CALTECH_CLASSES)} of N-Caltech101, "
                f"but {unknown[0]} is none of them. Remove its folder and its lines in the lists."
            )

    def open(self, path: Path) -> LoadedRecording:
        """Open a recording."""
        return open_n_mnist(path, sensor_hw=self.sensor_hw, drop_invalid=self.drop_invalid)

    def boxes(self, files: RecordingFiles) -> np.ndarray:
        """Read the box of a recording, at time 0: the smallest that encloses its contour."""
        contour = read_contours(files.boxes_path).box.astype(np.float32)
        (left, top), (right, bottom) = contour.min(axis=0), contour.max(axis=0)
        height, width = self.sensor_hw
        if not (
            left < width
            and right > 0
            and left < right
            and top < height
            and bottom > 0
            and top < bottom
        ):
            raise DataError(
                f"The box of {files.boxes_path} must have a width and a height and lie in the "
                f"frame of {width}×{height} pixels, at least in part, but has x {left:g} to "
                f"{right:g} and y {top:g} to {bottom:g}."
            )
        boxes = np.zeros(1, BOX_DTYPE)
        boxes["x"], boxes["y"], boxes["w"], boxes["h"] = left, top, right - left, bottom - top
        boxes["class_id"], boxes["confidence"] = self._class_ids[class_of(files)], 1
        return boxes


def find_listed(root: Path, split: str) -> list[RecordingFiles]:
    """Return the recordings of a split, named ``CLASS/image_XXXX``, in the order of the list.

    ``<root>/SPLIT.txt`` has a line ``EVENTS ANNOTATION`` for each. What precedes ``Caltech101`` and
    ``Caltech101_annotations`` in the paths is ignored, so a list from another machine can be used.

    If there is no list at all, the recordings of each class, sorted by name, are shuffled with a
    fixed seed; a fifth of them is ``val``, the rest ``train``, each sorted by name. So the splits
    are the same for everybody who has the whole dataset.

    Raises:
        DataError: if the folders are missing, only this list is missing, or it names a missing
            file.
    """
    for folder in (root, root / EVENTS_FOLDER, root / BOXES_FOLDER):
        if not folder.is_dir():
            raise DataError(f"{folder} is not a folder. {_expected_layout(root)}")
    path = root / f"{split}.txt"
    if path.exists():
        return _read_list(root, path)
    others = [f"{name}.txt" for name in SPLITS if (root / f"{name}.txt").exists()]
    if others or split not in ("train", "val"):
        there = (
            f"there are only {', '.join(others)}"
            if others
            else "those made without lists are train, val"
        )
        raise DataError(f"{path} is missing: {there}. Add it, or choose another split.")
    recordings = _make_list(root, split)
    if is_main():
        logger.warning(
            "{} has no train.txt, val.txt and test.txt, so `{}` is {} of each class, chosen by a "
            "fixed seed: {} recordings.",
            root,
            split,
            "a fifth" if split == "val" else "four fifths",
            len(recordings),
        )
    return recordings


def _read_list(root: Path, path: Path) -> list[RecordingFiles]:
    refuse_special(path)
    try:
        # What precedes the folders is ignored, so it may be in another encoding.
        lines = path.read_text(encoding="utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    recordings: dict[str, RecordingFiles] = {}
    missing: list[tuple[int, Path]] = []  # number of the line and file
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise DataError(
                f"Line {number} of {path} must be {EVENTS_FOLDER}/CLASS/image_XXXX.bin "
                f"{BOXES_FOLDER}/CLASS/annotation_XXXX.bin, but is {line[:200]!r}."
            )
        if match["class_name"] in IGNORED_CLASSES or is_apple_double(match["events"]):
            continue
        files = _recording(root, match["class_name"], match["events"], match["boxes"])
        missing += [
            (number, file)
            for file in (files.events_path, files.boxes_path)
            if not (is_file(file) or special_kind(file))
        ][:1]
        if files.name in recordings:
            raise DataError(f"Line {number} of {path} names {files.name} again. Remove the line.")
        recordings[files.name] = files
    if missing:
        number, file = missing[0]
        others = f" {len(missing)} lines name such files." if len(missing) > 1 else ""
        raise DataError(
            f"Line {number} of {path} names {file}, which is not there. Copy it again, or remove "
            f"the line.{others}"
        )
    if not recordings:
        raise DataError(
            f"{path} names no recording. Remove all lists to have them made, or copy it again."
        )
    return list(recordings.values())


def _make_list(root: Path, split: str) -> list[RecordingFiles]:
    recordings: list[RecordingFiles] = []
    for folder in sorted((root / EVENTS_FOLDER).iterdir()):
        if not folder.is_dir() or folder.name in IGNORED_CLASSES:
            continue
        names = sorted(path.name for path in folder.glob("*.bin") if not is_apple_double(path.name))
        order = generator(LIST_SEED, "n-caltech lists", folder.name).permutation(len(names))
        validation = {names[position] for position in order[: len(names) // VAL_DIVISOR]}
        chosen = [name for name in names if (name in validation) == (split == "val")]
        recordings += [
            _recording(root, folder.name, name, name.replace("image", "annotation"))
            for name in chosen
        ]
    reject_recordings(
        root,
        [files.name for files in recordings if not is_file(files.boxes_path)],
        "without boxes",
        f"Put {BOXES_FOLDER}/CLASS/annotation_XXXX.bin beside each "
        f"{EVENTS_FOLDER}/CLASS/image_XXXX.bin.",
    )
    if not recordings:
        raise DataError(f"{root} has no recording for {split}. {_expected_layout(root)}")
    return recordings


def _recording(root: Path, class_name: str, events: str, boxes: str) -> RecordingFiles:
    return RecordingFiles(
        f"{class_name}/{events.removesuffix('.bin')}",
        root / EVENTS_FOLDER / class_name / events,
        root / BOXES_FOLDER / class_name / boxes,
    )


def class_of(recording: RecordingFiles) -> str:
    """Return the class name of a recording."""
    return recording.name.split("/")[0]


def _expected_layout(root: Path) -> str:
    return (
        f"Expected are {root}/{EVENTS_FOLDER}/CLASS/image_XXXX.bin and "
        f"{root}/{BOXES_FOLDER}/CLASS/annotation_XXXX.bin, and optionally the lists train.txt, "
        "val.txt and test.txt beside the two folders."
    )
