"""One bad file is named, and the others of the dataset stay usable, whatever is wrong with it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from caltech_layout import line_of, open_caltech, write_image
from raw_layout import open_dataset, write_recording
from rvt_layout import open_rvt, write_sequence

from easnn.data import DATASETS
from easnn.data.survey import survey_recording
from easnn.utils.errors import DataError


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-3])


def _fill_with_zeros(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _write_text(path: Path) -> None:
    path.write_text("<html>404 Not Found</html>\n" * 40)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _replace_by_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _replace_by_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


DAMAGES = (_cut, _fill_with_zeros, _write_text, _empty, _replace_by_pipe, _replace_by_folder)
Damage = Callable[[Path], None]


@pytest.mark.parametrize("damage", DAMAGES)
def test_events_of_one_recording(tmp_path, damage):
    for name in "abc":
        write_recording(tmp_path / "train", name)
    bad = tmp_path / "train" / "b_td.dat"
    damage(bad)
    dataset = open_dataset(tmp_path)
    assert [dataset.load(number).sequence for number in (0, 2)] == ["a", "c"]
    with pytest.raises(DataError, match=re.escape(str(bad))):
        dataset.load(1)
    assert _bad_files("gen1", tmp_path) == [("unreadable events", str(bad))]


@pytest.mark.parametrize("damage", DAMAGES)
def test_boxes_of_two_recordings(tmp_path, damage):
    for name in "abc":
        write_recording(tmp_path / "train", name)
    bad = [tmp_path / "train" / f"{name}_bbox.npy" for name in "ac"]
    for path in bad:
        damage(path)
    with pytest.raises(DataError, match=re.escape(str(bad[0]))):
        open_dataset(tmp_path)
    assert _bad_files("gen1", tmp_path) == [("unreadable labels", str(path)) for path in bad]


@pytest.mark.parametrize("damage", DAMAGES)
def test_images_of_n_caltech(tmp_path, damage):
    for number in (1, 2, 3):
        write_image(tmp_path, "cup", number)
    (tmp_path / "train.txt").write_text("".join(line_of("cup", number) for number in (1, 2, 3)))
    events = tmp_path / "Caltech101" / "cup" / "image_0002.bin"
    boxes = tmp_path / "Caltech101_annotations" / "cup" / "annotation_0003.bin"
    dataset = open_caltech(tmp_path)
    damage(events)
    assert dataset.load(0).sequence == "cup/image_0001"
    with pytest.raises(DataError, match=re.escape(str(events))):
        dataset.load(1)
    if damage in (_cut, _replace_by_folder):
        return  # the last of the three points of the outline is not needed; a folder is missing
    damage(boxes)
    with pytest.raises(DataError, match=re.escape(str(boxes))):
        open_caltech(tmp_path)
    assert _bad_files("n-caltech", tmp_path) == [
        ("unreadable events", str(events)),
        ("unreadable labels", str(boxes)),
    ]


@pytest.mark.parametrize("damage", DAMAGES[:5])
@pytest.mark.parametrize(
    "name",
    [
        "event_representations_ds2_nearest.h5",
        "timestamps_us.npy",
        "objframe_idx_2_repr_idx.npy",
        "labels.npz",
    ],
)
def test_files_of_a_sequence(tmp_path, damage, name):
    for sequence in "abc":
        write_sequence(tmp_path / "train" / sequence)
    [bad] = [p for p in (tmp_path / "train" / "b").rglob(name) if p.parent.name != "labels_v2"] or [
        tmp_path / "train" / "b" / "labels_v2" / name
    ]
    damage(bad)
    with pytest.raises(DataError, match=re.escape(str(bad))):
        dataset = open_rvt(tmp_path)
        for number in range(len(dataset)):
            dataset.load(number)
    source = DATASETS["gen4"].source(tmp_path, "train")
    problems = [survey_recording(source, files, None).problems for files in source.recordings]
    assert [bool(found) for found in problems] == [False, True, False]
    assert all(str(bad) in problem.detail for problem in problems[1])


def _bad_files(data_name: str, root: Path) -> list[tuple[str, str]]:
    """Return kind and file of each problem that `check_data` finds by reading everything."""
    source = DATASETS[data_name].source(root, "train")
    problems = [
        problem
        for files in source.recordings
        for problem in survey_recording(source, files, None).problems
    ]
    assert all(problem.fatal and problem.where in problem.detail for problem in problems)
    return [(problem.kind, problem.where) for problem in problems]


def test_events_of_another_dataset_are_not_mixed_up(tmp_path):
    """The sensor comes from the first recording that can be opened."""
    for name in "ab":
        write_recording(tmp_path / "train", name)
    _fill_with_zeros(tmp_path / "train" / "a_td.dat")
    assert np.array_equal(open_dataset(tmp_path).sensor_hw, (24, 32))
