"""The recordings of the section ``decode``."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from easnn.benchmark import raw_files
from easnn.benchmark.raw_files import Bursts, camera_bursts, write_camera_files
from easnn.events import open_recording
from easnn.events.native_calls import numpy_only

BY_HAND = Bursts(
    t_us=np.array([70, 70, 5000]),
    y=np.array([3, 3, 3]),
    x=np.array([32, 64, 0]),
    p=np.array([1, 0, 1]),
    pixels=np.array([0b100, 0x8000_1801, 1 << 31], np.uint32),
)


def test_events_by_hand() -> None:
    assert BY_HAND.events().tolist() == [
        (70, 34, 3, 1),
        *((70, 64 + bit, 3, 0) for bit in (0, 11, 12, 31)),
        (5000, 31, 3, 1),
    ]


def test_words_by_hand() -> None:
    evt3 = raw_files.evt3_words(BY_HAND)
    assert evt3.dtype == "<u2"
    assert evt3.tolist() == [
        *(0x8000, 0x6000 | 70, 0x0003, 0x2800 | 34),
        *(0x3000 | 64, 0x4801, 0x4001, 0x5080),
        *(0x8001, 0x6000 | 5000 - 4096, 0x2800 | 31),
    ]
    evt21 = raw_files.evt21_words(BY_HAND)
    assert evt21.dtype == "<u8"
    assert evt21.tolist() == [
        8 << 60 | 1 << 32,
        1 << 60 | 6 << 54 | 32 << 43 | 3 << 32 | 0b100,
        6 << 54 | 64 << 43 | 3 << 32 | 0x8000_1801,
        8 << 60 | 78 << 32,
        1 << 60 | 8 << 54 | 3 << 32 | 1 << 31,
    ]
    evt2 = raw_files.evt2_words(BY_HAND)
    assert evt2.dtype == "<u4"
    assert evt2.tolist() == [
        8 << 28 | 1,
        1 << 28 | 6 << 22 | 34 << 11 | 3,
        *(6 << 22 | 64 + bit << 11 | 3 for bit in (0, 11, 12, 31)),
        8 << 28 | 78,
        1 << 28 | 8 << 22 | 31 << 11 | 3,
    ]


@pytest.mark.parametrize("limit", [nullcontext, numpy_only])
def test_every_file_holds_the_same_events(tmp_path: Path, limit) -> None:
    bursts = camera_bursts(40_000)
    events = bursts.events()
    assert 4 < len(events) / len(bursts.t_us) < 6
    assert events["t_us"].max() > 2**13  # more than one high time in every encoding
    paths = write_camera_files(tmp_path, bursts)
    assert list(paths) == ["DAT", "EVT2", "EVT2.1", "EVT3"]
    for path in paths.values():
        with limit():
            recording = open_recording(path)
            assert recording.sensor_hw == raw_files.SENSOR_HW
            assert recording.events().tobytes() == events.tobytes()
