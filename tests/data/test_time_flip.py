"""Time flip: recordings of training samples played backwards."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from raw_layout import SENSOR_HW, open_dataset, some_events, write_recording
from strategies import events as drawn_events

from easnn.data import (
    DetectionDataset,
    Frame,
    LetterboxPolicy,
    RequestedSamples,
    SampleRequest,
)
from easnn.events import LoadedRecording, ReversedRecording, open_dat, pack_events
from easnn.representations import FrameSpec, make_frame
from easnn.utils.errors import ConfigError

POLICY = LetterboxPolicy((32, 64))
HW = (4, 5)


def loaded(events):
    """A recording of these events."""
    return LoadedRecording(Path("nowhere"), HW, lambda _: (events.copy(), None))


recordings = drawn_events(
    sensor_hw=HW, first_us=st.just(1), gaps_us=st.integers(0, 9), fewest=1
).map(loaded)


def test_times_are_mirrored_and_polarities_swapped():
    recording = loaded(pack_events([3, 10, 10, 14], [0, 1, 2, 3], [0, 0, 1, 1], [0, 1, 0, 1]))
    played = ReversedRecording(recording, about_us=10)
    assert (played.first_us, played.last_us, len(played)) == (5, 16, 4)
    assert (played.path, played.sensor_hw) == (Path("nowhere"), HW)
    assert played.events().tolist() == [(5, 3, 1, 0), (9, 2, 1, 1), (9, 1, 0, 0), (16, 0, 0, 1)]
    # The events at the moment and after it are before it now.
    assert played.window(0, 10).tolist() == played.events()[:3].tolist()
    assert recording.events()["t_us"].tolist() == [3, 10, 10, 14]


@given(recordings, st.integers(-50, 400), st.integers(-50, 400), st.integers(0, 200))
def test_windows_are_parts_of_the_reversed_recording(recording, about_us, start_us, length_us):
    played = ReversedRecording(recording, about_us)
    events = played.events()
    assert (np.diff(events["t_us"]) >= 0).all()
    inside = (events["t_us"] >= start_us) & (events["t_us"] < start_us + length_us)
    assert np.array_equal(played.window(start_us, start_us + length_us), events[inside])
    assert np.array_equal(ReversedRecording(played, about_us).events(), recording.events())


@pytest.mark.parametrize("aggregation", ["micro_sum", "sum"])
@given(recording=recordings, time_us=st.integers(-50, 400))
def test_a_frame_is_that_of_the_window_after_the_label_backwards(aggregation, recording, time_us):
    # A window of 1 ms holds the whole recording.
    spec = FrameSpec(window=-1, Tm=4, aggregation=aggregation, slicing="window")
    backwards = make_frame(spec, recording, time_us, HW, -1.0)
    if len(recording.window(time_us, time_us + 1000)):
        after = make_frame(spec, recording, time_us + 1000, HW)
        assert backwards.equal(after.flip(1, 2))  # slices, polarities
    else:
        assert not backwards.any()


def test_the_recording_as_a_whole_can_be_played_backwards():
    recording = loaded(pack_events([0, 1, 7], [0, 1, 2], [0, 0, 1], [0, 1, 0]))
    spec = FrameSpec(window=0, Tm=2, slicing="window")
    whole = make_frame(spec, recording, 3, HW)
    assert make_frame(spec, recording, 3, HW, -1.0).equal(whole.flip(1, 2))


def test_a_silent_window_is_replaced_by_the_one_after_it(tmp_path):
    write_recording(tmp_path / "train", "a", events=pack_events([95_000], [3], [2], [1]))
    dataset = open_dataset(tmp_path, aggregation="sum")
    recording = open_dat(tmp_path / "train/a_td.dat")
    frame = make_frame(dataset.frame_spec, recording, 50_000, SENSOR_HW, -1.0)
    assert frame.nonzero().tolist() == [[0, 0, 0, 2, 3]]


def test_speed_and_direction_go_together(tmp_path):
    write_recording(tmp_path / "train", "a", boxes=[(20_000, 4, 5, 10, 8, 0)])
    dataset = open_dataset(tmp_path, aggregation="sum")
    t_us = some_events("a")["t_us"]
    for speed in (0.5, 1.0, 2.0):
        frame = dataset.load_at_speed(0, -speed)
        assert frame.events.sum() == ((t_us >= 20_000) & (t_us < 20_000 + 20_000 * speed)).sum()
        assert (frame.time_us, frame.boxes.tolist()) == (20_000, [[0, 4, 5, 10, 8]])


class Speeds(DetectionDataset):
    """Its frames hold the speed at which they were asked for."""

    name, split, sensor_hw, class_names = "speeds", "train", (24, 32), ("car",)

    def __len__(self):
        return 2000

    def load(self, index):
        return self.load_at_speed(index, 1.0)

    def load_at_speed(self, index, speed):
        return Frame(torch.tensor([speed]), torch.zeros(0, 5), 0, "a")


def speeds(speed_range=None, time_flip=0.0, epoch=0):
    samples = RequestedSamples(Speeds(), POLICY, 3, speed_range, time_flip)
    requests = [SampleRequest(epoch, index) for index in range(2000)]
    return np.array([samples[request].events.item() for request in requests])


def test_the_share_of_samples_that_are_flipped():
    assert set(speeds()) == {1.0}
    flipped = speeds(time_flip=0.3)
    assert set(flipped) == {-1.0, 1.0}
    assert (flipped < 0).mean() == pytest.approx(0.3, abs=0.03)
    assert not np.array_equal(flipped, speeds(time_flip=0.3, epoch=1))
    assert np.array_equal(flipped, speeds(time_flip=0.3))


def test_a_flip_does_not_change_the_speed():
    both = speeds((0.5, 2.0), 0.5)
    assert np.array_equal(abs(both), speeds((0.5, 2.0)).astype(both.dtype))
    assert np.array_equal(both < 0, speeds(time_flip=0.5) < 0)


def test_a_dataset_of_ready_made_frames_says_that_it_cannot():
    class Histograms(DetectionDataset):
        name = "gen4"

        def __len__(self):
            return 1

        def load(self, index):
            raise AssertionError

    with pytest.raises(ConfigError) as caught:
        Histograms().load_at_speed(0, -1.0)
    assert str(caught.value) == (
        "`time_flip` must be 0 for `data_name` gen4, whose frames are not made from events here, "
        "but is more."
    )
