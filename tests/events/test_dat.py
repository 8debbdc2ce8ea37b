"""DAT files: layouts, headers, round trips, real recordings."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from easnn.events import EVENT_DTYPE, open_dat, pack_events, write_dat

pytestmark = pytest.mark.usefixtures("decoders")

EVENTS = pack_events(
    [0, 7, 7, 2**31, 2**32 - 1, 2**32, 2**32 + 9],
    [0, 303, 5, 6, 7, 8, 9],
    [239, 0, 1, 2, 3, 4, 5],
    [0, 1] * 3 + [0],
)


@pytest.mark.parametrize("event_type", [0, 12])
@pytest.mark.parametrize("sensor_hw", [None, (240, 304)])
def test_what_is_written_is_read(tmp_path, event_type, sensor_hw):
    path = tmp_path / "a_td.dat"
    write_dat(path, EVENTS, sensor_hw=sensor_hw, event_type=event_type)
    recording = open_dat(path)
    events = recording.events()
    assert events.dtype == EVENT_DTYPE
    assert np.array_equal(events, EVENTS)
    assert (len(recording), recording.first_us, recording.last_us) == (7, 0, 2**32 + 9)
    assert (recording.path, recording.sensor_hw) == (path, sensor_hw)


def test_bytes_of_a_written_file(tmp_path):
    write_dat(
        tmp_path / "a.dat",
        pack_events([2**32 - 1, 2**32 + 2], [3, 4], [1, 2], [1, 0]),
        sensor_hw=(10, 20),
    )
    assert (tmp_path / "a.dat").read_bytes() == (
        b"% Data file containing CD events.\n% Version 2\n% Height 10\n% Width 20\n\x0c\x08"
        b"\xff\xff\xff\xff\x03\x40\x00\x10"
        b"\x02\x00\x00\x00\x04\x80\x00\x00"
    )


def test_largest_coordinates(tmp_path):
    events = pack_events([1], [2**14 - 1], [2**14 - 1], [1])
    write_dat(tmp_path / "a.dat", events)
    assert np.array_equal(open_dat(tmp_path / "a.dat").events(), events)


def test_version_1_has_smaller_fields(raw_dat):
    path = raw_dat(
        [5, 6], [303 | 239 << 9 | 1 << 17, 511 | 255 << 9], b"% Version 1\n% Height 240\n\x00\x08"
    )
    assert open_dat(path).events().tolist() == [(5, 303, 239, 1), (6, 511, 255, 0)]


def test_file_without_a_header_has_no_type_and_size_bytes(raw_dat):
    recording = open_dat(raw_dat([9, 10], [7 | 8 << 14 | 1 << 28, 1], header=b""))
    assert recording.events().tolist() == [(9, 7, 8, 1), (10, 1, 0, 0)]
    assert recording.sensor_hw is None


@pytest.mark.parametrize(
    "first_us", [ord("%"), ord("%") | ord(" ") << 8, int.from_bytes(b"%abc", "little")]
)
def test_file_without_a_header_may_start_with_a_percent_sign(raw_dat, first_us):
    recording = open_dat(
        raw_dat([first_us, first_us + 1], [1 << 28 | 16383 << 14 | 97, 0], header=b"")
    )
    assert recording.events().tolist() == [(first_us, 97, 16383, 1), (first_us + 1, 0, 0, 0)]


@pytest.mark.parametrize(
    ("lines", "sensor_hw"),
    [
        (b"% Version 2\r\n% Height 240\r\n% Width 304\r\n", (240, 304)),
        (b"% Version 2.0\n% width 304\n%   HEIGHT   240\n", (240, 304)),
        (b"% Height 240\n", None),
        (b"%\n% Date 2019-04-04 10:01:28\n% ao\xc3\xbbt\n", None),
    ],
)
def test_header_variants(raw_dat, lines, sensor_hw):
    assert open_dat(raw_dat([3], [1], lines + b"\x00\x08")).sensor_hw == sensor_hw


def test_event_bytes_that_look_like_another_header_line_are_events(raw_dat):
    path = raw_dat([ord("%")], [1], b"% Version 2\n\x00\x08")
    assert open_dat(path).events().tolist() == [(ord("%"), 1, 0, 0)]


def test_given_sensor_size_replaces_the_one_in_the_header(tmp_path):
    write_dat(tmp_path / "a.dat", EVENTS, sensor_hw=(240, 304))
    assert open_dat(tmp_path / "a.dat", sensor_hw=(720, 1280)).sensor_hw == (720, 1280)


def test_window_is_half_open_and_fresh(tmp_path):
    write_dat(tmp_path / "a.dat", EVENTS)
    recording = open_dat(tmp_path / "a.dat")
    assert recording.window(7, 2**32)["t_us"].tolist() == [7, 7, 2**31, 2**32 - 1]
    assert recording.window(-50, 8)["t_us"].tolist() == [0, 7, 7]
    assert recording.window(2**32, 2**40)["t_us"].tolist() == [2**32, 2**32 + 9]
    assert (
        len(recording.window(8, 8))
        == len(recording.window(9, 8))
        == len(recording.window(2**40, 2**41))
        == 0
    )
    recording.window(0, 100)["x"] = 0
    assert np.array_equal(recording.events(), EVENTS)


def test_records_are_decoded_in_blocks(raw_dat, monkeypatch):
    """Late records and wraps of the counter at the ends of blocks and within them."""
    rng = np.random.default_rng(0)
    written_us = 2**32 - 3000 + np.cumsum(rng.integers(-20, 30, 1000))
    words = rng.integers(0, 2**29, 1000)
    recording = open_dat(raw_dat(written_us % 2**32, words))
    expected = pack_events(
        np.maximum.accumulate(written_us), words & 0x3FFF, words >> 14 & 0x3FFF, words >> 28
    )
    for records in (1, 7, 64, 65_536):
        monkeypatch.setattr("easnn.events.dat.BLOCK_RECORDS", records)
        assert np.array_equal(recording.events(), expected)
        for start_us, end_us in ((0, 2**32), (2**32 - 50, 2**32 + 900), (2**32 + 5, 2**33)):
            assert np.array_equal(
                recording.window(start_us, end_us), _between(expected, start_us, end_us)
            )


def test_recording_is_pickled_as_its_path(tmp_path):
    write_dat(tmp_path / "a.dat", np.repeat(EVENTS[:1], 100_000))
    recording = open_dat(tmp_path / "a.dat", sensor_hw=(720, 1280))
    pickled = pickle.dumps(recording)
    copy = pickle.loads(pickled)
    assert len(pickled) < 1000
    assert copy.sensor_hw == (720, 1280)
    assert np.array_equal(copy.events(), recording.events())


def test_a_failed_write_keeps_the_old_file(tmp_path):
    write_dat(tmp_path / "a.dat", EVENTS)
    with pytest.raises(Exception, match="polarity"):
        write_dat(tmp_path / "a.dat", pack_events([1], [1], [1], [2]))
    assert np.array_equal(open_dat(tmp_path / "a.dat").events(), EVENTS)
    assert [path.name for path in tmp_path.iterdir()] == ["a.dat"]


@pytest.mark.parametrize(
    ("name", "count", "sensor_hw", "last_us"),
    [
        ("atis_street/atis_street_td.dat", 242_040, (240, 304), 2_999_577),
        ("ncars_dat/obj_004211_td.dat", 1374, None, 99_806),
        ("ncars_dat/obj_004414_td.dat", 1756, None, 99_935),
        ("pedro_gen1_layout/test/frame0000136_td.dat", 82_224, (260, 346), 40_000),
    ],
)
def test_real_recordings(real: Path, tmp_path, name, count, sensor_hw, last_us):
    recording = open_dat(real / name)
    events = recording.events()
    assert (len(recording), recording.sensor_hw, recording.last_us) == (count, sensor_hw, last_us)
    assert np.array_equal(
        recording.window(last_us // 3, last_us // 2), _between(events, last_us // 3, last_us // 2)
    )

    write_dat(tmp_path / "copy_td.dat", events, sensor_hw=sensor_hw, event_type=0)
    assert (tmp_path / "copy_td.dat").read_bytes()[-8 * count :] == (real / name).read_bytes()[
        -8 * count :
    ]


def _between(events: np.ndarray, start_us: int, end_us: int) -> np.ndarray:
    return events[(events["t_us"] >= start_us) & (events["t_us"] < end_us)]
