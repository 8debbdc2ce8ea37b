"""The native functions for events find the same as NumPy, whatever the input, and write no more."""

from __future__ import annotations

import re
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from evt_files import encode_evt2, encode_evt3, encode_evt21
from fuzzing import mutated

from easnn.events import EVENT_DTYPE, native_calls, pack_events
from easnn.events.checks import LATE_US, NO_TIME_US, check_inside, restore_order
from easnn.events.evt_blocks import NativeDecoder, NumpyDecoder, Survey, block_decoder
from easnn.events.evt_decode import DECODERS, DecoderState
from easnn.utils.errors import ConfigError, DataError

pytestmark = pytest.mark.skipif(
    native_calls.library() is None, reason="no native decoders, or not wanted"
)
ENCODERS = {"EVT2": encode_evt2, "EVT21": encode_evt21, "EVT3": encode_evt3}
KINDS = {
    "EVT2": [0, 1, 1, 8, 10],
    "EVT21": [0, 1, 1, 8, 14],
    "EVT3": [0, 2, 2, 3, 4, 4, 5, 6, 8, 15],
}
GUARD = 0xA5


def random_words(encoding: str, rng: np.random.Generator) -> np.ndarray:
    """Return up to 150 random words, most of them of the types that a decoder knows."""
    dtype = np.dtype(DECODERS[encoding][0])
    bits = 8 * dtype.itemsize
    count = int(rng.integers(151))
    words = rng.integers(0, 2**bits, count, dtype)
    kinds = rng.choice(KINDS[encoding], count).astype(dtype) << np.array(bits - 4, dtype)
    known = rng.random(count) < 0.9
    return np.where(known, words & np.array(2 ** (bits - 4) - 1, dtype) | kinds, words)


def mutated_words(encoding: str, rng: np.random.Generator) -> np.ndarray:
    """Return the words of a short recording with damaged bytes."""
    count = 40
    t_us = np.sort(rng.integers(0, 2 ** int(rng.integers(8, 36)), count))
    columns = (rng.integers(0, high, count) for high in (1280, 720, 2))
    dtype = np.dtype(DECODERS[encoding][0])
    content = mutated(ENCODERS[encoding](pack_events(t_us, *columns)).tobytes(), rng)
    content = content[: len(content) // dtype.itemsize * dtype.itemsize]
    # behind a byte, as in a file with a header of any length
    return np.frombuffer(b"%" + content, dtype, offset=1)


def random_state(rng: np.random.Generator) -> DecoderState:
    if rng.random() < 0.3:
        return DecoderState()
    highs = (4096, 3, 4096, 2048, 65_536, 2)
    return DecoderState(*(int(rng.integers(high)) for high in highs))


def compare(encoding: str, rng: np.random.Generator) -> int:
    """Compare both decoders for one input in two parts; return the number of words."""
    plain, native = NumpyDecoder(encoding), block_decoder(encoding)
    assert isinstance(native, NativeDecoder)
    words = (random_words if rng.random() < 0.7 else mutated_words)(encoding, rng)
    before = random_state(rng)
    latest_us = NO_TIME_US if rng.random() < 0.5 else int(rng.integers(2**36))
    expected, after = plain.decode(words, before)
    found, state = native.decode(words, before)
    assert found.dtype == EVENT_DTYPE
    assert found.tobytes() == expected.tobytes()
    assert state == after
    assert native.survey(words, before, latest_us) == plain.survey(words, before, latest_us)

    cut = int(rng.integers(len(words) + 1))
    first, middle = native.decode(words[:cut], before)
    second, end = native.decode(words[cut:], middle)
    assert first.tobytes() + second.tobytes() == expected.tobytes()
    assert end == after

    room = int(rng.integers(len(expected) + 50))
    memory = np.full((room + 3) * EVENT_DTYPE.itemsize, GUARD, np.uint8)
    events = memory[: room * EVENT_DTYPE.itemsize].view(EVENT_DTYPE)
    assert native.decode_into(words, before, events) == len(expected)
    fitting = min(room, len(expected))
    assert events[:fitting].tobytes() == expected[:fitting].tobytes()
    assert (memory[room * EVENT_DTYPE.itemsize :] == GUARD).all()
    return len(words)


@pytest.mark.parametrize("encoding", DECODERS)
def test_any_words(encoding):
    rng = np.random.default_rng(zlib.crc32(encoding.encode()))
    assert sum(compare(encoding, rng) for _ in range(400)) > 20_000


def test_numpy_is_used_where_only_numpy_is_wanted():
    with (
        ThreadPoolExecutor(1) as pool,
        pytest.raises(ZeroDivisionError),
        native_calls.numpy_only(),
    ):
        assert native_calls.library() is None
        assert isinstance(block_decoder("EVT3"), NumpyDecoder)
        assert pool.submit(native_calls.library).result() is not None
        raise ZeroDivisionError
    assert isinstance(block_decoder("EVT3"), NativeDecoder)


def test_plain_kernels_are_plain_decoders(monkeypatch):
    monkeypatch.setenv("EASNN_KERNELS", "plain")
    assert native_calls.library() is None
    assert isinstance(block_decoder("EVT3"), NumpyDecoder)
    monkeypatch.setenv("EASNN_KERNELS", "native")
    assert isinstance(block_decoder("EVT3"), NativeDecoder)
    monkeypatch.setenv("EASNN_KERNELS", "fast")
    with pytest.raises(
        ConfigError, match=r"^EASNN_KERNELS must be plain or native, but is fast\.$"
    ):
        block_decoder("EVT3")


@pytest.mark.parametrize("encoding", DECODERS)
def test_no_words(encoding):
    words = np.empty(0, DECODERS[encoding][0])
    for decoder in (NumpyDecoder(encoding), block_decoder(encoding)):
        state = DecoderState(high=5, loops=1)
        events, after = decoder.decode(words, state)
        assert (len(events), after) == (0, state)
        assert decoder.survey(words, state, 9) == Survey(0, 0, 9, 0, 0, state)
        assert decoder.decode_into(words, state, events) == 0


@pytest.mark.parametrize("encoding", DECODERS)
def test_times_that_leave_64_bits_wrap_alike(encoding):
    state = DecoderState(high=7, loops=2**62 + 2**28 + 5)
    words = ENCODERS[encoding](pack_events([70, 5000, 2**23], [1, 2, 3], [4, 5, 6], [0, 1, 0]))
    plain, native = NumpyDecoder(encoding), block_decoder(encoding)
    expected, found = plain.decode(words, state), native.decode(words, state)
    assert found[0].tobytes() == expected[0].tobytes()
    assert found[1] == expected[1]


def random_events(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.integers(1, 700))
    t_us = np.cumsum(rng.integers(-5, 9, count))
    if rng.random() < 0.3:
        t_us[rng.integers(count)] += int(rng.choice([-1, 1])) * (LATE_US + int(rng.integers(-9, 9)))
    sides = rng.integers(1, 65_537, 2)
    return pack_events(t_us, rng.integers(0, sides[0], count), rng.integers(0, sides[1], count), 1)


def outcome(check, events: np.ndarray) -> tuple[object, bytes]:
    """Return what ``check`` returns, or its error, and the events afterwards."""
    events = events.copy()
    try:
        result = check(events)
    except DataError as error:
        return str(error), b""
    return result, events.tobytes()


def test_checks(monkeypatch):
    rng = np.random.default_rng(0)
    path, refused = Path("a.raw"), 0
    for _ in range(400):
        events = random_events(rng)
        largest = (int(events["y"].max()), int(events["x"].max()))
        sides = (largest[0] + int(rng.integers(0, 3)), largest[1] + int(rng.integers(0, 3)))
        latest_us = int(rng.choice([NO_TIME_US, events["t_us"][0], 1000]))
        found, expected = [], []
        for outcomes in (found, expected):
            with monkeypatch.context() as patch:
                if outcomes is expected:
                    patch.setattr(native_calls, "library", lambda: None)
                outcomes += [
                    outcome(lambda e: restore_order(e, path, first=3, latest_us=latest_us), events),  # noqa: B023
                    outcome(lambda e: check_inside(e, sides, path, first=3), events),  # noqa: B023
                ]
        assert found == expected
        refused += sum(isinstance(result, str) for result, _ in found)
    assert 100 < refused < 700


def test_events_in_another_layout_are_checked_by_numpy():
    events = pack_events([5, 0, 4, 0, 6, 0], range(6), range(6), 1)[::2]
    assert restore_order(events, Path("a")) == 1
    assert events["t_us"].tolist() == [5, 5, 6]
    message = "Event 2 of a must lie inside the sensor, 4×9 pixels, but is t_us=6, x=4, y=4, p=1."
    with pytest.raises(DataError, match=f"^{re.escape(message)}$"):
        check_inside(events, (9, 4), Path("a"))
