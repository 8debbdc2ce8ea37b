"""Formats that are loaded into memory: N-MNIST .bin, npz and AEDAT4."""

from __future__ import annotations

import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from easnn.events import (
    open_aedat4,
    open_n_mnist,
    open_npz,
    open_recording,
    pack_events,
    write_n_mnist,
    write_npz,
)
from easnn.utils.errors import DataError

pytestmark = pytest.mark.usefixtures("decoders")

EVENTS = pack_events(
    [0, 7, 7, 70_000, 2**23 - 1], [0, 255, 5, 6, 7], [255, 0, 1, 2, 3], [0, 1, 0, 1, 1]
)


def test_n_mnist_by_hand(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes([33, 12, 0x80 | 1, 2, 3, 4, 5, 0x7F, 0xFF, 0xFF]))
    assert open_n_mnist(path).events().tolist() == [(66_051, 33, 12, 1), (2**23 - 1, 4, 5, 0)]


def test_an_n_mnist_file_may_begin_as_a_header_of_dat(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes([ord("%"), 12, 0x80, 0, 3]))
    assert open_recording(path).events().tolist() == [(3, 37, 12, 1)]


def test_n_mnist_round_trip(tmp_path, real: Path):
    path = tmp_path / "a.bin"
    write_n_mnist(path, EVENTS)
    assert np.array_equal(open_n_mnist(path).events(), EVENTS)
    sample = real / "nmnist_bin" / "sample_nmnist.bin"
    recording = open_n_mnist(sample, sensor_hw=(34, 34))
    assert (len(recording), recording.first_us, recording.last_us) == (4325, 654, 311_175)
    write_n_mnist(path, recording.events())
    assert path.read_bytes() == sample.read_bytes()


def test_late_events_get_the_greatest_time_before_them(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes([1, 1, 0, 0, 9, 2, 2, 0, 0, 5, 3, 3, 0, 0, 12]))
    recording = open_n_mnist(path)
    assert recording.events()["t_us"].tolist() == [9, 9, 12]
    assert recording.late_events() == 1
    assert recording.window(9, 10)["x"].tolist() == [1, 2]
    write_n_mnist(path, EVENTS)
    assert pickle.loads(pickle.dumps(open_n_mnist(path))).late_events() == 0


@pytest.mark.parametrize("sensor_hw", [None, (256, 300)])
def test_npz_round_trip(tmp_path, sensor_hw):
    path = tmp_path / "a.npz"
    write_npz(path, EVENTS, sensor_hw=sensor_hw)
    recording = pickle.loads(pickle.dumps(open_npz(path)))
    assert np.array_equal(recording.events(), EVENTS)
    assert (recording.path, recording.sensor_hw, len(recording)) == (path, sensor_hw, 5)
    assert (recording.first_us, recording.last_us) == (0, 2**23 - 1)
    again = tmp_path / "b.npz"
    write_npz(again, recording.events(), sensor_hw=recording.sensor_hw)
    assert again.read_bytes() == path.read_bytes()


def test_windows_are_half_open_and_fresh(tmp_path):
    path = tmp_path / "a.npz"
    write_npz(path, EVENTS)
    recording = open_npz(path)
    assert recording.window(7, 70_000)["t_us"].tolist() == [7, 7]
    assert recording.window(-9, 8)["t_us"].tolist() == [0, 7, 7]
    assert (
        len(recording.window(8, 8))
        == len(recording.window(9, 8))
        == len(recording.window(2**40, 2**41))
        == 0
    )
    recording.window(0, 100)["x"] = 9
    recording.events()["x"] = 9
    assert np.array_equal(recording.events(), EVENTS)


def test_npz_of_other_programs(tmp_path):
    path = tmp_path / "a.npz"
    p = np.array([True, False])
    np.savez(
        path,
        p=p,
        t=np.array([3, 2], "u4"),
        y=np.array([1, 2], "i2"),
        x=np.array([3, 4], "u1"),
        other="text",
    )
    recording = open_npz(path, sensor_hw=(3, 5))
    assert recording.events().tolist() == [(3, 3, 1, 1), (3, 4, 2, 0)]
    np.savez(path, p=-np.ones(1, int), t=[3], y=[1], x=[2], height=4, width=5)
    recording = open_npz(path)
    assert (recording.sensor_hw, recording.events().tolist()) == ((4, 5), [(3, 2, 1, 0)])


def test_aedat4(real: Path, tmp_path):
    path = real / "recordings" / "dvxplorer_320x240.aedat4"
    recording = open_aedat4(path)
    assert (len(recording), recording.sensor_hw) == (111_954, (240, 320))
    assert recording.last_us - recording.first_us == 589_917
    assert len(recording.window(recording.first_us, recording.first_us + 1)) >= 1
    cut = tmp_path / "cut.aedat4"
    for size in (14, 1000, 100_000, 945_000):
        cut.write_bytes(path.read_bytes()[:size])
        with pytest.raises(
            DataError,
            match=f"^{cut} is damaged or cut off: its header cannot be read "
            if size <= 1000
            else f"^{cut} is damaged or cut off after [0-9]+ events: ",
        ):
            open_aedat4(cut)


STORED: dict[str, Any] = {"t": [1, 2], "x": [1, 2], "y": [1, 2], "p": [0, 1]}


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"other": 1}, "{path} must have the arrays t, x, y and p, but has other."),
        (
            STORED | {"t": [0.5, 1.5]},
            "`t` of {path} must be integers [N], but is float64 [2]. Times are in µs.",
        ),
        (
            STORED | {"p": [1]},
            "The columns of {path} must be equally long, but are: t 2, x 2, y 2, p 1.",
        ),
        (
            {name: np.zeros(0, int) for name in "txyp"},
            "{path} has no events. Copy or record it again.",
        ),
        (
            STORED | {"x": [1, 2**16]},
            "Event 1 of {path} must lie at 0 to 65535, but is t=2, x=65536, y=2, p=1.",
        ),
        (
            STORED | {"t": [1, 2**62]},
            "Event 1 of {path} must be within 2⁶¹ µs of 0, but is t=4611686018427387904, x=2, y=2, "
            "p=1.",
        ),
        (
            STORED | {"t": [3_000_000, 5]},
            "Event 1 of {path} must not be more than 1 s before an earlier event of the file "
            "(times run backwards), but is t_us=5, x=2, y=2, p=1.",
        ),
        (
            STORED | {"height": 0, "width": 5},
            "`height` and `width` of {path} must be numbers of pixels, but are 0 and 5.",
        ),
        (
            STORED | {"t": np.array([{}, {}])},
            "{path} is not a whole NumPy archive of plain arrays: Python objects are never loaded. "
            "Copy it again.",
        ),
    ],
)
def test_wrong_arrays(tmp_path, arrays, message):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=f"^{re.escape(message.format(path=path))}$"):
        open_npz(path)


def test_header_that_promises_more_than_the_archive_holds(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **STORED)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["t.npy"] = members["t.npy"].replace(b"(2,), }          ", b"(999999999,), }  ")
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    message = (
        f"{path} is not a whole NumPy archive of plain arrays: `t.npy` promises 7999999992 bytes, "
        "but holds 16. Copy it again."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        open_npz(path)


def test_an_archive_that_would_fill_the_memory(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    zeros = np.zeros(1_000_000, np.int64)
    np.savez_compressed(path, t=zeros, x=zeros, y=zeros, p=zeros)
    monkeypatch.setattr("easnn.events.numpy_files.ALWAYS_READ_BYTES", 2**24)
    message = (
        f"{path} is not a whole NumPy archive of plain arrays: it promises 32000512 bytes, more "
        "than 100 times its size. Copy it again."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        open_npz(path)


@pytest.mark.parametrize("open_file", [open_npz, open_n_mnist, open_aedat4])
def test_missing_files(tmp_path, open_file):
    with pytest.raises(DataError, match=f"^Cannot read {tmp_path}/a: No such file or directory.$"):
        open_file(tmp_path / "a")


def test_cut_n_mnist_file(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(13))
    message = (
        f"{path} is cut off, or not an N-MNIST .bin file (40-bit events): after 2 events, 3 more "
        "bytes are left, at byte 10. Copy it again."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        open_n_mnist(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"1000000,12,34,1\n" * 5,
            "{path} is not an N-MNIST .bin file (40-bit events), but text. Text is not read as "
            "events: convert it to npz, with `easnn.events.write_npz`.",
        ),
        (
            bytes(1000),
            "The last 200 of 200 events of {path} are zero in every byte: the file was not "
            "completely downloaded or copied. Copy it again.",
        ),
        (
            bytes(1003),
            "The last 200 of 200 events of {path} are zero in every byte: the file was not "
            "completely downloaded or copied. Copy it again.",
        ),
    ],
)
def test_files_that_are_no_events(tmp_path, content, message):
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{re.escape(message.format(path=path))}$"):
        open_n_mnist(path)


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (EVENTS[:0], "{path} must get at least one event, but gets none."),
        (
            pack_events([2**23], 0, 0, 0),
            "The last event of {path} must come before 2²³ µs (8.4 s), since N-MNIST .bin files "
            "keep 23 bits of the time, but comes at 8388608 µs.",
        ),
        (
            pack_events([5], [256], 0, 0),
            "Event 0 of {path} must lie inside the sensor, 256×256 pixels, but is t_us=5, x=256, "
            "y=0, p=0.",
        ),
        (
            pack_events([5, 4], 1, 1, 0),
            "Event 1 of {path} must not be before the previous event, but is t_us=4, x=1, y=1, "
            "p=0.",
        ),
        (
            pack_events([5], 1, 1, [2]),
            "Event 0 of {path} must have a polarity of 0 or 1, but is t_us=5, x=1, y=1, p=2.",
        ),
    ],
)
def test_events_that_n_mnist_cannot_hold(tmp_path, events, message):
    path = tmp_path / "a.bin"
    with pytest.raises(DataError, match=f"^{re.escape(message.format(path=path))}$"):
        write_n_mnist(path, events)
    assert not list(tmp_path.iterdir())
