"""Every bad DAT file, and every recording that DAT cannot hold, is refused with one message."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from easnn.events import open_dat, pack_events, write_dat, write_dat_pieces
from easnn.events.outside import ADVICE
from easnn.utils.errors import DataError

pytestmark = pytest.mark.usefixtures("decoders")

LINE = b"% Data file containing CD events.\n"
EVENT = bytes(8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "{path} is empty (0 bytes). Copy or record it again."),
        (LINE, "{path} ends after its header: no event type, no event. Copy or record it again."),
        (
            LINE + b"\x0c",
            "{path} ends after its header: no event type, no event. Copy or record it again.",
        ),
        (LINE + b"\x0c\x08", "{path} has a header, but no events. Copy or record it again."),
        (
            LINE + b"\x0c\x08" + EVENT * 2 + b"\x01\x02\x03",
            "{path} is cut off, or not a DAT file: after 2 events of 8 bytes, 3 more bytes are "
            "left, at byte 52. Copy it again.",
        ),
        (
            LINE + b"\x0e\x08" + EVENT,
            "The event type of {path} must be 0 (Event2D) or 12 (CD), but is 14 (external "
            "trigger). Export the recording's CD events instead.",
        ),
        (
            LINE + b"\x28\x08" + EVENT,
            "The event type of {path} must be 0 (Event2D) or 12 (CD), but is 40 (optical flow). "
            "Export the recording's CD events instead.",
        ),
        (
            LINE + b"\xe5\x08" + EVENT,
            "The event type of {path} must be 0 (Event2D) or 12 (CD), but is 229 (unknown). Export "
            "the recording's CD events instead.",
        ),
        (
            LINE + b"\x0c\x10" + EVENT * 2,
            "The event size of {path} must be 8 bytes, but is 16. The file is damaged, or not a "
            "DAT file.",
        ),
        (
            LINE + b"% Version 3\n\x0c\x08" + EVENT,
            "`Version` in the header of {path} must be 1 or 2, but is 3.",
        ),
        (
            LINE + b"% Width three\n\x0c\x08" + EVENT,
            "`Width` in the header of {path} must be a positive number, but is 'three'.",
        ),
        (
            LINE + b"% Height 0\n\x0c\x08" + EVENT,
            "`Height` in the header of {path} must be a positive number, but is '0'.",
        ),
        (
            LINE + b"% Version 2 and on and on",
            "Header line 2 of {path} never ends, or is not text. The file is damaged, or not a DAT "
            "file.",
        ),
        (
            b"%" * 100_000,
            "Header line 1 of {path} never ends, or is not text. The file is damaged, or not a DAT "
            "file.",
        ),
        (
            LINE + b"% Vers\x00\x00\x00\x00\n\x0c\x08" + EVENT,
            "Header line 2 of {path} never ends, or is not text. The file is damaged, or not a DAT "
            "file.",
        ),
        (
            b"no events here, just a line of te",
            "{path} is not a DAT file, but text. Text is not read as events: convert it to npz, "
            "with `easnn.events.write_npz`.",
        ),
        (
            b"\x00\x05\x16\x07" + bytes(100),
            "{path} is not a DAT file, but what macOS leaves beside a file, named `._NAME`. Give "
            "NAME instead.",
        ),
        (
            b"\xff no event, and no text....",
            "{path} is cut off, or not a DAT file: after 3 events of 8 bytes, 3 more bytes are "
            "left, at byte 24. Copy it again.",
        ),
        (
            b"\xff no event, and no text.",
            "{path} is not a DAT file: it has no header, and its first bytes are not events.",
        ),
        (
            bytes(8000),
            "The last 1000 of 1000 events of {path} are zero in every byte: the file was not "
            "completely downloaded or copied. Copy it again.",
        ),
        (
            LINE + b"\x0c\x08" + bytes(8005),  # the size does not matter
            "The last 1000 of 1000 events of {path} are zero in every byte: the file was not "
            "completely downloaded or copied. Copy it again.",
        ),
        (
            bytes(8005),
            "The last 1000 of 1000 events of {path} are zero in every byte: the file was not "
            "completely downloaded or copied. Copy it again.",
        ),
        (
            LINE + b"\x0c\x08" + b"\x01" * 80 + bytes(800),
            "The last 100 of 110 events of {path} are zero in every byte: the file was not "
            "completely downloaded or copied. Copy it again.",
        ),
    ],
)
def test_bad_file(tmp_path, content, message):
    path = tmp_path / "bad_td.dat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{re.escape(message.format(path=path))}$"):
        open_dat(path)


def test_missing_file_and_directory(tmp_path: Path):
    with pytest.raises(
        DataError, match=f"^Cannot read {tmp_path}/no_td.dat: No such file or directory.$"
    ):
        open_dat(tmp_path / "no_td.dat")
    with pytest.raises(DataError, match=f"^Cannot read {tmp_path}: Is a directory.$"):
        open_dat(tmp_path)


def test_every_cut_of_a_file_is_refused_or_reads_whole_events(tmp_path):
    path = tmp_path / "cut_td.dat"
    write_dat(path, pack_events([1, 2, 3], [1, 2, 3], [4, 5, 6], [0, 1, 0]), sensor_hw=(240, 304))
    whole = path.read_bytes()
    start = len(whole) - 24
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        if size > start and (size - start) % 8 == 0:
            assert open_dat(path).events()["x"].tolist() == [1, 2, 3][: (size - start) // 8]
        else:
            with pytest.raises(DataError, match=re.escape(str(path))):
                open_dat(path)


@pytest.mark.parametrize(("x", "y"), [(304, 0), (0, 240)])
def test_event_outside_the_sensor_is_found_when_it_is_read(tmp_path, x, y):
    path = tmp_path / "a_td.dat"
    write_dat(path, pack_events([10, 20, 30, 40], [303, 0, x, 0], [239, 0, y, 0], [0, 0, 1, 0]))
    recording = open_dat(path, sensor_hw=(240, 304))
    assert len(recording.window(0, 30)) == 2
    message = (
        f"Event 2 of {path} must lie inside the sensor, 304×240 pixels, but is t_us=30, x={x}, "
        f"y={y}, p=1.{ADVICE}"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        recording.window(20, 31)
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        recording.events()


@pytest.mark.parametrize(
    ("t_us", "x", "y", "p", "message"),
    [
        (
            [5, 6, 5],
            0,
            0,
            0,
            "Event 2 of {path} must not be before the previous event, but is t_us=5, x=0, y=0, "
            "p=0.",
        ),
        (
            [-1, 6, 7],
            0,
            0,
            0,
            "Event 0 of {path} must not be before 0 µs, but is t_us=-1, x=0, y=0, p=0.",
        ),
        (
            [1, 2, 3],
            [1, 2, 20],
            [9, 9, 9],
            1,
            "Event 2 of {path} must lie inside the sensor, 20×10 pixels, but is t_us=3, x=20, y=9, "
            "p=1.",
        ),
        (
            [1, 2, 3],
            [1, 2, 3],
            [10, 9, 9],
            1,
            "Event 0 of {path} must lie inside the sensor, 20×10 pixels, but is t_us=1, x=1, y=10, "
            "p=1.",
        ),
        (
            [1, 2, 3],
            0,
            0,
            [0, 1, 2],
            "Event 2 of {path} must have a polarity of 0 or 1, but is t_us=3, x=0, y=0, p=2.",
        ),
        (
            [0, 2**32 + 3, 2**32 + 4],
            0,
            0,
            0,
            "Event 1 of {path} must come less than 2³¹ µs (35 min) after the previous one, or "
            "before 2³² µs if it is the first, since DAT keeps 32 bits of the time, but is "
            "t_us=4294967299, x=0, y=0, p=0.",
        ),
        (
            [2**32, 2**32 + 3, 2**32 + 4],
            0,
            0,
            0,
            "Event 0 of {path} must come less than 2³¹ µs (35 min) after the previous one, or "
            "before 2³² µs if it is the first, since DAT keeps 32 bits of the time, but is "
            "t_us=4294967296, x=0, y=0, p=0.",
        ),
    ],
)
def test_events_that_cannot_be_written(tmp_path, t_us, x, y, p, message):
    path = tmp_path / "a_td.dat"
    with pytest.raises(DataError, match=f"^{re.escape(message.format(path=path))}$"):
        write_dat(path, pack_events(t_us, x, y, p), sensor_hw=(10, 20))
    assert not list(tmp_path.iterdir())


def test_coordinates_must_fit_the_format(tmp_path):
    message = "must lie inside the sensor, 16384×16384 pixels, but is t_us=1, x=16384, y=0, p=0."
    with pytest.raises(DataError, match=f"^{re.escape(f'Event 0 of {tmp_path}/a.dat {message}')}$"):
        write_dat(tmp_path / "a.dat", pack_events([1], [2**14], [0], [0]))


def test_nothing_to_write_and_wrong_type(tmp_path):
    events = pack_events([1], [1], [1], [1])
    path = tmp_path / "a.dat"
    with pytest.raises(
        DataError, match=f"^{re.escape(str(path))} must get at least one event, but gets none.$"
    ):
        write_dat(path, events[:0])
    message = f"The event type of {path} must be one of [0, 12], but is 14."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        write_dat(path, events, event_type=14)


def test_random_bytes_never_raise_anything_else(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "noise_td.dat"
    for _ in range(300):
        noise = rng.integers(0, 256, int(rng.integers(1, 200)), dtype=np.uint8).tobytes()
        path.write_bytes([b"", b"%", LINE, LINE + b"\x0c\x08"][int(rng.integers(4))] + noise)
        try:
            times = open_dat(path, sensor_hw=(2**14, 2**14)).events()["t_us"]
        except DataError:
            continue
        assert (np.diff(times) >= 0).all()


def test_wraps_that_a_reader_would_not_find(tmp_path):
    path = tmp_path / "a.dat"
    message = (
        f"{path} cannot hold so sparse a recording of 437 min, since DAT keeps 32 bits of the "
        "time. Write HDF5 instead."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        write_dat(path, pack_events(np.arange(400_000) * 65_536, 0, 0, 0))
    assert not list(tmp_path.iterdir())


def test_pieces_are_checked_as_a_whole(tmp_path):
    path = tmp_path / "a.dat"
    pieces = [pack_events([5, 9], 0, 0, 0), pack_events([], 0, 0, 0), pack_events([9, 12], 0, 0, 0)]
    write_dat_pieces(path, pieces)
    assert open_dat(path).events()["t_us"].tolist() == [5, 9, 9, 12]
    message = (
        f"Event 2 of {path} must not be before the previous event, but is t_us=8, x=0, y=0, p=0."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        write_dat_pieces(path, [*pieces[:2], pack_events([8], 0, 0, 0)])
    assert len(open_dat(path)) == 4
