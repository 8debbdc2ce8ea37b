from __future__ import annotations

import json
import pickle
import re

import numpy as np
import pytest
import torch
from raw_layout import ONE_BOX, SENSOR_HW, open_dataset, some_events, write_recording

from easnn.data import (
    IGNORED_SEQUENCES,
    LetterboxPolicy,
    RequestedSamples,
    SampleRequest,
    collate,
    prepare_batch,
)
from easnn.events import open_dat, pack_events
from easnn.representations import make_frame
from easnn.utils.errors import ConfigError, DataError

GOLDEN_TAGS = {"a": {"window": -200, "Tm": 4}, "b": {"window": -50, "Tm": 3}}


def golden_names(dataset):
    """Return the frames by their names in the golden files: recording, label number, time."""
    first = {}
    frames = [dataset.load(index) for index in range(len(dataset))]
    for index, frame in enumerate(frames):
        first.setdefault(frame.sequence, index)
    return {f"{f.sequence}_r{i - first[f.sequence]}_a{f.time_us}": f for i, f in enumerate(frames)}


def error_of(action):
    with pytest.raises((DataError, ConfigError)) as caught:
        action()
    return f"{type(caught.value).__name__}: {caught.value}"


@pytest.mark.parametrize("tag", GOLDEN_TAGS)
@pytest.mark.parametrize("aggregation", ["micro_sum", "sum"])
def test_counts_equal_the_published_ones(golden, tag, aggregation):
    expected = np.load(golden / "data" / "gen1_expected.npz")
    dataset = open_dataset(
        golden / "data" / "gen1", "test", aggregation=aggregation, **GOLDEN_TAGS[tag]
    )
    frames = golden_names(dataset)
    keys = {key.split("|")[2] for key in expected.files if key.startswith(f"{aggregation}|{tag}|")}
    assert set(frames) == keys
    for name, frame in frames.items():
        if tag == "a" and frame.time_us == 100_000:
            continue  # the published window reaches 100 ms past the label
        prefix = f"{aggregation}|{tag}|{name}"
        shape = tuple(expected[f"{prefix}|raw_shape"])
        counts = np.zeros(np.prod(shape), np.float32)
        counts[expected[f"{prefix}|raw_nz_index"]] = expected[f"{prefix}|raw_nz_value"]
        assert frame.events.dtype == torch.uint8
        assert frame.events.shape == (
            1,
            dataset.frame_spec.Tm if aggregation == "micro_sum" else 1,
            2,
            240,
            304,
        )
        np.testing.assert_array_equal(frame.events.numpy().reshape(shape), counts.reshape(shape))


def test_boxes_equal_the_published_ones(golden):
    expected = np.load(golden / "data" / "gen1_expected.npz")
    dataset = open_dataset(golden / "data" / "gen1", "test")
    for name, frame in golden_names(dataset).items():
        boxes_xywh_cls = frame.boxes[:, [1, 2, 3, 4, 0]].numpy()
        # published sizes went through float32 corners and back
        np.testing.assert_allclose(
            boxes_xywh_cls, expected[f"boxes_xywh_cls|{name}"], rtol=0, atol=3e-5
        )


def test_prepared_frames_equal_the_published_letterbox(golden):
    expected = np.load(golden / "data" / "gen1_expected.npz")
    dataset = open_dataset(golden / "data" / "gen1", "test", **GOLDEN_TAGS["a"])
    samples = RequestedSamples(dataset, LetterboxPolicy((256, 320)), seed=0)
    batch = collate([samples[SampleRequest(0, index)] for index in range(1, len(dataset))])
    events, _ = prepare_batch(batch, (256, 320))
    for name, frame in zip(list(golden_names(dataset))[1:], events, strict=True):
        np.testing.assert_allclose(frame.numpy(), expected[f"letterboxed|a|{name}"], atol=1e-4)


def test_real_recordings_of_another_sensor(real):
    dataset = open_dataset(real / "pedro_gen1_layout", ("train", "val"), window=-40)
    assert (len(dataset), dataset.split, dataset.sensor_hw) == (5, "train+val", (260, 346))
    frames = [dataset.load(index) for index in range(len(dataset))]
    assert [frame.sequence[5:] for frame in frames] == [
        "0013230",
        "0017525",
        "0000009",
        "0000092",
        "0001566",
    ]
    assert [len(frame.boxes) for frame in frames] == [2, 4, 1, 1, 1]
    assert frames[1].boxes[3].tolist() == [1, 216, 154, 38, 68]
    assert all(frame.events.shape == (1, 2, 2, 260, 346) and frame.events.any() for frame in frames)


def test_a_frame_is_a_distinct_label_time_with_the_events_before_it(tmp_path):
    t_us = [0, 10_000, 29_999, 30_000, 39_000, 40_000, 45_000]
    events = pack_events(t_us, x=range(7), y=[3] * 7, p=[0, 1, 0, 1, 0, 1, 0])
    boxes = [
        (50_000, -3.5, 4, 20, 30, 1),
        (40_000, 1, 2, 3, 4, 0),
        (40_000, 5, 6, 0, 8, 0),  # no width: dropped
        (50_000, 9, 9, 2, 2, 0),
        (60_000, 1, 1, 5, 0, 1),  # no height: its frame stays, without boxes
    ]
    write_recording(tmp_path / "train", "a", events=events, boxes=boxes)
    dataset = open_dataset(tmp_path, aggregation="sum")
    frames = [dataset.load(index) for index in range(len(dataset))]
    assert [frame.time_us for frame in frames] == [40_000, 50_000, 60_000]
    assert [frame.boxes.tolist() for frame in frames] == [
        [[0, 1, 2, 3, 4]],
        [[1, -3.5, 4, 20, 30], [0, 9, 9, 2, 2]],
        [],
    ]
    assert all(
        frame.boxes.shape[1:] == (5,) and frame.boxes.dtype == torch.float32 for frame in frames
    )
    seen = [sorted(frame.events.nonzero()[:, [2, 4]].tolist()) for frame in frames]  # (polarity, x)
    assert seen == [[[0, 2], [0, 4], [1, 3]], [[0, 4], [0, 6], [1, 3], [1, 5]], [[0, 6], [1, 5]]]


def test_a_label_before_the_windows_length_sees_nothing_after_itself(tmp_path):
    write_recording(
        tmp_path / "train",
        "a",
        events=pack_events([1_000, 4_999, 5_000], [1, 2, 3], [0, 0, 0], [0, 0, 0]),
        boxes=[(5_000, 1, 1, 5, 5, 0)],
    )
    events = open_dataset(tmp_path, aggregation="sum").load(0).events
    assert events.nonzero()[:, 4].tolist() == [1, 2]


def test_a_silent_sensor_gives_a_zero_frame(tmp_path):
    write_recording(
        tmp_path / "train",
        "a",
        events=pack_events([0, 900_000], [1, 2], [0, 0], [0, 0]),
        boxes=[(500_000, 1, 1, 5, 5, 0)],
    )
    frame = open_dataset(tmp_path).load(0)
    assert frame.events.shape == (1, 2, 2, *SENSOR_HW)
    assert not frame.events.any()


def test_ignored_sequences_are_skipped(tmp_path):
    for name in ("kept", *IGNORED_SEQUENCES):
        write_recording(tmp_path / "train", name)
    dataset = open_dataset(tmp_path)
    assert [recording.name for recording in dataset.recordings] == ["kept"]
    assert len(IGNORED_SEQUENCES) == 4


def test_splits_are_put_together_in_order(tmp_path):
    for split, name in (("val", "b"), ("val", "a"), ("train", "c")):
        write_recording(tmp_path / split, name)
    dataset = open_dataset(tmp_path, ("val", "train"))
    assert dataset.split == "val+train"
    assert [dataset.load(index).sequence for index in range(len(dataset))] == ["a", "b", "c"]


def test_classes_and_sensor_without_any_declaration_are_those_of_gen1(tmp_path):
    write_recording(tmp_path / "train", "a", sensor_hw=None)
    dataset = open_dataset(tmp_path)
    assert dataset.class_names == ("car", "pedestrian")
    assert dataset.sensor_hw == (240, 304)


def test_dataset_json_declares_classes_and_sensor(tmp_path):
    write_recording(tmp_path / "train", "a", sensor_hw=None)
    (tmp_path / "dataset.json").write_text(
        json.dumps({"class_names": ["cup", "hand", "dog"], "sensor_hw": [25, 40]})
    )
    dataset = open_dataset(tmp_path, num_classes=3)
    assert dataset.class_names == ("cup", "hand", "dog")
    assert dataset.load(0).events.shape == (1, 2, 2, 25, 40)


def test_coordinates_are_checked_against_the_datasets_sensor(tmp_path):
    write_recording(tmp_path / "train", "a")
    write_recording(
        tmp_path / "train", "b", events=pack_events([49_000], [32], [1], [0]), sensor_hw=None
    )
    dataset = open_dataset(tmp_path)
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "train" / "b_td.dat"))):
        dataset.load(1)


def test_recordings_of_different_sensors(tmp_path):
    write_recording(tmp_path / "train", "a")
    write_recording(tmp_path / "train", "b", sensor_hw=(48, 64))
    dataset = open_dataset(tmp_path)
    assert error_of(lambda: dataset.load(1)) == (
        f"DataError: {tmp_path}/train/b_td.dat must have the sensor size of its dataset, 24x32 "
        "(height x width), but its header says 48x64. Put other sensors in another folder."
    )


def test_class_outside_num_classes(tmp_path):
    write_recording(
        tmp_path / "train", "a", boxes=[*ONE_BOX, (60_000, 1, 1, 5, 5, 7), (70_000, 1, 1, 5, 5, 4)]
    )
    assert error_of(lambda: open_dataset(tmp_path)) == (
        f"DataError: The class ids in {tmp_path}/train/a_bbox.npy must be 0 to 1 (car, "
        "pedestrian), but 2 of "
        "3 "
        'boxes have others, like 7. Remove these boxes, or declare all classes as "class_names" in '
        f"{tmp_path}/dataset.json."
    )


def test_num_classes_must_be_that_of_the_dataset(tmp_path):
    write_recording(tmp_path / "train", "a")
    assert error_of(lambda: open_dataset(tmp_path, num_classes=100)) == (
        f"ConfigError: `num_classes` must be 2 (car, pedestrian) for {tmp_path}, but is 100. Other "
        "classes "
        f'are declared as "class_names" in {tmp_path}/dataset.json.'
    )


def test_nothing_labelled(tmp_path):
    write_recording(tmp_path / "train", "a", boxes=[])
    assert error_of(lambda: open_dataset(tmp_path)) == (
        f"DataError: {tmp_path} has no label in train: all its box files are empty."
    )


def test_a_recording_without_labels_beside_others_is_normal(tmp_path):
    write_recording(tmp_path / "train", "a", boxes=[])
    write_recording(tmp_path / "train", "b")
    dataset = open_dataset(tmp_path)
    assert [dataset.load(index).sequence for index in range(len(dataset))] == ["b"]


def test_several_macro_slices_are_refused(tmp_path):
    write_recording(tmp_path / "train", "a")
    assert error_of(lambda: open_dataset(tmp_path, Tl=4)) == (
        "ConfigError: `Tl` must be 1 for raw recordings, but is 4. `Tm` sets the slices of their "
        "window."
    )


def test_recordings_are_not_opened_before_they_are_needed(tmp_path):
    write_recording(tmp_path / "train", "a")
    write_recording(tmp_path / "train", "b")
    (tmp_path / "train" / "b_td.dat").write_bytes(b"")
    dataset = open_dataset(tmp_path)
    assert dataset.load(0).events.any()
    with pytest.raises(DataError, match=r"b_td\.dat"):
        dataset.load(1)


def test_frames_are_the_same_in_another_process(small_dataset):
    small_dataset.load(3)
    copy = pickle.loads(pickle.dumps(small_dataset))
    for index in range(len(small_dataset)):
        ours, theirs = small_dataset.load(index), copy.load(index)
        assert ours.events.equal(theirs.events)
        assert ours.boxes.equal(theirs.boxes)
        assert ours[2:] == theirs[2:]


def test_loading_gives_fresh_arrays(small_dataset):
    frame = small_dataset.load(0)
    frame.events.fill_(9)
    frame.boxes.fill_(9)
    again = small_dataset.load(0)
    assert again.events.max() < 9
    assert again.boxes[0].tolist() == [0, 4, 5, 10, 8]


def test_frames_of_unlabelled_moments(tmp_path):
    write_recording(tmp_path / "train", "a")
    dataset = open_dataset(tmp_path)
    recording = open_dat(tmp_path / "train" / "a_td.dat")
    frame = make_frame(dataset.frame_spec, recording, 100_000, SENSOR_HW)
    in_window = some_events("a")["t_us"] >= 80_000
    assert frame.shape == (1, 2, 2, *SENSOR_HW)
    assert in_window.sum() - 2 <= frame.sum() <= in_window.sum() - 1  # slices leave out the tail
