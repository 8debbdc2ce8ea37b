"""HDF5 files: layouts, round trips, lazy windows, bad files."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from easnn.events import open_hdf5, pack_events, write_hdf5, write_hdf5_pieces
from easnn.events.outside import ADVICE
from easnn.utils.errors import DataError

EVENTS = pack_events(
    [500, 1700, 1700, 4000, 2**40], [0, 303, 5, 6, 7], [239, 0, 1, 2, 3], [0, 1, 0, 1, 1]
)


@pytest.fixture
def stored(tmp_path: Path) -> Callable[..., Path]:
    """Write datasets by their paths, those of four events by default; ``None`` omits a dataset."""

    def write(**arrays: Any) -> Path:
        path = tmp_path / "a.h5"
        usual = {
            "t": [500, 1700, 1700, 4000],
            "x": [1, 2, 3, 4],
            "y": [5, 6, 7, 8],
            "p": [0, 1, 0, 1],
        }
        with h5py.File(path, "w") as file:
            for name, values in (usual | arrays).items():
                if values is not None:
                    file[name if name in ("ms_to_idx", "t_offset") else f"events/{name}"] = values
        return path

    return write


@pytest.mark.parametrize("sensor_hw", [None, (240, 304)])
def test_what_is_written_is_read_and_written_again(tmp_path, sensor_hw):
    path = tmp_path / "a.h5"
    write_hdf5(path, EVENTS, sensor_hw=sensor_hw)
    recording = open_hdf5(path)
    assert np.array_equal(recording.events(), EVENTS)
    assert (len(recording), recording.first_us, recording.last_us) == (5, 500, 2**40)
    assert (recording.path, recording.sensor_hw) == (path, sensor_hw)
    assert open_hdf5(path, sensor_hw=(720, 1280)).sensor_hw == (720, 1280)
    again = tmp_path / "again.h5"
    write_hdf5(again, recording.events(), sensor_hw=recording.sensor_hw)
    assert again.read_bytes() == path.read_bytes()
    write_hdf5_pieces(again, [EVENTS[:2], EVENTS[:0], EVENTS[2:]], sensor_hw=sensor_hw)
    assert np.array_equal(open_hdf5(again).events(), EVENTS)


def test_layout_of_rvt_with_signed_polarity(stored):
    path = stored(
        p=np.array([-1, 1, -1, 1], "i1"),
        t=np.array([500, 1700, 1700, 4000], "u8"),
        height=240,
        width=304,
    )
    recording = open_hdf5(path)
    assert recording.sensor_hw == (240, 304)
    assert recording.events().tolist() == [
        (500, 1, 5, 0),
        (1700, 2, 6, 1),
        (1700, 3, 7, 0),
        (4000, 4, 8, 1),
    ]


def test_layout_of_dsec(stored):
    path = stored(
        t=np.array([500, 1700, 1700, 4000], "u4"),
        ms_to_idx=np.array([0, 1, 3, 3, 3], "u8"),
        t_offset=10**12,
    )
    recording = open_hdf5(path)
    assert (recording.first_us, recording.last_us) == (10**12 + 500, 10**12 + 4000)
    for start_us in range(0, 6000, 100):
        for end_us in range(start_us, 6000, 700):
            t_us = recording.window(10**12 + start_us, 10**12 + end_us)["t_us"] - 10**12
            assert t_us.tolist() == [t for t in (500, 1700, 1700, 4000) if start_us <= t < end_us]


def test_a_time_that_the_index_of_dsec_does_not_know(stored):
    t = np.array([500, 1700, 2200, 3300, 4400], "u4")
    columns = {name: np.zeros(5, "u2") for name in "xyp"}
    path = stored(t=t, ms_to_idx=np.array([0, 1, 2, 3, 4], "u8"), **columns)
    assert open_hdf5(path).window(0, 3500)["t_us"].tolist() == [500, 1700, 2200, 3300]
    with h5py.File(path, "r+") as file:
        file["events/t"][1] = 4300  # damaged
    recording = open_hdf5(path)
    assert recording.window(4350, 5000)["t_us"].tolist() == [4400]
    with pytest.raises(DataError) as error:
        recording.window(0, 3500)
    assert str(error.value) == (
        f"`ms_to_idx` of {path} must tell the first event at or after each ms, but the time of an "
        "event before 3500 µs is 4300 µs. Write the file again from its recording."
    )


def test_windows_of_a_long_file_with_late_events(tmp_path, monkeypatch):
    monkeypatch.setattr("easnn.events.hdf5.BLOCK_EVENTS", 64)
    rng = np.random.default_rng(0)
    t_us = np.sort(rng.integers(0, 50_000, 1000)) - rng.integers(0, 300, 1000)
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["events/t"] = t_us
        for name in "xyp":
            file[f"events/{name}"] = np.arange(1000) % 2
    in_order = np.maximum.accumulate(t_us)
    recording = pickle.loads(pickle.dumps(open_hdf5(path)))
    assert np.array_equal(recording.events()["t_us"], in_order)
    assert recording.late_events() == np.count_nonzero(t_us < in_order)
    for start_us, end_us in rng.integers(-1000, 51_000, (300, 2)).tolist():
        expected = in_order[(in_order >= start_us) & (in_order < end_us)]
        assert np.array_equal(recording.window(start_us, end_us)["t_us"], expected)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"p": None, "x": None},
            "{path} must have the datasets events/t, events/x, events/y, events/p, but events/x, "
            "events/p is missing.",
        ),
        (
            {"x": [1, 2, 3]},
            "The columns of {path} must be equally long, but are: t 4, x 3, y 4, p 4.",
        ),
        (
            {"t": [0.1, 0.2, 0.3, 0.4]},
            "`events/t` of {path} must be integers [N], but is float64 [4]. Times are in µs.",
        ),
        (
            {name: np.zeros(0, int) for name in "txyp"},
            "{path} has no events. Copy or record it again.",
        ),
        (
            {"height": 0, "width": 5},
            "`events/height` of {path} must be one number from 1 to 65536, but is 0.",
        ),
        (
            {"ms_to_idx": [[0]]},
            "`ms_to_idx` of {path} must be integers [ms], but is int64 [1, 1].",
        ),
        (
            {"t_offset": 0.5},
            "`t_offset` of {path} must be one number from -2305843009213693952 to "
            "2305843009213693952, but is 0.5.",
        ),
    ],
)
def test_wrong_layouts(stored, arrays, message):
    path = stored(**arrays)
    with pytest.raises(DataError, match=f"^{re.escape(message.format(path=path))}$"):
        open_hdf5(path)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"ms_to_idx": [0, 9, 9]},
            "`ms_to_idx` of {path} must rise from 0 to the 4 events, but is 9 and 9 for 1 and 2 "
            "ms.",
        ),
        (
            {"ms_to_idx": [0, 2, 3]},
            "`ms_to_idx` of {path} must tell the first event at or after each ms, but says that "
            "for 1 ms it is event 2. Write the file again from its recording.",
        ),
        (
            {"t": [500, 2_000_000, 900_000, 3_000_000]},
            "Event 2 of {path} must not be more than 1 s before an earlier event of the file "
            "(times run backwards), but is t_us=900000, x=3, y=7, p=0.",
        ),
        (
            {"x": [1, -2, 3, 4]},
            "Event 1 of {path} must lie at 0 to 65535, but is t=1700, x=-2, y=6, p=1.",
        ),
        (
            {"p": [0, 2, 0, 1]},
            "Event 1 of {path} must have a polarity of 0 or 1, or of -1 or 1, but is t=1700, x=2, "
            "y=6, p=2.",
        ),
        (
            {"height": 7, "width": 5},
            "Event 2 of {path} must lie inside the sensor, 5×7 pixels, but is t_us=1700, x=3, y=7, "
            f"p=0.{ADVICE}",
        ),
    ],
)
def test_wrong_events_are_found_when_they_are_read(stored, arrays, message):
    path = stored(**arrays)
    recording = open_hdf5(path)
    with pytest.raises(DataError, match=f"^{re.escape(message.format(path=path))}$"):
        recording.window(1000, 2_500_000)


def test_a_clock_that_restarts_is_found_when_a_file_is_opened(stored, monkeypatch):
    monkeypatch.setattr("easnn.events.hdf5.BLOCK_EVENTS", 100)
    t_us = np.arange(1000) * 10_000
    t_us[550:] -= 5_500_000
    ones = np.ones(1000, int)
    path = stored(t=t_us, x=ones, y=ones, p=ones)
    message = f"^Event 600 of {path} must not be more than 1 s before an earlier event of the file "
    with pytest.raises(DataError, match=message + r".*, but is t_us=500000, x=1, y=1, p=1\.$"):
        open_hdf5(path)


def test_late_events_are_counted_within_a_second(stored, monkeypatch):
    monkeypatch.setattr("easnn.events.hdf5.BLOCK_EVENTS", 100)
    t_us = np.arange(1000) * 10_000
    t_us[[301, 650]] -= 1_000_000
    ones = np.ones(1000, int)
    assert open_hdf5(stored(t=t_us, x=ones, y=ones, p=ones)).late_events() == 2
    t_us[651] -= 2_000_000
    path = stored(t=t_us, x=ones, y=ones, p=ones)
    message = f"^Event 651 of {path} must not be more than 1 s before an earlier event of the file "
    with pytest.raises(DataError, match=message):
        open_hdf5(path).late_events()


def test_files_that_are_none(tmp_path):
    path = tmp_path / "a.h5"
    with pytest.raises(DataError, match=f"^Cannot read {path}: No such file or directory.$"):
        open_hdf5(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(DataError, match=f"^{path} is not a whole HDF5 file: .*Copy it again.$"):
        open_hdf5(path)


def test_cut_file(tmp_path):
    path = tmp_path / "a.h5"
    write_hdf5(path, EVENTS)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(
        DataError, match=f"^{path} is not a whole HDF5 file: .*truncated.* Copy it again.$"
    ):
        open_hdf5(path)


def test_layout_of_prophesee_is_refused(tmp_path):
    path = tmp_path / "a.hdf5"
    with h5py.File(path, "w") as file:
        file["CD/events"] = np.zeros(3, [("x", "u2"), ("y", "u2"), ("p", "i2"), ("t", "i8")])
    message = (
        f"{path} is in Prophesee's own HDF5 layout (CD/events, ECF filter), which cannot be read "
        "here. Convert it to DAT with `metavision_file_to_dat -i FILE` of the Metavision SDK or "
        "OpenEB."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        open_hdf5(path)


def test_filter_that_is_not_there(stored, monkeypatch):
    path = stored(t=None)
    with h5py.File(path, "a") as file:
        file.create_dataset("events/t", data=np.arange(4), chunks=(4,), compression="gzip")
    monkeypatch.setattr("h5py.h5z.filter_avail", lambda code: False)
    message = (
        f"`events/t` of {path} is compressed by an HDF5 filter that neither h5py nor hdf5plugin "
        "has (number 1). Write it again with Blosc or gzip."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        open_hdf5(path)


def test_shape_that_promises_more_than_the_file_holds(stored):
    path = stored(t=None, x=None, y=None, p=None)
    with h5py.File(path, "a") as file:
        for name in "txyp":
            file.create_dataset(f"events/{name}", shape=(10**15,), dtype="i8", chunks=(1000,))
    message = (
        f"`events/t` of {path} promises 8000000000000000 bytes, which the file does not hold. The "
        "file is damaged; copy it again."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        open_hdf5(path)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (EVENTS[:0], "{path} must get at least one event, but gets none."),
        (
            pack_events([5, 6, 5], 0, 0, 0),
            "Event 2 of {path} must not be before the previous event, but is t_us=5, x=0, y=0, "
            "p=0.",
        ),
        (
            pack_events([5, 2**61 + 1], 0, 0, 0),
            "Event 1 of {path} must not be after 2⁶¹ µs, but is t_us=2305843009213693953, x=0, "
            "y=0, p=0.",
        ),
        (
            pack_events([5], [20], 0, 0),
            "Event 0 of {path} must lie inside the sensor, 20×10 pixels, but is t_us=5, x=20, y=0, "
            "p=0.",
        ),
    ],
)
def test_events_that_cannot_be_written(tmp_path, events, message):
    path = tmp_path / "a.h5"
    with pytest.raises(DataError, match=f"^{re.escape(message.format(path=path))}$"):
        write_hdf5(path, events, sensor_hw=(10, 20))
    assert not list(tmp_path.iterdir())
