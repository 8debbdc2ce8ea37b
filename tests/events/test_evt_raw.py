"""RAW files: encodings by hand and word by word, headers, blocks, real recordings, bad files."""

from __future__ import annotations

import pickle
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evt_files import (
    NEW_HEADER,
    encode_evt2,
    encode_evt3,
    encode_evt21,
    loop_evt2,
    loop_evt3,
    loop_evt21,
)

from easnn.events import open_raw, pack_events
from easnn.events.evt_blocks import block_decoder
from easnn.events.evt_decode import DECODERS, DecoderState
from easnn.events.evt_raw import MAX_HEADER_BYTES, parse_raw_header
from easnn.events.outside import ADVICE
from easnn.utils.errors import DataError

pytestmark = pytest.mark.usefixtures("decoders")

LOOPS = {"EVT2": loop_evt2, "EVT21": loop_evt21, "EVT3": loop_evt3}
EVENTS = pack_events(
    [70, 70, 71, 4096, 9000, 2**23, 2**24 + 5],
    [0, 1, 1279, 5, 6, 7, 8],
    range(7),
    [0, 1, 0, 1, 1, 0, 1],
)


@pytest.fixture
def raw(tmp_path: Path) -> Callable[..., Path]:
    """Write a RAW file from its words."""

    def write(
        words: list[int] | np.ndarray, encoding: str = "EVT3", header: str | None = None
    ) -> Path:
        path = tmp_path / "a.raw"
        text = NEW_HEADER.format(encoding) if header is None else header
        path.write_bytes(text.encode() + np.asarray(words, DECODERS[encoding][0]).tobytes())
        return path

    return write


def test_evt2_by_hand(raw):
    words = [
        1 << 28,  # before the first time: dropped
        8 << 28 | 2,
        1 << 28 | 5 << 22 | 639 << 11 | 479,
        0xA << 28 | 63 << 22,  # a trigger
        0xE << 28 | 1,
        0xF << 28 | 1,
        0 << 28 | 63 << 22 | 7 << 11 | 8,
        8 << 28 | 1 << 27,
        8 << 28 | (1 << 28) - 1,
        0,
        8 << 28 | 0,  # an overflow
        2 << 22,
    ]
    events = open_raw(raw(words, "EVT2")).events()
    end = (2**28 - 1) << 6
    assert events.tolist() == [
        (133, 639, 479, 1),
        (191, 7, 8, 0),
        (end, 0, 0, 0),
        (2**34 + 2, 0, 0, 0),
    ]


def test_evt21_by_hand(raw):
    event = 1 << 60 | 5 << 54 | 32 << 43 | 9 << 32 | 1 << 31 | 0b101
    words = [event, 8 << 60 | 2 << 32, event, 0xA << 60 | 0xFFFF, 3 << 43, 7 << 54 | 1]
    expected = [(133, 32, 9, 1), (133, 34, 9, 1), (133, 63, 9, 1), (135, 0, 0, 0)]
    assert open_raw(raw(words, "EVT21")).events().tolist() == expected
    swapped = [(word & 0xFFFF_FFFF) << 32 | word >> 32 for word in words]
    header = "% format EVT21;height=720;width=1280;endianness=legacy\n% end\n"
    assert open_raw(raw(swapped, "EVT21", header)).events().tolist() == expected


def test_evt3_by_hand(raw):
    words = [
        0x2001,  # before the first time: dropped
        0x8001,
        0x6005,
        0x6007,  # of two low times the last one counts
        0x0000 | 1 << 11 | 300,  # the row; the system bit is none of it
        0x2000 | 1 << 11 | 20,
        0x3000 | 1 << 11 | 100,
        0x4000 | 0b1000_0000_0001,
        0x7FFF,
        0xA001,
        0xE123,
        0xF123,
        0x5000 | 0xF00 | 0b1000_0001,  # only 8 bits count
        0x4000 | 1,
        0x8001,  # the same high time keeps the low one
        0x2000 | 21,
        0x8002,  # another one resets it
        0x2000 | 22,
        0x8000 | 2050,
        0x2000 | 23,
        0x8000 | 3,  # falls by 2047: no overflow, and an event that comes late
        0x8000 | 2050,
        0x8000 | 2,  # falls by 2048: an overflow
        0x2000 | 24,
    ]
    high = 1 << 12 | 7
    assert open_raw(raw(words)).events().tolist() == [
        (high, 20, 300, 1),
        (high, 100, 300, 1),
        (high, 111, 300, 1),
        (high, 112, 300, 1),
        (high, 119, 300, 1),
        (high, 120, 300, 1),
        (high, 21, 300, 0),
        (2 << 12, 22, 300, 0),
        (2050 << 12, 23, 300, 0),
        (2**24 + (2 << 12), 24, 300, 0),
    ]


@pytest.mark.parametrize("encoding", LOOPS)
@pytest.mark.parametrize("pieces", [1, 2, 7, 500])
def test_same_as_word_by_word(encoding, pieces):
    """Random words, decoded in pieces of any length."""
    rng = np.random.default_rng(pieces)
    dtype, decode = DECODERS[encoding][0], block_decoder(encoding).decode
    words = rng.integers(0, 2 ** (8 * np.dtype(dtype).itemsize), 3000, dtype=dtype)
    kinds = rng.choice([0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 14, 15], len(words)).astype(dtype)
    shift = 8 * np.dtype(dtype).itemsize - 4
    words = words & dtype_ones(dtype) >> np.array(4, dtype) | kinds << np.array(shift, dtype)
    expected = LOOPS[encoding](words)
    state, found = DecoderState(), []
    for piece in np.array_split(words, pieces):
        events, state = decode(piece, state)
        found += events.tolist()
    assert len(found) > 400
    assert found == expected


def dtype_ones(dtype: str) -> np.ndarray:
    return np.array(np.iinfo(dtype).max, dtype)


def test_vectors_far_outside_of_the_sensor(raw):
    words = [0x8001, 0x3000, *[0x4001] * 6000]
    recording = open_raw(raw(words))
    assert len(recording) == 6000
    with pytest.raises(
        DataError,
        match=r"Event 107 of .* must lie inside the sensor, 1280×720 pixels, but is t_us=4096, "
        "x=1284,",
    ):
        recording.events()
    decode = block_decoder("EVT3").decode
    _, state = decode(np.array(words, "<u2"), DecoderState())
    events, _ = decode(np.array([0x4FFF], "<u2"), state)
    assert set(events["x"].tolist()) == {65_535}


@pytest.mark.parametrize(
    ("encoding", "encode"), [("EVT2", encode_evt2), ("EVT21", encode_evt21), ("EVT3", encode_evt3)]
)
def test_what_is_written_is_read(raw, encoding, encode):
    recording = open_raw(raw(encode(EVENTS), encoding))
    assert np.array_equal(recording.events(), EVENTS)
    assert (len(recording), recording.first_us, recording.last_us) == (7, 70, 2**24 + 5)
    assert (recording.path.name, recording.sensor_hw) == ("a.raw", (720, 1280))
    assert np.array_equal(encode(recording.events()), encode(EVENTS))


def test_windows_over_many_blocks(raw, monkeypatch):
    rng = np.random.default_rng(0)
    t_us = np.sort(rng.integers(0, 40_000, 500)) + 10_000
    events = pack_events(
        t_us, rng.integers(0, 1280, 500), rng.integers(0, 720, 500), rng.integers(0, 2, 500)
    )
    path = raw(encode_evt3(events))
    monkeypatch.setattr("easnn.events.evt_raw.BLOCK_WORDS", 32)
    recording = pickle.loads(pickle.dumps(open_raw(path)))
    assert np.array_equal(recording.events(), events)
    assert (len(recording), recording.first_us, recording.last_us) == (500, t_us[0], t_us[-1])
    bounds = [-5, *rng.integers(9_000, 51_000, 10).tolist(), *t_us[::100].tolist(), 10**9]
    for start_us in bounds:
        for end_us in bounds:
            expected = events[(t_us >= start_us) & (t_us < end_us)]
            assert np.array_equal(recording.window(start_us, end_us), expected)
    recording.window(0, 10**6)["x"] = 0
    assert np.array_equal(recording.events(), events)


@pytest.mark.parametrize(
    ("header", "encoding", "sensor_hw"),
    [
        ("% format EVT2;height=10;width=20\n% end\n", "EVT2", (10, 20)),
        ("% evt 2.0\n% geometry 20x10\n", "EVT2", (10, 20)),
        ("% Date 2020\n% evt 3.0\r\n% geometry 20x10\r\n% end\r\n", "EVT3", (10, 20)),
        ("%evt 2.1\n% geometry 20x10\n%end\n", "EVT21", (10, 20)),
        ("% evt 3.0\n% plugin_name hal_plugin_gen41_evk3\n", "EVT3", (720, 1280)),
        ("% evt 2.0\n% plugin_name hal_plugin_gen31_fx3\n", "EVT2", (480, 640)),
        ("% evt 2.0\n% plugin_name hal_plugin_gen3_fx3\n", "EVT2", (480, 640)),
        ("% evt 3.0\n% sensor_name IMX636\n", "EVT3", (720, 1280)),
        ("% format EVT3\n% sensor_name GenX320\n% end\n", "EVT3", (320, 320)),
    ],
)
def test_headers(raw, header, encoding, sensor_hw):
    words = {
        "EVT2": [8 << 28, 3 << 11 | 2],
        "EVT21": [8 << 60, 3 << 43 | 2 << 32 | 1],
        "EVT3": [0x8000, 2, 0x2003],
    }
    recording = open_raw(raw(words[encoding], encoding, header))
    assert recording.sensor_hw == sensor_hw
    assert recording.events().tolist() == [(0, 3, 2, 0)]


def test_first_byte_of_the_events_may_be_a_percent_sign(raw):
    recording = open_raw(raw([0x0025, 0x8000, 0x2003], header="% evt 3.0\n% geometry 1280x720\n"))
    assert recording.events().tolist() == [(0, 3, 0x25, 0)]
    words = [0x2025, 0x8020, 0x2003]  # `% `, and then no text
    assert len(open_raw(raw(words, header="% format EVT3;height=9;width=9\n% end\n"))) == 1


def test_events_that_come_late_get_the_greatest_time_before_them(raw):
    words = [0x8001, 0x6010, 0x2001, 0x6005, 0x2002, 0x6011, 0x2003]
    recording = open_raw(raw(words))
    assert recording.events()["t_us"].tolist() == [4112, 4112, 4113]
    assert recording.late_events() == 1


HIGH_TIMES = {"EVT2": (28, 28, 0, 6), "EVT21": (60, 28, 32, 6), "EVT3": (12, 12, 0, 12)}
"""Lowest bit of the kind of a word, number of the high bits of the time, their lowest bit, and the
number of low bits."""


def high_times(encoding: str, highs: list[int], between: int = 1) -> list[int]:
    """Words that set the high times, each followed by events at x = 1."""
    kind_at, _, value_at, _ = HIGH_TIMES[encoding]
    event = {"EVT2": 1 << 28 | 1 << 11, "EVT21": 1 << 60 | 1 << 43 | 1, "EVT3": 2 << 12 | 1}
    return [
        word
        for high in highs
        for word in (8 << kind_at | high << value_at, *[event[encoding]] * between)
    ]


@pytest.mark.parametrize("encoding", DECODERS)
@pytest.mark.parametrize("block", [1, 2, 3, 5, 65_536])
@pytest.mark.parametrize(
    ("parts", "at"),
    [
        ((0.1, 0.1, 0.9, 0.1), 2),
        ((0.1, 0.999, 0.1, 0.1, 0.11), 1),
        ((0.3, 0.6, 0.05, 0.61), 2),
        ((0.3, 0.6, 0.8, 0.05, 0.06, 0.9, 0.1), 5),  # after a true overflow
    ],
)
def test_a_damaged_high_time_is_not_an_overflow(raw, monkeypatch, encoding, block, parts, at):
    monkeypatch.setattr("easnn.events.evt_raw.BLOCK_WORDS", block)
    _, bits, _, low_bits = HIGH_TIMES[encoding]
    highs = [int(part * (1 << bits)) for part in parts]
    path = raw(high_times(encoding, highs, between=4), encoding)
    before, damaged, after = (high << low_bits for high in highs[at - 1 : at + 2])
    message = (
        f"The clock of {path} must not jump by half of its range ({1 << bits + low_bits - 1} µs) "
        f"or more and back, but TIME_HIGH is {before}, then {damaged}, then {after} µs at word "
        f"{5 * (at + 1)}. One of these words is damaged. Copy the file again."
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        open_raw(path)


@pytest.mark.parametrize("encoding", DECODERS)
@pytest.mark.parametrize("block", [1, 3, 65_536])
def test_true_overflows_and_long_silences(raw, monkeypatch, encoding, block):
    monkeypatch.setattr("easnn.events.evt_raw.BLOCK_WORDS", block)
    _, bits, _, low_bits = HIGH_TIMES[encoding]
    loops = (0.9, 0.95, 1.0, 1.3, 1.7, 1.99, 2.01, 2.1, 2.65, 2.65, 2.9, 3.0, 3.2, 3.5)
    highs = [int(part * (1 << bits)) for part in loops]
    words = high_times(encoding, [high % (1 << bits) for high in highs])
    times = open_raw(raw(words, encoding)).events()["t_us"]
    assert times.tolist() == [high << low_bits for high in highs]


def test_real_recordings(real: Path):
    for name, encoding, count, span_us, hw in (
        ("evt3_1280x720_driving.raw", "EVT3", 219_596, 8_801, (720, 1280)),
        ("evt2_640x480.raw", "EVT2", 539_481, 50_000, (480, 640)),
    ):
        path = real / "recordings" / name
        recording = open_raw(path)
        events = recording.events()
        assert (len(events), len(recording), recording.sensor_hw) == (count, count, hw)
        assert round(recording.last_us - recording.first_us, -1) == round(span_us, -1)
        assert (np.diff(events["t_us"]) >= 0).all()
        dtype = np.dtype(DECODERS[encoding][0])
        content = path.read_bytes()
        size = len(content) - parse_raw_header(content[:MAX_HEADER_BYTES], path).size
        expected = np.array(LOOPS[encoding](np.frombuffer(content[-size:], dtype)))
        for column, field in enumerate(("x", "y", "p"), start=1):
            assert np.array_equal(events[field], expected[:, column])
        assert np.array_equal(events["t_us"], np.maximum.accumulate(expected[:, 0]))
        middle = (recording.first_us + recording.last_us) // 2
        assert np.array_equal(
            recording.window(middle, middle + 1000), _between(events, middle, middle + 1000)
        )


def _between(events: np.ndarray, start_us: int, end_us: int) -> np.ndarray:
    return events[(events["t_us"] >= start_us) & (events["t_us"] < end_us)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "{path} is empty (0 bytes). Copy or record it again."),
        (
            b"% evt 3.0\n% geometry 20x10\n",
            "{path} has a header, but no events. Copy or record it again.",
        ),
        (
            b"% evt 3.0\n% geometry 20x10\n\x00\x80\x00",
            "{path} is cut off: after 1 words of 2 bytes, 1 more bytes are left, at byte 29. Copy "
            "it again.",
        ),
        (
            b"% evt 3.0\n% geometry 20x10\n\x00\x80\x00\x60",
            "{path} has 2 words, but no events. Record it again.",
        ),
        (
            b"% evt 3.0\n\x00\x80\x00\x20",
            "{path} does not specify the size of its sensor. Give it with --sensor-size HxW "
            "(`sensor_hw` in Python).",
        ),
        (
            b"% evt 4.0\n\x00\x80\x00\x20",
            "The encoding in the header of {path} must be EVT2, EVT21 or EVT3, but is '4.0'. "
            "Export the recording as DAT with the tools of its camera.",
        ),
        (
            b"% geometry 20x10\n\x00\x80\x00\x20",
            "The encoding in the header of {path} must be EVT2, EVT21 or EVT3, but is 'missing'. "
            "Export the recording as DAT with the tools of its camera.",
        ),
        (
            b"% format EVT3;height=0;width=7\n% end\n\x00\x80\x00\x20",
            "Height and width in the header of {path} must be 1 to 16384 pixels, but one is '0'.",
        ),
        (
            b"% evt 3.0\n% geometry 20\n\x00\x80\x00\x20",
            "Height and width in the header of {path} must be 1 to 16384 pixels, but one is ''.",
        ),
        (
            b"% evt 3.0\n% geometry 20x10\n\x00\x88\x05\x20\x00\x86\x06\x20",
            "Event 1 of {path} must not be more than 1 s before an earlier event of the file "
            "(times run backwards), but is t_us=6291456, x=6, y=0, p=0.",
        ),
    ],
)
def test_bad_files(tmp_path, content, message):
    path = tmp_path / "bad.raw"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"^{re.escape(message.format(path=path))}$"):
        open_raw(path)


def test_file_that_changes_while_it_is_open(raw):
    path = raw([0x8000, 2, 0x2003, 0x2004])
    recording = open_raw(path)
    with path.open("r+b") as file:
        file.seek(-2, 2)
        file.write(b"\x05\x60")
    message = f"^{path} has changed since it was opened. Open it again.$"
    with pytest.raises(DataError, match=message):
        recording.events()


def test_given_sensor_size_and_events_outside(raw):
    path = raw([0x8000, 2, 0x2003, 0x2004], header="% evt 3.0\n")
    assert open_raw(path, sensor_hw=(3, 5)).sensor_hw == (3, 5)
    recording = open_raw(path, sensor_hw=(3, 4))
    message = (
        f"Event 1 of {path} must lie inside the sensor, 4×3 pixels, but is t_us=0, x=4, y=2, p=0."
        f"{ADVICE}"
    )
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        recording.window(0, 1)
