from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from raw_layout import write_recording
from rvt_layout import FULL, HISTOGRAMS, open_rvt, some_histograms, write_sequence

from easnn.data import (
    DATASETS,
    GEN1,
    GEN4_ALL,
    IGNORED_SEQUENCES,
    LabelFilter,
    LetterboxPolicy,
    PropheseeSource,
    RvtSource,
    build_eval_loader,
)
from easnn.data.rvt import HistogramFile, is_preprocessed
from easnn.data.survey import event_reach_us, survey_recording
from easnn.representations import FrameSpec
from easnn.utils.errors import ConfigError, DataError

EVENT_SUM = FrameSpec(Tl=4, aggregation="event_sum")


def summed(histograms):
    """Sum channels 0 to 9 and 10 to 19."""
    return np.stack(
        [histograms[:, :10].astype(int).sum(1), histograms[:, 10:].astype(int).sum(1)], axis=1
    )


def error_of(action):
    with pytest.raises((DataError, ConfigError)) as caught:
        action()
    return f"{type(caught.value).__name__}: {caught.value}"


def test_frames_are_the_last_histograms_up_to_the_label(tmp_path):
    write_sequence(tmp_path / "train" / "a")
    dataset = open_rvt(tmp_path)
    assert (dataset.name, dataset.split, dataset.sensor_hw, len(dataset)) == (
        "gen4",
        "train",
        (6, 8),
        2,
    )
    assert dataset.class_names == ("pedestrian", "two-wheeler", "car")
    expected = summed(some_histograms())
    first, second = dataset.load(0), dataset.load(1)
    assert second.events.dtype == torch.uint8
    np.testing.assert_array_equal(second.events[:, 0], expected[2:6])
    np.testing.assert_array_equal(first.events[:2, 0], 0)  # the sequence begins with the third
    np.testing.assert_array_equal(first.events[2:, 0], expected[:2])
    assert [(frame.time_us, frame.sequence) for frame in (first, second)] == [
        (100_000, "a"),
        (300_000, "a"),
    ]
    assert open_rvt(tmp_path, Tl=1).load(1).events.shape == (1, 1, 2, 6, 8)


def test_silence_is_measured_from_histograms(tmp_path):
    histograms = np.zeros((6, 20, 24, 32), np.uint8)
    histograms[1, 3, :8, :8] = 1
    write_sequence(tmp_path / "train" / "a", histograms=histograms)
    dataset = open_rvt(tmp_path)
    assert dataset.measures_silence
    first, second = dataset.motion(0), dataset.motion(1)
    assert first.shape == (len(dataset.label(0).boxes), 3)
    assert (first[:, 0] == 0).all()  # histogram 1 is the last one before the label
    assert second[:, 0] == pytest.approx(0.2)
    assert np.isnan(second[:, 1:]).all()


def test_counts_beyond_a_byte(tmp_path):
    histograms = np.zeros((6, 20, 6, 8), np.uint8)
    histograms[5, :10, 0, 0] = 255
    histograms[5, 10:, 5, 7] = 26
    write_sequence(tmp_path / "train" / "a", histograms=histograms)
    events = open_rvt(tmp_path, Tl=1).load(1).events
    assert events.dtype == torch.int16
    assert (events[0, 0, 0, 0, 0], events[0, 0, 1, 5, 7], events.sum()) == (2550, 260, 2810)


def test_boxes_are_halved_and_clipped(tmp_path):
    labels = [(100_000, 2, 4, 5, 3, 0), (100_000, 13, 9, 7, 5, 2), (100_000, 20, 2, 4, 4, 1)]
    write_sequence(tmp_path / "train" / "a", labels=labels, histogram_numbers=[1])
    assert open_rvt(tmp_path).load(0).boxes.tolist() == [
        [0, 1, 2, 2.5, 1.5],
        [2, 6.5, 4.5, 1.5, 1.5],
    ]


def test_gen1_has_its_whole_resolution(tmp_path):
    labels = [(100_000, 2, 1, 5, 3, 1)]
    write_sequence(tmp_path / "val" / "a", labels=labels, histogram_numbers=[1], name=FULL)
    write_sequence(tmp_path / "val" / min(IGNORED_SEQUENCES), name=FULL)
    dataset = open_rvt(tmp_path, "val", kind=GEN1, num_classes=2)
    assert (dataset.name, dataset.class_names) == ("gen1", ("car", "pedestrian"))
    assert [files.name for files in dataset.recordings] == ["a"]
    assert dataset.load(0).boxes.tolist() == [[1, 2, 1, 5, 3]]


def test_declared_classes(tmp_path):
    write_sequence(tmp_path / "train" / "a")
    (tmp_path / "dataset.json").write_text('{"class_names": ["x", "y", "z", "w"]}')
    assert open_rvt(tmp_path, num_classes=4).class_names == ("x", "y", "z", "w")


def test_splits_and_sequences_in_order(tmp_path):
    for number, name in enumerate(("val/b", "train/d", "train/c")):
        write_sequence(tmp_path / name, histograms=some_histograms(seed=number))
    (tmp_path / "train" / "empty").mkdir()
    (tmp_path / "train" / ".hidden.partial" / "labels_v2").mkdir(parents=True)
    dataset = open_rvt(tmp_path, ["train", "val"])
    frames = [dataset.load(index) for index in range(len(dataset))]
    assert dataset.split == "train+val"
    assert [frame.sequence for frame in frames] == ["c", "c", "d", "d", "b", "b"]
    for frame, seed in zip(frames[1::2], (2, 1, 0), strict=True):
        np.testing.assert_array_equal(frame.events[3, 0], summed(some_histograms(seed=seed))[5])


@pytest.mark.parametrize(
    "storage",
    [
        {"chunks": (2, 20, 3, 8)},
        {"chunks": (4, 7, 6, 5)},
        {"shuffle": True},
        {"compression": "gzip", "compression_opts": 1},
        {"compression": None, "compression_opts": None},
    ],
)
def test_other_ways_to_store_the_same(tmp_path, storage):
    write_sequence(tmp_path / "train" / "a", **storage)
    np.testing.assert_array_equal(
        open_rvt(tmp_path).load(1).events[:, 0], summed(some_histograms())[2:]
    )


def test_what_is_there_decides(tmp_path):
    write_sequence(tmp_path / "rvt" / "train" / "a")
    write_recording(tmp_path / "raw" / "train" / "a", "a")
    write_recording(tmp_path / "raw" / "train", "a")
    assert not is_preprocessed(tmp_path / "raw")
    assert not is_preprocessed(tmp_path / "nothing")
    sequences = DATASETS["gen4"].source(tmp_path / "rvt", "train")
    assert isinstance(sequences, RvtSource)
    assert sequences.sensor_hw == (6, 8)
    recordings = DATASETS["gen1"].source(tmp_path / "raw", ["train"])
    assert isinstance(recordings, PropheseeSource)
    assert recordings.sensor_hw == (24, 32)


def test_raw_recordings_and_sequences_in_one_folder(tmp_path):
    write_sequence(tmp_path / "val" / "a")
    write_recording(tmp_path / "train", "b")
    assert error_of(lambda: DATASETS["gen4"].source(tmp_path, ["train"])) == (
        f"DataError: {tmp_path} must hold either raw recordings or sequences that were "
        f"preprocessed for RVT, but holds both, such as {tmp_path}/train/b_td.dat and "
        f"{tmp_path}/val/a. Put them into different folders."
    )


def test_files_of_macos_are_no_raw_recordings(tmp_path):
    write_sequence(tmp_path / "train" / "a")
    (tmp_path / "train" / "._a_td.dat").write_bytes(b"\x00\x05\x16\x07" + bytes(78))
    (tmp_path / "train" / "._a").write_bytes(b"\x00\x05\x16\x07" + bytes(78))
    assert [files.name for files in open_rvt(tmp_path).recordings] == ["a"]


def test_event_sum_of_raw_recordings_is_refused(tmp_path):
    write_recording(tmp_path / "train", "a")
    source = DATASETS["gen4"].source(tmp_path, ["train"])
    assert error_of(lambda: source.dataset(EVENT_SUM, num_classes=3)) == (
        "ConfigError: `aggregation` must be one of micro_sum, sum, voxel_grid, voxel_cube, "
        "timesurface for raw recordings, but is event_sum, which sums the histograms of "
        "RVT-preprocessed data. `easnn preprocess` makes them."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"aggregation": "micro_sum"},
            "`aggregation` must be event_sum for {root}, which was preprocessed for RVT, but is "
            "micro_sum, which is made from events. Set `aggregation` event_sum, or give the raw "
            "recordings.",
        ),
        (
            {"downsample": 2},
            "`downsample` must be 1 for {root}, whose histograms have the resolution that they "
            "were made with, but is 2.",
        ),
        (
            {"num_classes": 2},
            "`num_classes` must be 3 (pedestrian, two-wheeler, car) for {root}, but is 2. Other "
            "classes are "
            'declared as "class_names" in {root}/dataset.json.',
        ),
    ],
)
def test_options_that_do_not_fit(tmp_path, options, message):
    write_sequence(tmp_path / "train" / "a")
    assert (
        error_of(lambda: open_rvt(tmp_path, **options))
        == f"ConfigError: {message.format(root=tmp_path)}"
    )


def test_playing_histograms_faster_is_refused(tmp_path):
    write_sequence(tmp_path / "train" / "a")
    assert error_of(lambda: open_rvt(tmp_path).load_at_speed(0, 2.0)) == (
        "ConfigError: `speed_aug` must be False for `data_name` gen4, whose frames are not made "
        "from events here, but is True."
    )


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_read_the_same_after_the_main_process_has_read(tmp_path, workers):
    for number in range(3):
        write_sequence(tmp_path / "train" / f"s{number}", histograms=some_histograms(seed=number))
    dataset = open_rvt(tmp_path)
    dataset.load(0)  # opens a file before the workers are forked
    loader = build_eval_loader(
        dataset,
        LetterboxPolicy((32, 32)),
        batch_size=2,
        num_workers=workers,
        device=torch.device("cpu"),
    )
    frames = torch.cat([batch.events for batch in loader])
    for number in range(3):
        np.testing.assert_array_equal(
            frames[2 * number + 1, :, 0], summed(some_histograms(seed=number))[2:]
        )


def test_an_open_recording_is_pickled_as_its_path(tmp_path):
    write_sequence(tmp_path / "train" / "a")
    dataset = open_rvt(tmp_path)
    frame = dataset.load(1)
    assert torch.equal(pickle.loads(pickle.dumps(dataset)).load(1).events, frame.events)
    path = tmp_path / "train" / "a" / HISTOGRAMS / "event_representations_ds2_nearest.h5"
    recording = pickle.loads(pickle.dumps(HistogramFile(path)))
    np.testing.assert_array_equal(recording.last(3, 2), some_histograms()[2:4])


def test_survey_of_a_sequence(tmp_path):
    histograms = some_histograms()
    histograms[1:5] = 0
    write_sequence(
        tmp_path / "train" / "a",
        histograms=histograms,
        histogram_numbers=[1, 4],
        labels=[(100_000, 2, 2, 5, 6, 0), (250_000, 12, 10, 9, 9, 1)],
    )
    source = DATASETS["gen4"].source(tmp_path, "train")
    survey = survey_recording(source, source.recordings[0], event_reach_us(source, -200, 4))
    assert (survey.events, survey.histograms) == (int(histograms.astype(int).sum()), 6)
    assert (survey.duration_us, survey.frames, survey.boxes) == (300_000, 2, [1, 1, 0])
    labels = f"{tmp_path}/train/a/labels_v2/labels.npz"
    assert [
        (problem.kind, problem.where, problem.detail, problem.fatal) for problem in survey.problems
    ] == [
        (
            "boxes partly out of the frame",
            labels,
            "1 of 2, the first at 250000 µs: x=6, y=5, w=4.5, h=4.5",
            False,
        ),
        ("labels without events", labels, "1 of 2 labelled times, the first at 250000 µs", False),
    ]
    longer = survey_recording(source, source.recordings[0], event_reach_us(source, -200, 5))
    assert longer.problems[1:] == []


def test_two_sizes_in_one_dataset(tmp_path):
    write_sequence(tmp_path / "train" / "a")
    write_sequence(tmp_path / "train" / "b", histograms=some_histograms(hw=(8, 6)))
    path = tmp_path / "train" / "b" / HISTOGRAMS / "event_representations_ds2_nearest.h5"
    dataset = open_rvt(tmp_path)
    assert error_of(lambda: dataset.load(2)) == (
        f"DataError: {path} must have the size of its dataset, 6x8 (height x width), but has 8x6. "
        "Put other sensors in another folder."
    )


def test_a_dataset_preprocessed_with_three_classes_does_not_have_seven(tmp_path):
    write_sequence(tmp_path / "train" / "a")
    assert error_of(lambda: open_rvt(tmp_path, kind=GEN4_ALL, num_classes=7)) == (
        f"ConfigError: `num_classes` must be 3 (pedestrian, two-wheeler, car) for {tmp_path}, but "
        f'is 7. Other classes are declared as "class_names" in {tmp_path}/dataset.json.'
    )


def test_labels_of_a_preprocessed_dataset_are_not_filtered_again(tmp_path):
    write_sequence(tmp_path / "train" / "a")
    source = DATASETS["gen4"].source(tmp_path, "train")
    assert error_of(lambda: source.filtering_labels(LabelFilter(30, 10))) == (
        f"ConfigError: `label_filter` must be False for {tmp_path}, whose labels were filtered "
        "when it was preprocessed, but is True."
    )


def test_events_cannot_be_dropped_from_histograms(tmp_path):
    write_sequence(tmp_path / "train" / "a")
    source = DATASETS["gen4"].source(tmp_path, "train")
    assert error_of(source.dropping_invalid) == (
        f"ConfigError: `drop_invalid` must be False for {tmp_path}, whose frames are not made from "
        "events here, but is True."
    )
