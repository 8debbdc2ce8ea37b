from __future__ import annotations

import numpy as np
import pytest
from raw_layout import open_dataset, write_recording

from easnn.data import GEN4, GEN4_ALL
from easnn.events import pack_events
from easnn.utils.errors import ConfigError, DataError

HW = (720, 1280)


def open_gen4(root, **options):
    return open_dataset(root, **{"kind": GEN4, "num_classes": 3, **options})


def error_of(action):
    with pytest.raises((DataError, ConfigError)) as caught:
        action()
    return f"{type(caught.value).__name__}: {caught.value}"


def write_three_labels(root):
    """Write labels of all seven classes at 40, 50 (only dropped ones) and 60 ms."""
    boxes = [(40_000, 10 * n, 5, 20, 30, n) for n in range(7)]
    boxes += [(50_000, 1, 2, 30, 40, 4), (60_000, 101, 201, 31, 41, 1)]
    events = pack_events(
        [30_000, 35_000, 39_000, 59_000], [0, 1279, 1278, 640], [0, 719, 718, 360], [0, 1, 1, 0]
    )
    write_recording(root / "train", "moorea_td_0_1", events=events, boxes=boxes, sensor_hw=HW)


def test_three_of_seven_classes_are_kept(tmp_path):
    write_three_labels(tmp_path)
    dataset = open_gen4(tmp_path)
    assert (dataset.name, dataset.class_names) == ("gen4", ("pedestrian", "two-wheeler", "car"))
    frames = [dataset.load(index) for index in range(len(dataset))]
    assert [frame.time_us for frame in frames] == [40_000, 60_000]
    assert frames[0].boxes.tolist() == [[n, 10 * n, 5, 20, 30] for n in range(3)]
    assert frames[0].events.shape == (1, 2, 2, 720, 1280)


def test_all_seven_classes(tmp_path):
    write_three_labels(tmp_path)
    dataset = open_gen4(tmp_path, kind=GEN4_ALL, num_classes=7)
    names = "pedestrian", "two-wheeler", "car", "truck", "bus", "traffic sign", "traffic light"
    assert (dataset.name, dataset.class_names) == ("gen4-all", names)
    frames = [dataset.load(index) for index in range(len(dataset))]
    assert [frame.time_us for frame in frames] == [40_000, 50_000, 60_000]
    assert frames[0].boxes.tolist() == [[n, 10 * n, 5, 20, 30] for n in range(7)]
    assert frames[1].boxes.tolist() == [[4, 1, 2, 30, 40]]
    assert error_of(lambda: open_gen4(tmp_path, kind=GEN4_ALL)) == (
        "ConfigError: `num_classes` must be 7 (pedestrian, two-wheeler, car, truck, bus, traffic "
        f"sign, traffic light) for {tmp_path}, but is 3. Other classes are declared as "
        f'"class_names" in {tmp_path}/dataset.json.'
    )


def test_downsampling_adds_up_events_and_halves_boxes(tmp_path):
    write_three_labels(tmp_path)
    dataset = open_gen4(tmp_path, downsample=2, aggregation="sum")
    fine = open_gen4(tmp_path, aggregation="sum")
    assert dataset.sensor_hw == (360, 640)
    assert dataset.load(1).boxes.tolist() == [[1, 50.5, 100.5, 15.5, 20.5]]
    for index in range(2):
        pooled = fine.load(index).events.numpy().reshape(1, 1, 2, 360, 2, 640, 2).sum(axis=(4, 6))
        np.testing.assert_array_equal(dataset.load(index).events.numpy(), pooled)
    assert dataset.load(0).events[0, 0, 1, 359, 639] == 2


def test_a_sensor_of_odd_size_is_downsampled_to_the_pixels_that_it_needs(tmp_path):
    events = pack_events([30_000, 35_000], [4, 0], [6, 0], [0, 1])
    write_recording(tmp_path / "train", "a", events=events, sensor_hw=(7, 5))
    dataset = open_gen4(tmp_path, downsample=2, aggregation="sum", window=-40)
    assert dataset.sensor_hw == (4, 3)
    assert dataset.load(0).events.nonzero().tolist() == [[0, 0, 0, 3, 2], [0, 0, 1, 0, 0]]


def test_class_ids_beyond_the_seven(tmp_path):
    write_recording(tmp_path / "train", "a", boxes=[(40_000, 1, 1, 9, 9, 7)], sensor_hw=HW)
    assert error_of(lambda: open_gen4(tmp_path)) == (
        f"DataError: The class ids in {tmp_path}/train/a_bbox.npy must be 0 to 6 (pedestrian, "
        "two-wheeler, "
        "car, truck, bus, traffic sign, traffic light), but 1 of 1 boxes have others, like 7. "
        "Remove these "
        f'boxes, or declare all classes as "class_names" in {tmp_path}/dataset.json.'
    )


def test_declared_classes_are_all_kept(tmp_path):
    write_three_labels(tmp_path)
    (tmp_path / "dataset.json").write_text('{"class_names": ["a", "b", "c", "d", "e", "f", "g"]}')
    dataset = open_gen4(tmp_path, num_classes=7)
    assert [len(dataset.load(index).boxes) for index in range(len(dataset))] == [7, 1, 1]


def test_num_classes_must_be_three(tmp_path):
    write_three_labels(tmp_path)
    assert error_of(lambda: open_gen4(tmp_path, num_classes=2)) == (
        f"ConfigError: `num_classes` must be 3 (pedestrian, two-wheeler, car) for {tmp_path}, but "
        "is 2. "
        "Other "
        f'classes are declared as "class_names" in {tmp_path}/dataset.json.'
    )
