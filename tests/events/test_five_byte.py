from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from easnn.events import open_five_byte, pack_events, write_five_byte
from easnn.utils.errors import DataError

EVENTS = pack_events(
    [0, 7, 7, 70_000, 2**23 - 1], x=[0, 255, 3, 4, 5], y=[255, 0, 1, 2, 3], p=[1, 0, 0, 1, 1]
)


def test_bytes_are_read_as_documented(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes([17, 34, 0x80 | 0x12, 0x34, 0x56, 9, 8, 0x12, 0x34, 0x57]))
    assert open_five_byte(path).events().tolist() == [(0x123456, 17, 34, 1), (0x123457, 9, 8, 0)]


def test_write_then_read(tmp_path: Path) -> None:
    path, again = tmp_path / "a.bin", tmp_path / "b.bin"
    write_five_byte(path, EVENTS)
    recording = open_five_byte(path, sensor_hw=(256, 256))
    np.testing.assert_array_equal(recording.events(), EVENTS)
    write_five_byte(again, recording.events())
    assert path.read_bytes() == again.read_bytes()
    assert (len(recording), recording.first_us, recording.last_us) == (5, 0, 2**23 - 1)
    assert recording.late_events() == 0
    np.testing.assert_array_equal(recording.window(7, 70_000), EVENTS[1:3])
    assert len(recording.window(8, 70_000)) == 0
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(recording)).events(), EVENTS)


def test_late_events_get_the_greatest_time_before_them(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(bytes([1, 1, 0, 0, 9, 2, 2, 0, 0, 5, 3, 3, 0, 0, 12]))
    recording = open_five_byte(path)
    assert recording.events()["t_us"].tolist() == [9, 9, 12]
    assert recording.late_events() == 1
    assert recording.window(9, 10)["x"].tolist() == [1, 2]


def test_real_recording(real: Path, tmp_path: Path) -> None:
    path = real / "nmnist_bin" / "sample_nmnist.bin"
    recording = open_five_byte(path, sensor_hw=(34, 34))
    events = recording.events()
    assert len(events) == path.stat().st_size // 5
    assert 250_000 < recording.last_us < 350_000
    if recording.late_events() == 0:
        write_five_byte(tmp_path / "again.bin", events)
        assert (tmp_path / "again.bin").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "{path} is empty (0 bytes). Copy or record it again."),
        (
            bytes(13),
            "{path} is cut off, or not a file of 5-byte events: after 2 events, 3 more bytes are left, at "
            "byte "
            "10. Copy it again.",
        ),
        (
            bytes([0, 0, 0x7F, 0, 0, 0, 0, 0, 0, 1]),
            "Event 1 of {path} must not be over 2²² µs (4.2 s) before the one before it: the file is damaged "
            "or "
            "too long, but is t_us=1.",
        ),
    ],
)
def test_bad_files(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        open_five_byte(path)
    assert str(caught.value) == message.format(path=path)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"^Cannot read .*a\.bin: No such file or directory\.$"):
        open_five_byte(tmp_path / "a.bin")


@pytest.mark.parametrize(
    ("events", "problem"),
    [
        (pack_events([2**23], [1], [1], [0]), "must have a time of 0 to 2²³ − 1 µs (8.4 s)"),
        (pack_events([5, 4], [1, 1], [1, 1], [0, 0]), "must not be before the event before it"),
        (pack_events([5], [256], [1], [0]), "must lie inside the sensor, 256×256 pixels"),
        (pack_events([5], [1], [1], [2]), "must have a polarity of 0 or 1"),
    ],
)
def test_what_the_format_cannot_hold(tmp_path: Path, events: np.ndarray, problem: str) -> None:
    with pytest.raises(DataError) as caught:
        write_five_byte(tmp_path / "a.bin", events)
    assert problem in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_mutated_files_give_events_or_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    write_five_byte(path, EVENTS)
    sound = path.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(500):
        data = np.frombuffer(sound, np.uint8).copy()
        data[rng.integers(len(data), size=3)] = rng.integers(256, size=3)
        path.write_bytes(data[: rng.integers(len(data) + 1)].tobytes())
        try:
            events = open_five_byte(path, sensor_hw=(256, 256)).events()
        except DataError:
            refused += 1
        else:
            assert len(events) == path.stat().st_size // 5
            assert (np.diff(events["t_us"]) >= 0).all()
    assert 0 < refused < 500
