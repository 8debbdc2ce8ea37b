from __future__ import annotations

import pytest
from raw_layout import open_dataset, write_recording

from easnn.utils.errors import DataError


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("[]", " must hold a JSON object, but holds list."),
        (
            '{"class_names": "car"}',
            ': "class_names" must be a list of names, such as ["car"], but is \'car\'.',
        ),
        (
            '{"class_names": []}',
            ': "class_names" must be a list of names, such as ["car"], but is [].',
        ),
        (
            '{"class_names": [1]}',
            ': "class_names" must be a list of names, such as ["car"], but is [1].',
        ),
        ('{"sensor_hw": [240]}', ': "sensor_hw" must be [height, width] in pixels, but is [240].'),
        (
            '{"sensor_hw": [240, 0]}',
            ': "sensor_hw" must be [height, width] in pixels, but is [240, 0].',
        ),
        (
            '{"sensor_hw": [true, 4]}',
            ': "sensor_hw" must be [height, width] in pixels, but is [True, 4].',
        ),
        (
            '{"complete": false}',
            " says that this dataset is not complete: the command that makes it was "
            "interrupted. Repeat it, and it resumes where it stopped.",
        ),
        ("[1,", " is not valid JSON: Expecting value: line 1 column 4 (char 3)."),
        (
            "[" * 100_000,
            " is not valid JSON: maximum recursion depth exceeded while decoding a JSON array from "
            "a unicode string.",
        ),
    ],
)
def test_wrong_declarations(tmp_path, content, problem):
    write_recording(tmp_path / "train", "a")
    (tmp_path / "dataset.json").write_text(content)
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path)
    assert str(caught.value) == f"{tmp_path}/dataset.json{problem}"


def test_other_entries_are_left_alone(tmp_path):
    write_recording(tmp_path / "train", "a")
    (tmp_path / "dataset.json").write_text('{"seed": 7, "complete": true}')
    assert open_dataset(tmp_path).class_names == ("car", "pedestrian")


def test_a_byte_order_mark(tmp_path):
    write_recording(tmp_path / "train", "a")
    text = "\ufeff" + '{"class_names": ["cup", "hand"]}'
    (tmp_path / "dataset.json").write_text(text, encoding="utf-8")
    assert open_dataset(tmp_path).class_names == ("cup", "hand")


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("folder", "Is a directory"),
        ("link to nothing", "No such file or directory"),
        ("loop of links", "Too many levels of symbolic links"),
    ],
)
def test_declarations_that_cannot_be_read_are_not_ignored(tmp_path, kind, reason):
    write_recording(tmp_path / "train", "a")
    path = tmp_path / "dataset.json"
    if kind == "folder":
        path.mkdir()
    else:
        path.symlink_to("dataset.json" if kind == "loop of links" else "moved.json")
    with pytest.raises(DataError) as caught:
        open_dataset(tmp_path)
    assert str(caught.value) == f"Cannot read {path}: {reason}."
