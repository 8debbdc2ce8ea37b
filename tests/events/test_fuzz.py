"""Damaged files of every format: an error that names the file, or a consistent recording."""

from __future__ import annotations

import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from fuzzing import mutated
from test_open_recording import EVENTS, WRITERS

from easnn.events import open_recording
from easnn.utils.errors import DataError

pytestmark = pytest.mark.usefixtures("decoders")

CASES = 60


def _dsec(path: Path) -> None:
    with h5py.File(path, "w") as file:
        for name in ("t_us", "x", "y", "p"):
            compression = "gzip" if name == "x" else None
            file.create_dataset(
                f"events/{name[0]}", data=EVENTS[name], chunks=(500,), compression=compression
            )
        file["ms_to_idx"] = np.searchsorted(EVENTS["t_us"], np.arange(0, 100_000, 1000))
        file["t_offset"] = 5


FORMATS = WRITERS | {"DSEC": _dsec}


@pytest.mark.parametrize("name", FORMATS)
def test_damaged_files(tmp_path, name):
    whole = tmp_path / "whole"
    FORMATS[name](whole)
    _try_many(whole.read_bytes(), tmp_path, name, CASES)


@pytest.mark.parametrize(
    ("name", "kept", "cases"),
    [
        ("recordings/evt3_1280x720_driving.raw", 20_000, CASES),
        ("recordings/evt2_640x480.raw", 20_000, CASES),
        ("recordings/dvxplorer_320x240.aedat4", None, 10),
        ("nmnist_bin/sample_nmnist.bin", None, CASES),
        ("ncars_dat/obj_004211_td.dat", None, CASES),
    ],
)
def test_damaged_real_files(real: Path, tmp_path, name, kept, cases):
    _try_many((real / name).read_bytes()[:kept], tmp_path, name, cases)


def _try_many(content: bytes, folder: Path, name: str, cases: int) -> None:
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    refused = 0
    for case in range(cases):
        suffix = ".bin" if "bin" in name else ".dat"  # for the formats that have no header
        path = folder / f"case_{case}{suffix}"
        path.write_bytes(mutated(content, rng))
        try:
            recording = open_recording(path, sensor_hw=(720, 1280) if case % 2 else None)
            events = recording.events()
            middle = (recording.first_us + recording.last_us) // 2
            parts = [
                recording.window(recording.first_us, middle),
                recording.window(middle, recording.last_us + 1),
            ]
        except DataError as error:
            assert str(path) in str(error)
            refused += 1
            continue
        assert (np.diff(events["t_us"]) >= 0).all()
        assert len(events) == len(recording)
        assert np.array_equal(np.concatenate(parts), events)
    assert refused
