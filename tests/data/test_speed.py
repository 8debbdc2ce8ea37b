"""Temporal speed augmentation: recordings of training samples played faster or slower."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from raw_layout import SENSOR_HW, open_dataset, some_events, write_recording

from easnn.data import (
    DetectionDataset,
    Frame,
    LetterboxPolicy,
    RequestedSamples,
    SampleRequest,
    build_train_loader,
)
from easnn.events import EventWindow, open_dat, pack_events, play_at_speed
from easnn.representations import make_frame
from easnn.utils.errors import ConfigError

POLICY = LetterboxPolicy((32, 64))


@pytest.mark.parametrize(
    ("duration_us", "times"),
    [
        (200, [0, 50, 198, 199]),
        (100, [100, 125, 199, 199]),
        (50, [150, 162, 199, 199]),
        (400, [-200, -100, 196, 198]),
    ],
)
def test_times_are_scaled_from_the_end_and_stay_in_the_window(duration_us, times):
    window = EventWindow(pack_events([0, 50, 198, 199], [1, 2, 3, 4], 0, 1), 0, 200)
    before = window.events.copy()
    played = play_at_speed(window, duration_us)
    assert (played.start_us, played.end_us) == (200 - duration_us, 200)
    assert played.events["t_us"].tolist() == times
    assert played.events["x"].tolist() == [1, 2, 3, 4]
    assert np.array_equal(window.events, before)


def test_a_faster_recording_brings_more_of_it_into_the_window(tmp_path):
    write_recording(tmp_path / "train", "a", boxes=[(80_000, 4, 5, 10, 8, 0)])
    dataset = open_dataset(tmp_path, aggregation="sum")
    t_us = some_events("a")["t_us"]
    for speed in (0.5, 1.0, 2.0):
        frame = dataset.load_at_speed(0, speed)
        assert frame.events.sum() == ((t_us >= 80_000 - 20_000 * speed) & (t_us < 80_000)).sum()
        assert (frame.time_us, frame.boxes.tolist()) == (80_000, [[0, 4, 5, 10, 8]])
    assert dataset.load_at_speed(0, 1.0).events.equal(dataset.load(0).events)


def test_a_faster_recording_fades_less(tmp_path):
    write_recording(
        tmp_path / "train",
        "a",
        events=pack_events([40_000], [3], [2], [1]),
        boxes=[(50_000, 4, 5, 10, 8, 0)],
    )
    dataset = open_dataset(tmp_path, aggregation="timesurface", Tm=1, slicing="window")
    for speed in (1.0, 2.0):
        value = dataset.load_at_speed(0, speed).events[0, 0, 1, 2, 3].item()
        assert value == pytest.approx(np.exp(-10 / 50 / speed), rel=2**-11)


def test_a_silent_window_is_replaced_by_the_one_before_it_at_the_same_speed(tmp_path):
    write_recording(tmp_path / "train", "a", events=pack_events([500], [3], [2], [1]))
    dataset = open_dataset(tmp_path, aggregation="sum")
    recording = open_dat(tmp_path / "train/a_td.dat")
    frame = make_frame(dataset.frame_spec, recording, 50_000, SENSOR_HW, 2.0)
    assert frame.nonzero().tolist() == [[0, 0, 1, 2, 3]]


def test_the_speed_is_a_function_of_seed_epoch_and_index(small_dataset):
    def seen(seed, epoch, index):
        samples = RequestedSamples(small_dataset, POLICY, seed, (0.25, 4.0))
        return samples[SampleRequest(epoch, index)].events

    assert seen(3, 1, 7).equal(seen(3, 1, 7))
    for keys in ([(s, 1, 7) for s in range(20)], [(3, e, 7) for e in range(20)]):
        assert len({int(seen(*key).sum()) for key in keys}) > 5


def test_speeds_are_halved_as_often_as_doubled():
    class Speeds(DetectionDataset):
        name, split, sensor_hw, class_names = "speeds", "train", (24, 32), ("car",)

        def __len__(self):
            return 2000

        def load(self, index):
            raise AssertionError("only with speed")

        def load_at_speed(self, index, speed):
            return Frame(torch.tensor([speed]), torch.zeros(0, 5), 0, "a")

    samples = RequestedSamples(Speeds(), POLICY, 3, (0.5, 2.0))
    speeds = np.array([samples[SampleRequest(0, index)].events.item() for index in range(2000)])
    assert 0.5 <= speeds.min() < 0.51
    assert 1.96 < speeds.max() <= 2.0
    assert (speeds < 1).mean() == pytest.approx(0.5, abs=0.03)
    assert (speeds < 2**-0.5).mean() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_do_not_depend_on_the_number_of_workers(small_dataset, num_workers):
    def batches(workers):
        loader = build_train_loader(
            small_dataset,
            POLICY,
            batch_size=4,
            seed=3,
            num_workers=workers,
            device=torch.device("cpu"),
            speed_range=(0.5, 2.0),
        )
        return [(batch.events.tolist(), batch.indices, batch.boxes.tolist()) for batch in loader]

    assert batches(num_workers) == batches(0)


def test_a_dataset_of_ready_made_frames_says_that_it_cannot():
    class Histograms(DetectionDataset):
        name = "gen4"

        def __len__(self):
            return 1

        def load(self, index):
            raise AssertionError

    with pytest.raises(ConfigError) as caught:
        Histograms().load_at_speed(0, 2.0)
    assert str(caught.value) == (
        "`speed_aug` must be False for `data_name` gen4, whose frames are not made from events "
        "here, but is True."
    )
