from __future__ import annotations

import json
import pickle

import numpy as np
import pytest
import torch
from caltech_layout import line_of, open_caltech, some_events, write_image

from easnn.data import N_CALTECH_CLASSES
from easnn.events import pack_events
from easnn.events.outside import ADVICE
from easnn.utils.errors import ConfigError, DataError


def error_of(action):
    with pytest.raises((DataError, ConfigError)) as caught:
        action()
    return f"{type(caught.value).__name__}: {caught.value}"


def write_lists(root, **lines):
    for split, text in lines.items():
        (root / f"{split}.txt").write_text(text)


def sequences(dataset):
    return [dataset.load(index).sequence for index in range(len(dataset))]


def test_classes_are_in_the_published_order(golden):
    assert list(N_CALTECH_CLASSES) == json.loads((golden / "ncaltech_classes.json").read_text())
    assert len(set(N_CALTECH_CLASSES)) == 100
    assert "BACKGROUND_Google" not in N_CALTECH_CLASSES


def test_a_frame_is_a_whole_recording_with_its_box(tmp_path):
    events = pack_events([5, 10, 20, 25], [0, 239, 100, 3], [0, 179, 7, 4], [1, 0, 1, 0])
    write_image(tmp_path, "ant", 7, events=events)
    write_lists(tmp_path, train=line_of("ant", 7))
    dataset = open_caltech(tmp_path)
    assert (dataset.name, dataset.split, dataset.sensor_hw, len(dataset)) == (
        "n-caltech",
        "train",
        (180, 240),
        1,
    )
    frame = dataset.load(0)
    assert (frame.sequence, frame.time_us) == ("ant/image_0007", 0)
    assert frame.boxes.tolist() == [[N_CALTECH_CLASSES.index("ant"), 10, 20, 50, 30]]
    assert frame.events.shape == (1, 2, 2, 180, 240)
    assert frame.events.dtype == torch.uint8
    # slices [5, 15) and [15, 25) µs: the last event is in none
    assert frame.events.nonzero().tolist() == [
        [0, 0, 0, 179, 239],
        [0, 0, 1, 0, 0],
        [0, 1, 1, 7, 100],
    ]


def test_events_fade_over_the_whole_recording(tmp_path):
    write_image(
        tmp_path, "ant", 1, events=pack_events([0, 10_000, 20_000], [1, 2, 3], [5, 6, 7], [1, 1, 1])
    )
    dataset = open_caltech(tmp_path, aggregation="sum", Tm=1, measure="timesurface", tau=10)
    frame = dataset.load(0).events[0, 0, 1]
    late, early = frame[6, 2].item(), frame[5, 1].item()
    assert late / early == pytest.approx(np.e, rel=2**-9)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([(10, 20), (60, 20), (60, 50), (10, 50)], [10, 20, 50, 30]),
        ([(60, 50), (10, 50), (10, 20), (60, 20), (60, 50)], [10, 20, 50, 30]),
        ([(-12, -3), (60, -3), (60, 50), (-12, 50), (-12, -3)], [0, 0, 60, 50]),
        ([(200, 100), (250, 100), (250, 200), (200, 200)], [200, 100, 40, 80]),
    ],
)
def test_boxes_surround_their_contour_and_end_at_the_frame(tmp_path, box, expected):
    write_image(tmp_path, "ant", 1, box=box)
    write_lists(tmp_path, train=line_of("ant", 1))
    assert open_caltech(tmp_path).load(0).boxes[0, 1:].tolist() == expected


def test_a_box_outside_of_the_frame(tmp_path):
    write_image(tmp_path, "ant", 1, box=[(-30, 5), (-2, 5), (-2, 9), (-30, 9)])
    write_lists(tmp_path, train=line_of("ant", 1))
    path = tmp_path / "Caltech101_annotations" / "ant" / "annotation_0001.bin"
    assert error_of(lambda: open_caltech(tmp_path)) == (
        f"DataError: The box of {path} must have a width and a height and lie in the frame of "
        "240×180 pixels, at least in part, but has x -30 to -2 and y 5 to 9."
    )


@pytest.mark.parametrize(
    "prefix",
    ["", "./", "/home/somebody else/data/N-Caltech101/", "D:\\data\\"],
    ids=["", "dot", "unix", "win"],
)
def test_lists_of_other_machines(tmp_path, prefix):
    for number in (1, 2):
        write_image(tmp_path, "cup", number)
    text = line_of("cup", 2, prefix) + "\n" + line_of("cup", 1, prefix)
    write_lists(tmp_path, train=text.replace("/", "\\") if "\\" in prefix else text)
    assert sequences(open_caltech(tmp_path)) == ["cup/image_0002", "cup/image_0001"]


def test_list_with_a_byte_order_mark(tmp_path):
    write_image(tmp_path, "cup", 1)
    write_lists(tmp_path, train="\ufeff" + line_of("cup", 1))
    assert sequences(open_caltech(tmp_path)) == ["cup/image_0001"]


def test_list_of_the_field(tmp_path, field):
    write_image(tmp_path, "airplanes", 1)
    (tmp_path / "train.txt").write_bytes((field / "bom_train.txt").read_bytes())
    assert sequences(open_caltech(tmp_path)) == ["airplanes/image_0001"]


def test_files_of_macos_are_ignored(tmp_path):
    write_image(tmp_path, "cup", 1)
    left = tmp_path / "Caltech101" / "cup" / "._image_0001.bin"
    left.write_bytes(b"\x00\x05\x16\x07" + bytes(78))
    assert sequences(open_caltech(tmp_path)) == ["cup/image_0001"]
    listed = line_of("cup", 1).replace("image_", "._image_").replace("annotation_", "._annotation_")
    write_lists(tmp_path, train=listed + line_of("cup", 1))
    assert sequences(open_caltech(tmp_path)) == ["cup/image_0001"]


def test_splits_are_put_together_in_order(tmp_path):
    for number in (1, 2, 3):
        write_image(tmp_path, "cup", number)
    write_lists(tmp_path, train=line_of("cup", 3), val=line_of("cup", 1), test=line_of("cup", 2))
    dataset = open_caltech(tmp_path, ("val", "train"))
    assert dataset.split == "val+train"
    assert sequences(dataset) == ["cup/image_0001", "cup/image_0003"]


def test_background_is_left_out(tmp_path):
    for class_name in ("cup", "BACKGROUND_Google"):
        write_image(tmp_path, class_name, 1)
    assert sequences(open_caltech(tmp_path)) == ["cup/image_0001"]
    write_lists(tmp_path, train=line_of("BACKGROUND_Google", 1) + line_of("cup", 1))
    assert sequences(open_caltech(tmp_path)) == ["cup/image_0001"]


def test_missing_lists_are_made_per_class_and_always_the_same(tmp_path):
    from loguru import logger

    for root in (tmp_path / "a", tmp_path / "b"):
        for class_name, numbers in (("cup", range(1, 12)), ("ant", (3, 1, 2))):
            for number in numbers if root.name == "a" else reversed(numbers):
                write_image(root, class_name, number)
    said = []
    handler = logger.add(said.append, format="{message}")
    a, b = tmp_path / "a", tmp_path / "b"
    train, val = sequences(open_caltech(a)), sequences(open_caltech(a, "val"))
    logger.remove(handler)
    assert (sequences(open_caltech(b)), sequences(open_caltech(b, "val"))) == (train, val)
    assert train == sorted(train)
    assert [name.split("/")[0] for name in val] == ["cup", "cup"]
    assert len(train) == 9 + 3
    assert not set(train) & set(val)
    assert [str(line) for line in said] == [
        f"{a} has no train.txt, val.txt and test.txt, so `train` is four fifths of each class, "
        "chosen by a fixed seed: 12 recordings.\n",
        f"{a} has no train.txt, val.txt and test.txt, so `val` is a fifth of each class, chosen by "
        "a fixed seed: 2 recordings.\n",
    ]
    assert list(a.glob("*.txt")) == []


def test_one_missing_list_is_not_made(tmp_path):
    write_image(tmp_path, "cup", 1)
    assert error_of(lambda: open_caltech(tmp_path, "test")) == (
        f"DataError: {tmp_path}/test.txt is missing: those made without lists are train, val. Add "
        "it, or choose another split."
    )
    write_lists(tmp_path, train=line_of("cup", 1))
    assert error_of(lambda: open_caltech(tmp_path, "val")) == (
        f"DataError: {tmp_path}/val.txt is missing: there are only train.txt. Add it, or choose "
        "another split."
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "\nimage_0001.bin annotation_0001.bin\n",
            "Line 2 of {root}/train.txt must be Caltech101/CLASS/image_XXXX.bin "
            "Caltech101_annotations/CLASS/annotation_XXXX.bin, but is 'image_0001.bin "
            "annotation_0001.bin'.",
        ),
        (
            "Caltech101/cup/image_0001.bin Caltech101_annotations/ant/annotation_0001.bin\n",
            "Line 1 of {root}/train.txt must be Caltech101/CLASS/image_XXXX.bin "
            "Caltech101_annotations/CLASS/annotation_XXXX.bin, but is "
            "'Caltech101/cup/image_0001.bin Caltech101_annotations/ant/annotation_0001.bin'.",
        ),
        (
            line_of("cup", 1) + line_of("cup", 9),
            "Line 2 of {root}/train.txt names {root}/Caltech101/cup/image_0009.bin, which is not "
            "there. Copy it again, or remove the line.",
        ),
        (
            line_of("cup", 7) + line_of("cup", 1) + line_of("cup", 8) + line_of("ant", 9),
            "Line 1 of {root}/train.txt names {root}/Caltech101/cup/image_0007.bin, which is not "
            "there. Copy it again, or remove the line. 3 lines name such files.",
        ),
        (
            line_of("cup", 1) * 2,
            "Line 2 of {root}/train.txt names cup/image_0001 again. Remove the line.",
        ),
        (
            "\n",
            "{root}/train.txt names no recording. Remove all lists to have them made, or copy it "
            "again.",
        ),
    ],
)
def test_wrong_lists(tmp_path, text, message):
    write_image(tmp_path, "cup", 1)
    write_image(tmp_path, "ant", 1)
    write_lists(tmp_path, train=text)
    assert error_of(lambda: open_caltech(tmp_path)) == "DataError: " + message.format(root=tmp_path)


def test_a_list_with_a_name_that_no_file_can_have(tmp_path):
    write_image(tmp_path, "cup", 1)
    write_lists(tmp_path, train=line_of("cup", 1).replace("image_", "i" * 300))
    assert error_of(lambda: open_caltech(tmp_path)) == (
        f"DataError: Line 1 of {tmp_path}/train.txt names {tmp_path}/Caltech101/cup/{'i' * 300}"
        "0001.bin, which is not there. Copy it again, or remove the line."
    )


@pytest.mark.parametrize("class_name", ["..", "../..", "/etc"])
def test_a_list_cannot_lead_out_of_the_dataset(tmp_path, class_name):
    root = tmp_path / "data"
    write_image(root, "cup", 1)
    (root / "image_0001.bin").write_bytes(b"12345")
    (root / "annotation_0001.bin").write_bytes(b"12345")
    write_lists(root, train=line_of(class_name, 1))
    with pytest.raises(DataError):
        open_caltech(root)


def test_a_recording_in_two_splits(tmp_path):
    write_image(tmp_path, "cup", 1)
    write_lists(tmp_path, train=line_of("cup", 1), val=line_of("cup", 1))
    assert error_of(lambda: open_caltech(tmp_path, ("train", "val"))) == (
        f"DataError: {tmp_path} has 1 recording in more than one of train, val: cup/image_0001. "
        "Each recording belongs to one split; remove it from the others."
    )


def test_other_folders(tmp_path):
    expected = (
        f"Expected are {tmp_path}/Caltech101/CLASS/image_XXXX.bin and "
        f"{tmp_path}/Caltech101_annotations/CLASS/annotation_XXXX.bin, and optionally the lists "
        "train.txt, val.txt and test.txt beside the two folders."
    )
    assert error_of(lambda: open_caltech(tmp_path)) == (
        f"DataError: {tmp_path}/Caltech101 is not a folder. {expected}"
    )
    for name in ("Caltech101", "Caltech101_annotations"):
        (tmp_path / name).mkdir()
    assert error_of(lambda: open_caltech(tmp_path)) == (
        f"DataError: {tmp_path} has no recording for train. {expected}"
    )
    write_image(tmp_path, "unicorn", 1)
    assert error_of(lambda: open_caltech(tmp_path)) == (
        f"DataError: The classes of {tmp_path} must be the 100 of N-Caltech101, but unicorn is "
        "none of them. Remove its folder and its lines in the lists."
    )
    (tmp_path / "Caltech101_annotations" / "unicorn" / "annotation_0001.bin").unlink()
    assert error_of(lambda: open_caltech(tmp_path)) == (
        f"DataError: {tmp_path} has 1 recording without boxes: unicorn/image_0001. Put "
        "Caltech101_annotations/CLASS/annotation_XXXX.bin beside each "
        "Caltech101/CLASS/image_XXXX.bin."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"window": -200},
            "`window` must be 0 (the whole recording) for n-caltech, whose labels have no time, "
            "but is -200.",
        ),
        ({"num_classes": 2}, "`num_classes` must be 100 for {root}, but is 2."),
    ],
)
def test_impossible_frames(tmp_path, options, message):
    write_image(tmp_path, "cup", 1)
    assert error_of(lambda: open_caltech(tmp_path, **options)) == (
        "ConfigError: " + message.format(root=tmp_path)
    )


def test_events_outside_of_the_sensor_are_named(tmp_path):
    write_image(tmp_path, "cup", 1, events=pack_events([1, 2], [3, 240], [5, 6], [0, 1]))
    dataset = open_caltech(tmp_path)
    path = tmp_path / "Caltech101" / "cup" / "image_0001.bin"
    assert error_of(lambda: dataset.load(0)) == (
        f"DataError: Event 1 of {path} must lie inside the sensor, 240×180 pixels, but is t_us=2, "
        f"x=240, y=6, p=1.{ADVICE}"
    )


def test_frames_are_the_same_in_another_process(tmp_path):
    for number in (1, 2):
        write_image(tmp_path, "cup", number)
    dataset = open_caltech(tmp_path)
    dataset.load(0)
    copy = pickle.loads(pickle.dumps(dataset))
    for index in range(2):
        assert dataset.load(index).events.equal(copy.load(index).events)
    assert np.count_nonzero(some_events(1)["p"]) >= dataset.load(0).events[:, :, 1].sum()
