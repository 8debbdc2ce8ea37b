"""Formats are told apart by content, and whatever they are, recordings can be read in pieces."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import h5py
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
RANDOM = RNG.integers(0, 256, 200, dtype=np.uint8).tobytes()


def _evt2(path: Path) -> None:
    path.write_bytes(NEW_HEADER.format("EVT2").encode() + encode_evt2(EVENTS).tobytes())


def _evt21(path: Path) -> None:
    path.write_bytes(NEW_HEADER.format("EVT21").encode() + encode_evt21(EVENTS).tobytes())


def _evt3(path: Path) -> None:
    path.write_bytes(b"% evt 3.0\n% geometry 256x240\n" + encode_evt3(EVENTS).tobytes())


def _bare_dat(path: Path) -> None:
    write_dat(path, EVENTS)
    path.write_bytes(path.read_bytes()[-8 * len(EVENTS) :])


def _n_mnist(path: Path) -> None:
    write_n_mnist(path, EVENTS)


WRITERS: dict[str, Callable[[Path], None]] = {
    "DAT": lambda path: write_dat(path, EVENTS),
    "DAT without a header": _bare_dat,
    "EVT2": _evt2,
    "EVT2.1": _evt21,
    "EVT3": _evt3,
    "HDF5": lambda path: write_hdf5(path, EVENTS),
    "npz": lambda path: write_npz(path, EVENTS),
    "N-MNIST .bin": _n_mnist,
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_any_format(tmp_path, write, monkeypatch):
    # The oldest DAT files and N-MNIST have no header: what they are is their suffix.
    path = tmp_path / {_bare_dat: "old.DAT", _n_mnist: "a.bin"}.get(write, "recording.of_some_kind")
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


ELSE = "It may be damaged, or in another format."
ZEROS = "bytes are zero: it was not completely downloaded or copied. Copy it again."
TEXT = "it is text, which is not read as events. Convert it to npz, with `easnn.events.write_npz`."
APPLE = "it is what macOS leaves beside a file, named `._NAME`. Give NAME instead."
NO_DAT = (
    "bytes are no DAT events without a header: these have 8 bytes each, of which 3 bits are not "
    f"used, and their times are in order. {ELSE}"
)
NO_N_MNIST = (
    f"bytes are no N-MNIST events: these have 5 bytes each, and their times are in order. {ELSE}"
)
NO_NAME = (
    "formats without such bytes are only recognised by name: N-MNIST (.bin) and the oldest DAT "
    f"files (.dat). {ELSE}"
)
LINES = b"00000001,0012,034,1\n" * 400


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("a.raw", bytes(8000), f"all of its 8000 {ZEROS}"),
        ("a.h5", bytes(70_000), f"the first 65536 of its 70000 {ZEROS}"),
        ("a", bytes(3), f"all of its 3 {ZEROS}"),
        ("a.csv", LINES, TEXT),
        ("a.bin", LINES, TEXT),
        ("a_td.dat", LINES, TEXT),
        ("a_td.dat", b"\x00\x05\x16\x07" + bytes(92), APPLE),
        ("a_td.dat", b"RIFF\x00\x01\x02", f"its 7 {NO_DAT}"),
        ("a.dat", bytes(range(255, 15, -1)), f"its 240 {NO_DAT}"),
        ("a.bin", b"RIFF\x00\x01\x02", f"its 7 {NO_N_MNIST}"),
        ("a.bin", RANDOM, f"its 200 {NO_N_MNIST}"),
        ("a", b"RIFF\x00\x01\x02", NO_NAME),
    ],
)
def test_files_that_are_none(tmp_path, name, content, found):
    path = tmp_path / name
    path.write_bytes(content)
    message = (
        f"{path} is not a recording in a known format: its first bytes are not those of DAT, RAW, "
        f"HDF5, AEDAT4 or npz, and {found}"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        open_recording(path)


@pytest.mark.parametrize("write", [_bare_dat, _n_mnist])
def test_a_suffix_is_needed_where_there_is_no_header(tmp_path, write):
    path = tmp_path / "a.events"
    write(path)
    with pytest.raises(DataError, match="formats without such bytes are only recognised by name: "):
        open_recording(path)


def test_text_with_a_percent_sign(tmp_path):
    path = tmp_path / "a_td.dat"
    path.write_bytes(b"%PDF-1.7\n\xe2\xe3")
    with pytest.raises(DataError, match=re.escape(str(path))):
        open_recording(path)


@pytest.mark.parametrize(("name", "event_bytes"), [("a_td.dat", 8), ("a.bin", 5)])
def test_zeros_without_a_header(tmp_path, name, event_bytes):
    path = tmp_path / name
    path.write_bytes(bytes(64 * event_bytes))
    with pytest.raises(
        DataError, match=f"^The last 64 of 64 events of {path} are zero in every byte: "
    ):
        open_recording(path)
    path.write_bytes(bytes(event_bytes))
    assert open_recording(path).events().tolist() == [(0, 0, 0, 0)]


ZERO_TAILS: dict[str, tuple[Callable[[Path], None], str]] = {
    "a.dat": (lambda path: write_dat(path, EVENTS), "The last 512 of 2512 events"),
    "b.dat": (_bare_dat, "The last 512 of 2512 events"),
    "a.raw": (_evt2, "The last 1024 of"),
    "b.raw": (_evt21, "The last 512 of"),
    "c.raw": (_evt3, "The last 2048 of"),
    "a.bin": (_n_mnist, "The last 819 of 2819 events"),
}


@pytest.mark.parametrize("name", ZERO_TAILS)
def test_files_that_end_with_zeros(tmp_path, name):
    write, message = ZERO_TAILS[name]
    path = tmp_path / name
    write(path)
    whole = path.read_bytes()
    size = 4095 if name == "a.bin" else 4096
    path.write_bytes(whole + bytes(size))
    with pytest.raises(
        DataError,
        match=rf"^{message}.* {path} are zero in every byte: the file was not completely "
        r"downloaded or copied\. Copy it again\.$",
    ):
        open_recording(path, sensor_hw=HW)
    if whole.startswith(b"%"):  # the size does not matter
        path.write_bytes(whole + bytes(size + 1))
        with pytest.raises(DataError, match=f"^{message}.* {path} are zero in every byte: "):
            open_recording(path, sensor_hw=HW)
    path.write_bytes(whole[:-4095] + bytes(4095))
    with pytest.raises(DataError, match=re.escape(str(path))):
        open_recording(path, sensor_hw=HW)


@pytest.mark.parametrize("kind", ["npz", "hdf5"])
@pytest.mark.parametrize("kept", [0, 30])
def test_columns_that_end_with_zeros(tmp_path, kind, kept):
    path = tmp_path / f"a.{kind}"
    columns = {name[0]: EVENTS[name][:130].copy() for name in ("t_us", "x", "y", "p")}
    for column in columns.values():
        column[kept:] = 0
    if kind == "npz":
        np.savez(path, **columns)
    else:
        with h5py.File(path, "w") as file:
            for name, column in columns.items():
                file[f"events/{name}"] = column
    with pytest.raises(
        DataError, match=f"^The last {130 - kept} of 130 events of {path} are zero in every byte: "
    ):
        open_recording(path)


def test_files_of_the_field(field: Path):
    for name, found in (
        ("fixed_width.csv", "it is text, "),
        ("appledouble_td.dat", "it is what macOS leaves beside a file, "),
    ):
        with pytest.raises(DataError, match=f"{name} is not a recording .*, and {found}"):
            open_recording(field / name)
    with pytest.raises(DataError, match=r"^The last 1000 of 1000 events of .*all_zero_td.dat are "):
        open_recording(field / "all_zero_td.dat")


def test_unknown_missing_and_empty_files(tmp_path):
    path = tmp_path / "a_td.dat"
    with pytest.raises(DataError, match=f"^Cannot read {path}: No such file or directory.$"):
        open_recording(path)
    path.touch()
    with pytest.raises(
        DataError, match=re.escape(f"{path} is empty (0 bytes). Copy or record it again.")
    ):
        open_recording(path)
