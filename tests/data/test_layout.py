from __future__ import annotations

import pytest
from raw_layout import open_dataset, write_recording

from easnn.utils.errors import DataError


def message_of(root, splits="train"):
    with pytest.raises(DataError) as caught:
        open_dataset(root, splits)
    return str(caught.value)


def test_names_with_braces(tmp_path):
    root = tmp_path / "{odd}"
    write_recording(root / "train", "{}")
    (root / "train" / "{}_bbox.npy").unlink()
    assert message_of(root).startswith(f"{root}/train has 1 recording without boxes: {{}}. Put")


def layout_help(root):
    return (
        f"Expected are the recordings of each split in {root}/{{train,val,test}}/: their events, "
        "NAME_td.dat, with their boxes, NAME_bbox.npy, next to them. `easnn make-synthetic DIR` "
        "makes a small synthetic dataset."
    )


def test_missing_folder_of_the_dataset(tmp_path):
    root = tmp_path / "nowhere"
    assert message_of(root) == f"{root} is not a folder. {layout_help(root)}"


def test_missing_split(tmp_path):
    write_recording(tmp_path / "train", "a")
    assert (
        message_of(tmp_path, ("train", "val"))
        == f"{tmp_path}/val is not a folder. {layout_help(tmp_path)}"
    )


def test_empty_split(tmp_path):
    (tmp_path / "train").mkdir()
    assert message_of(tmp_path) == f"{tmp_path}/train holds no recording. {layout_help(tmp_path)}"


def test_recordings_without_boxes(tmp_path):
    for name in "hgfedcba":
        write_recording(tmp_path / "train", name)
    for name in "dfgh":
        (tmp_path / "train" / f"{name}_bbox.npy").unlink()
    assert message_of(tmp_path) == (
        f"{tmp_path}/train has 4 recordings without boxes: d, f, g, …. Put NAME_bbox.npy beside "
        "each NAME_td.dat (with no rows if nothing was labelled)."
    )


def test_boxes_without_recording(tmp_path):
    for name in "ab":
        write_recording(tmp_path / "train", name)
    (tmp_path / "train" / "b_td.dat").unlink()
    assert message_of(tmp_path) == (
        f"{tmp_path}/train has 1 recording with boxes, but no events: b. Put NAME_td.dat beside "
        "each NAME_bbox.npy, or remove the boxes."
    )


def test_recording_in_two_splits(tmp_path):
    for split in ("train", "val", "test"):
        write_recording(tmp_path / split, "a")
        write_recording(tmp_path / split, f"only_{split}")
    assert message_of(tmp_path, ("train", "val")) == (
        f"{tmp_path} has 1 recording in more than one of train, val: a. Each recording belongs to "
        "one split; remove it from the others."
    )


def test_other_files_do_not_matter(tmp_path):
    write_recording(tmp_path / "train", "a")
    (tmp_path / "train" / "a.mp4").touch()
    (tmp_path / "train" / "README").touch()
    assert len(open_dataset(tmp_path)) == 1


def test_files_of_macos_are_ignored(tmp_path):
    write_recording(tmp_path / "train", "a")
    for name in ("a_td.dat", "a_bbox.npy", "b_td.dat", "c_bbox.npy"):
        (tmp_path / "train" / f"._{name}").write_bytes(b"\x00\x05\x16\x07" + bytes(78))
    assert [files.name for files in open_dataset(tmp_path).recordings] == ["a"]
