"""What is read of a file, written and read again is the same, in every format with a writer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from evt_files import NEW_HEADER, encode_evt2, encode_evt3, encode_evt21
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from hypothesis.strategies import SearchStrategy
from strategies import events

from easnn.events import (
    BOX_DTYPE,
    Contours,
    open_recording,
    read_boxes,
    read_contours,
    write_boxes,
    write_contours,
    write_dat_pieces,
    write_hdf5_pieces,
    write_n_mnist,
    write_npz,
)
from easnn.utils.errors import DataError

# Every example overwrites the files of the one before.
one_folder = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    max_examples=settings().max_examples // 3,  # files take time
)

GAPS_US = st.one_of(st.integers(0, 3), st.integers(0, 100_000), st.integers(0, 2**31 - 1))


class Format(NamedTuple):
    """A format with a writer.

    Attributes:
        write: writes pieces of events of a sensor to a path.
        sensor_hw: the largest sensor.
        first_us: times of the first event.
        gaps_us: times between events.
    """

    write: Callable[[Path, Iterable[np.ndarray], tuple[int, int]], None]
    sensor_hw: tuple[int, int]
    first_us: SearchStrategy[int]
    gaps_us: SearchStrategy[int]


def _dat(event_type: int) -> Format:
    def write(path: Path, pieces: Iterable[np.ndarray], sensor_hw: tuple[int, int]) -> None:
        write_dat_pieces(path, pieces, sensor_hw=sensor_hw, event_type=event_type)

    return Format(write, (1 << 14, 1 << 14), st.integers(0, 2**32 - 1), GAPS_US)


def _hdf5(path: Path, pieces: Iterable[np.ndarray], sensor_hw: tuple[int, int]) -> None:
    write_hdf5_pieces(path, pieces, sensor_hw=sensor_hw)


def _npz(path: Path, pieces: Iterable[np.ndarray], sensor_hw: tuple[int, int]) -> None:
    write_npz(path, np.concatenate(list(pieces)), sensor_hw=sensor_hw)


def _n_mnist(path: Path, pieces: Iterable[np.ndarray], sensor_hw: tuple[int, int]) -> None:
    write_n_mnist(path, np.concatenate(list(pieces)))


def _raw(header: str, encode: Callable[[np.ndarray], np.ndarray]) -> Format:
    """Encoders of the tests: there is no writer of RAW files."""

    def write(path: Path, pieces: Iterable[np.ndarray], sensor_hw: tuple[int, int]) -> None:
        path.write_bytes(header.encode() + encode(np.concatenate(list(pieces))).tobytes())

    return Format(write, (720, 1280), st.integers(0, 2**23), st.integers(0, 2**20))


ANY_TIME_US = st.integers(0, 2**61)
FORMATS = {
    "DAT": _dat(12),
    "DAT of type 0": _dat(0),
    "HDF5": Format(_hdf5, (65_536, 65_536), ANY_TIME_US, GAPS_US),
    "npz": Format(_npz, (65_536, 65_536), ANY_TIME_US, GAPS_US),
    "N-MNIST .bin": Format(
        _n_mnist, (256, 256), st.integers(0, 2**22), st.integers(0, 2**22 // 40)
    ),
    "EVT2": _raw(NEW_HEADER.format("EVT2"), encode_evt2),
    "EVT2.1": _raw(NEW_HEADER.format("EVT21"), encode_evt21),
    "EVT3": _raw(NEW_HEADER.format("EVT3"), encode_evt3),
}


@pytest.mark.usefixtures("decoders")
@pytest.mark.parametrize("name", FORMATS)
@one_folder
@given(data=st.data())
def test_recordings(tmp_path, name, data):
    write, sensor_hw, first_us, gaps_us = FORMATS[name]
    drawn = data.draw(
        events(sensor_hw=sensor_hw, first_us=first_us, gaps_us=gaps_us, fewest=1, most=40)
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(drawn)), max_size=3)))
    suffix = ".bin" if name == "N-MNIST .bin" else ""  # the only one here without a header
    path, again = tmp_path / f"recording{suffix}", tmp_path / f"again{suffix}"
    path.unlink(missing_ok=True)
    try:
        write(path, np.split(drawn, cuts), sensor_hw)
    except DataError as error:
        reasons = "cannot hold so sparse a recording|must not be after 2⁶¹ µs"
        assert re.search(reasons, str(error))
        assert not path.exists()
        return
    assume(any(path.read_bytes()))  # else it is taken for a file that was not downloaded
    recording = open_recording(path, sensor_hw=sensor_hw)
    read = recording.events()
    assert np.array_equal(read, drawn)
    assert (recording.first_us, recording.last_us) == (drawn["t_us"][0], drawn["t_us"][-1])
    assert recording.late_events() == 0

    edges = st.one_of(
        st.sampled_from(drawn["t_us"].tolist()).flatmap(lambda t: st.integers(t - 1, t + 1)),
        st.integers(0, 2**62),
    )
    start_us, end_us = data.draw(edges), data.draw(edges)
    times_us = drawn["t_us"]
    inside = drawn[(start_us <= times_us) & (times_us < end_us)]
    assert np.array_equal(recording.window(start_us, end_us), inside)

    write(again, [read], sensor_hw)
    assert np.array_equal(open_recording(again, sensor_hw=sensor_hw).events(), drawn)
    if name != "HDF5":  # whose chunks depend on the pieces
        assert again.read_bytes() == path.read_bytes()


FLOATS = st.floats(-(2**20), 2**20, width=32)
SIZES = st.floats(0, 2**20, width=32)


@pytest.mark.parametrize(("layout", "classes"), [("new", 2**31 - 1), ("old", 255)])
@one_folder
@given(data=st.data())
def test_boxes(tmp_path, layout, classes, data):
    row = st.tuples(
        st.integers(0, 2**62),
        *[FLOATS] * 2,
        *[SIZES] * 2,
        st.integers(0, classes),
        st.integers(0, 2**32 - 1),
        st.floats(0, 1, width=32),
    )
    boxes = np.array(data.draw(st.lists(row, max_size=10)), BOX_DTYPE)
    path, again = tmp_path / "a_bbox.npy", tmp_path / "again_bbox.npy"
    write_boxes(path, boxes, layout=layout)
    read = read_boxes(path)
    assert np.array_equal(read, boxes[np.argsort(boxes["t_us"], kind="stable")])
    write_boxes(again, read, layout=layout)
    assert np.array_equal(read_boxes(again), read)


@one_folder
@given(
    arrays(np.int16, st.tuples(st.integers(2, 8), st.just(2))),
    arrays(np.int16, st.tuples(st.integers(0, 8), st.just(2))),
)
def test_contours(tmp_path, box, outline):
    path = tmp_path / "annotation.bin"
    write_contours(path, Contours(box, outline))
    read = read_contours(path)
    assert np.array_equal(read.box, box)
    assert np.array_equal(read.object, outline)
    written = path.read_bytes()
    write_contours(path, read)
    assert path.read_bytes() == written
