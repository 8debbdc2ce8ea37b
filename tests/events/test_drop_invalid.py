"""Single events outside of the sensor are dropped where this is asked for, in every format."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from aedat4_files import aedat4, event_packet
from evt_files import NEW_HEADER, encode_evt2, encode_evt3, encode_evt21
from loguru import logger

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

HW = (24, 40)
COUNT = 3000
RNG = np.random.default_rng(0)
EVENTS = pack_events(
    np.sort(RNG.integers(0, 100_000, COUNT)),
    RNG.integers(0, 40, COUNT),
    RNG.integers(0, 24, COUNT),
    RNG.integers(0, 2, COUNT),
)
WRONG = [0, 123, 124, 2999]
EVENTS["x"][[0, 124]] = 40, 255
EVENTS["y"][[123, 2999]] = 24, 200
INSIDE = np.delete(EVENTS, WRONG)
OUTSIDE = f"Event 0 of {{path}} lies outside of the sensor, 40×24 pixels: t_us={EVENTS['t_us'][0]}"


def _raw(encoding: str, encode: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    header = NEW_HEADER.format(encoding).encode()
    return lambda path: path.write_bytes(header + encode(EVENTS).tobytes()) and None


WRITERS: dict[str, Callable[[Path], object]] = {
    "a.dat": lambda path: write_dat(path, EVENTS),
    "a.raw": _raw("EVT2", encode_evt2),
    "b.raw": _raw("EVT21", encode_evt21),
    "c.raw": _raw("EVT3", encode_evt3),
    "a.h5": lambda path: write_hdf5(path, EVENTS),
    "a.npz": lambda path: write_npz(path, EVENTS),
    "a.bin": lambda path: write_n_mnist(path, EVENTS),
    "a.aedat4": lambda path: path.write_bytes(aedat4({0: "EVTS"}, [(0, event_packet(EVENTS))])),
}


@pytest.fixture
def log() -> Iterator[list[str]]:
    """Messages of the log."""
    messages: list[str] = []
    handler = logger.add(messages.append, format="{message}")
    yield messages
    logger.remove(handler)


@pytest.mark.parametrize("name", WRITERS)
def test_every_format(tmp_path, monkeypatch, log, name):
    for module in ("dat.BLOCK_RECORDS", "hdf5.BLOCK_EVENTS", "evt_raw.BLOCK_WORDS"):
        monkeypatch.setattr(f"easnn.events.{module}", 256)
    path = tmp_path / name
    WRITERS[name](path)
    with pytest.raises(
        DataError,
        match=f"^Event 0 of {path} must lie inside the sensor, 40×24 pixels, but is t_us=.*"
        r"\. If only single events of the file are wrong, drop them with `drop_invalid` \(a key, "
        r"and an argument in Python\) or --drop-invalid\.$",
    ):
        open_recording(path, sensor_hw=HW).events()
    recording = open_recording(path, sensor_hw=HW, drop_invalid=True)
    assert np.array_equal(recording.events(), INSIDE)
    assert (len(recording), recording.dropped_events()) == (COUNT - 4, 4)
    assert (recording.first_us, recording.last_us) == tuple(EVENTS["t_us"][[0, -1]])
    for start_us, end_us in [(0, 10), *RNG.integers(0, 110_000, (20, 2)).tolist()]:
        of_window = (INSIDE["t_us"] >= start_us) & (INSIDE["t_us"] < end_us)
        assert np.array_equal(recording.window(start_us, end_us), INSIDE[of_window])
    monkeypatch.setattr("easnn.events.recording.PIECE_EVENTS", 500)
    assert np.array_equal(np.concatenate(list(event_pieces(recording))), INSIDE)
    recording.window(0, 1000)["x"] = 99
    assert np.array_equal(recording.events(), INSIDE)
    assert len(log) == 1
    assert log[0].startswith(OUTSIDE.format(path=path))
    assert log[0].endswith(". Such events are dropped (`drop_invalid`).\n")
    again = pickle.loads(pickle.dumps(recording))
    assert np.array_equal(again.events(), INSIDE)
    assert open_recording(path, sensor_hw=(300, 300)).dropped_events() == 0


@pytest.mark.parametrize("stored", ["npz", "h5"])
def test_coordinates_beyond_16_bits(tmp_path, stored):
    path = tmp_path / f"a.{stored}"
    columns = {"t": [1, 2, 3, 4], "x": [5, -1, 70_000, 6], "y": [2, 2, 2, 2**40], "p": [0, 1, 0, 1]}
    if stored == "npz":
        np.savez(path, height=24, width=40, **columns)
    else:
        with h5py.File(path, "w") as file:
            for name, values in {**columns, "height": 24, "width": 40}.items():
                file[f"events/{name}"] = values
    recording = open_recording(path, drop_invalid=True)
    assert recording.events().tolist() == [(1, 5, 2, 0)]
    assert (len(recording), recording.dropped_events()) == (1, 3)
    with pytest.raises(
        DataError, match=r"^Event 1 of .* must lie at 0 to 65535, but is t=2, x=-1,"
    ):
        open_recording(path, sensor_hw=(24, 65_536), drop_invalid=True).events()


def test_too_many_events_outside(tmp_path):
    path = tmp_path / "a.dat"
    events = EVENTS.copy()
    events["x"][100:201] = 50
    write_dat(path, events)
    recording = open_recording(path, sensor_hw=HW, drop_invalid=True)
    message = (
        f"103 of 3000 events of {path} lie outside of the sensor, 40×24 pixels. `drop_invalid` is "
        "for single events: check the size of the sensor."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        recording.events()


@pytest.mark.parametrize("name", ["a.dat", "a.h5", "a.npz", "a.bin"])
def test_the_size_of_the_sensor_is_needed(tmp_path, name):
    path = tmp_path / name
    WRITERS[name](path)
    recording = open_recording(path, drop_invalid=True)
    message = (
        f"`drop_invalid` needs the size of the sensor, which {path} does not specify. Give it with "
        "--sensor-size HxW (`sensor_hw` in Python)."
    )
    for read in (recording.events, lambda: recording.window(0, 1000)):
        with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
            read()


def test_file_of_the_field(field: Path):
    path = field / "etram_outlier_td.h5"
    with pytest.raises(DataError, match=r"^Event 123 of .* y=33014, p=0\. If only single events"):
        open_recording(path).events()
    recording = open_recording(path, drop_invalid=True)
    assert len(recording.events()) == len(recording) == 299
