"""Formats are told apart by content, and whatever they are, recordings can be read in pieces."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evt_files import NEW_HEADER, encode_evt2, encode_evt3, encode_evt21

from easnn.events import (
    event_pieces,
    open_recording,
    pack_events,
    write_dat,
    write_hdf5,
    write_n_mnist,
    write_npz,
)
from easnn.utils.errors import DataError

pytestmark = pytest.mark.usefixtures("decoders")

HW = (240, 256)
RNG = np.random.default_rng(0)
EVENTS = pack_events(
    np.sort(RNG.integers(0, 100_000, 2000)),
    RNG.integers(0, 256, 2000),
    RNG.integers(0, 240, 2000),
    RNG.integers(0, 2, 2000),
)


def _evt2(path: Path) -> None:
    path.write_bytes(NEW_HEADER.format("EVT2").encode() + encode_evt2(EVENTS).tobytes())


def _evt21(path: Path) -> None:
    path.write_bytes(NEW_HEADER.format("EVT21").encode() + encode_evt21(EVENTS).tobytes())


def _evt3(path: Path) -> None:
    path.write_bytes(b"% evt 3.0\n% geometry 256x240\n" + encode_evt3(EVENTS).tobytes())


def _bare_dat(path: Path) -> None:
    write_dat(path, EVENTS)
    path.write_bytes(path.read_bytes()[-8 * len(EVENTS) :])


WRITERS: dict[str, Callable[[Path], None]] = {
    "DAT": lambda path: write_dat(path, EVENTS),
    "DAT without a header": _bare_dat,
    "EVT2": _evt2,
    "EVT2.1": _evt21,
    "EVT3": _evt3,
    "HDF5": lambda path: write_hdf5(path, EVENTS),
    "npz": lambda path: write_npz(path, EVENTS),
    "N-MNIST .bin": lambda path: write_n_mnist(path, EVENTS),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_any_format(tmp_path, write, monkeypatch):
    path = tmp_path / "recording.of_some_kind"
    write(path)
    recording = open_recording(path, sensor_hw=HW)
    assert np.array_equal(recording.events(), EVENTS)
    assert recording.sensor_hw == HW
    with pytest.raises(
        DataError, match=f"^Event [0-9]+ of {path} must lie inside the sensor, 20×20 pixels, "
    ):
        open_recording(path, sensor_hw=(20, 20)).events()
    monkeypatch.setattr("easnn.events.recording.PIECE_EVENTS", 300)
    pieces = list(event_pieces(recording))
    assert len(pieces) == 7
    assert np.array_equal(np.concatenate(pieces), EVENTS)


def test_real_recordings(real: Path):
    for name, kind, count in (
        ("recordings/evt2_640x480.raw", "RawRecording", 539_481),
        ("recordings/evt3_1280x720_driving.raw", "RawRecording", 219_596),
        ("recordings/dvxplorer_320x240.aedat4", "LoadedRecording", 111_954),
        ("nmnist_bin/sample_nmnist.bin", "LoadedRecording", 4325),
        ("ncars_dat/obj_004211_td.dat", "DatRecording", 1374),
    ):
        recording = open_recording(real / name)
        assert (type(recording).__name__, len(recording)) == (kind, count)


@pytest.mark.parametrize(
    "content", [b"What is this?", b"%PDF-1.7\n\xe2\xe3", bytes(range(255, 15, -1))]
)
def test_files_that_are_none(tmp_path, content):
    path = tmp_path / "a_td.dat"
    path.write_bytes(content)
    with pytest.raises(DataError, match=re.escape(str(path))):
        open_recording(path)


def test_unknown_missing_and_empty_files(tmp_path):
    path = tmp_path / "a_td.dat"
    with pytest.raises(DataError, match=f"^Cannot read {path}: No such file or directory.$"):
        open_recording(path)
    path.touch()
    with pytest.raises(
        DataError, match=re.escape(f"{path} is empty (0 bytes). Copy or record it again.")
    ):
        open_recording(path)
    path.write_bytes(b"RIFF\x00\x01\x02")
    message = (
        f"{path} is not a recording in a known format (DAT, RAW, HDF5, AEDAT4, npz, N-MNIST .bin). "
        "It may be damaged, or in another format."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        open_recording(path)
