"""Sources of events: bytes that are cut anywhere, ports on loopback, iterators, what is counted."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from evt_files import encode_evt2, encode_evt3, encode_evt21
from fuzzing import mutated

from easnn.events import (
    EVENT_DTYPE,
    ByteSource,
    EventSource,
    IterableSource,
    PipeReader,
    RecordingSource,
    StreamCounts,
    StreamDecoder,
    TcpReader,
    UdpReader,
    open_dat,
    open_raw,
    open_stream,
    pack_events,
    write_dat,
)
from easnn.events.sources import Arrivals
from easnn.utils.errors import DataError

HW = (24, 40)
ENCODERS = {"EVT2": encode_evt2, "EVT21": encode_evt21, "EVT3": encode_evt3}
HEADER = b"% format EVT3;height=24;width=40\n% end\n"


def some_events(count: int = 500, until_us: int = 300_000) -> np.ndarray:
    rng = np.random.default_rng(0)
    t_us = np.sort(rng.integers(0, until_us, count))
    return pack_events(t_us, *(rng.integers(0, n, count) for n in (HW[1], HW[0], 2)))


EVENTS = some_events()
EVT3 = encode_evt3(EVENTS).tobytes()


def all_of(source: EventSource) -> np.ndarray:
    return np.concatenate([np.empty(0, EVENT_DTYPE), *source])


def in_pieces(data: bytes, seed: int) -> list[bytes]:
    cuts = np.sort(np.random.default_rng(seed).integers(0, len(data), 40)).tolist()
    return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def dat_bytes(path: Path, events: np.ndarray, **options: object) -> bytes:
    write_dat(path, events, sensor_hw=HW, **options)  # type: ignore[arg-type]
    return path.read_bytes()


@pytest.mark.usefixtures("decoders")
@pytest.mark.parametrize("encoding", [*ENCODERS, "DAT"])
@pytest.mark.parametrize("with_header", [False, True])
def test_bytes_may_be_cut_anywhere(tmp_path: Path, encoding: str, with_header: bool) -> None:
    if encoding == "DAT":
        data = dat_bytes(tmp_path / "a.dat", EVENTS)
        if not with_header:
            data = data[-8 * len(EVENTS) :]
    else:
        data = ENCODERS[encoding](EVENTS).tobytes()
        header = f"% date 2024-01-01\n% format {encoding};height=24;width=40\n% end\n"
        data = (header if with_header else "").encode() + data
    for seed in range(5):
        decoder = StreamDecoder("a stream", None if with_header else encoding)
        found = np.concatenate([decoder.decode(piece) for piece in in_pieces(data, seed)])
        np.testing.assert_array_equal(found, EVENTS)
        assert decoder.finish() == 0
        assert decoder.sensor_hw == (HW if with_header else None)


def test_an_old_header_without_an_end() -> None:
    data = b"% evt 2.0\n% geometry 40x24\n" + encode_evt2(EVENTS).tobytes()
    decoder = StreamDecoder("a stream")
    found = [decoder.decode(bytes([byte])) for byte in data]
    np.testing.assert_array_equal(np.concatenate(found), EVENTS)
    assert decoder.sensor_hw == HW


def test_times_of_dat_are_those_of_the_file(tmp_path: Path) -> None:
    """Late records and wraps, as :mod:`easnn.events.dat_clock` defines them."""
    counter = np.array([2**32 - 900, 2**32 - 300, 50, 2**32 - 100, 400, 300, 2**30], np.uint32)
    records = np.zeros(len(counter), [("counter", "<u4"), ("word", "<u4")])
    records["counter"] = counter
    data = dat_bytes(tmp_path / "a.dat", EVENTS)[: -8 * len(EVENTS)] + records.tobytes()
    (tmp_path / "a.dat").write_bytes(data)
    for seed in range(5):
        decoder = StreamDecoder("a stream")
        found = np.concatenate([decoder.decode(piece) for piece in in_pieces(data, seed)])
        late_us = np.maximum.accumulate(found["t_us"])
        np.testing.assert_array_equal(late_us, open_dat(tmp_path / "a.dat").events()["t_us"])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"\x01\x02\x03\x04",
            "a stream must begin with the header of a RAW or DAT file, but its first bytes are "
            "01 02 03 04. Give --format if it sends words without a header.",
        ),
        (
            b"% format EVT4;height=2;width=3\n% end\n",
            "The encoding in the header of a stream must be EVT2, EVT21 or EVT3, but is "
            "'EVT4;height=2;width=3'. Export the recording as DAT with the tools of its camera.",
        ),
        (
            b"% Version 2\n\x0e\x08",
            "The event type of a stream must be 0 (Event2D) or 12 (CD), but ",
        ),
        (b"% format EV", "a stream ended after 11 bytes, before its header was complete."),
        (b"", "a stream ended after 0 bytes, before its header was complete."),
    ],
)
def test_headers_that_are_not_understood(data: bytes, message: str) -> None:
    decoder = StreamDecoder("a stream")
    with pytest.raises(DataError) as error:
        decoder.decode(data)
        decoder.finish()
    assert str(error.value).startswith(message)


def send_udp(port: int, packets: list[bytes]) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for packet in packets:
            sender.sendto(packet, ("127.0.0.1", port))


def words_of(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def test_datagrams() -> None:
    reader = UdpReader("127.0.0.1", 0, idle_s=0.5)
    send_udp(reader.port, words_of(EVT3, 200))  # the system keeps them
    source = ByteSource(reader, encoding="EVT3", sensor_hw=HW)
    np.testing.assert_array_equal(all_of(source), EVENTS)
    assert source.counts == StreamCounts(events=len(EVENTS))
    assert not source.waits


def test_a_header_and_half_a_packet() -> None:
    reader = UdpReader("127.0.0.1", 0, idle_s=0.5)
    packets = words_of(EVT3, 200)
    send_udp(reader.port, [HEADER[:20], HEADER[20:], *packets[:3], packets[3] + b"\x00", b""])
    source = ByteSource(reader)
    found = all_of(source)
    np.testing.assert_array_equal(found, EVENTS[: len(found)])
    assert len(found) > 100
    assert source.sensor_hw == HW
    assert source.counts == StreamCounts(events=len(found), cut_packets=1)


def test_datagrams_that_the_system_lost() -> None:
    reader = UdpReader("127.0.0.1", 0, idle_s=0.2)
    reader._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    packet = encode_evt3(EVENTS[:200]).tobytes()
    send_udp(reader.port, [packet] * 100)
    source = ByteSource(reader, encoding="EVT3", sensor_hw=HW)
    iterator = iter(source)
    next(iterator)
    send_udp(reader.port, [packet])  # the number comes with the next one that is kept
    for _ in iterator:
        pass
    if not source.counts.lost_packets:
        pytest.skip("this system does not say how many datagrams it loses")
    assert 0 < source.counts.lost_packets < 100


def sender_of(data: bytes, *, reset: bool = False) -> Callable[[socket.socket], None]:
    def send(connection: socket.socket) -> None:
        with connection:
            for piece in in_pieces(data, 0):
                connection.sendall(piece)
            if reset:  # closing then resets the connection
                linger = np.array([1, 0], np.int32).tobytes()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)

    return send


def test_a_sender_that_connects() -> None:
    reader = TcpReader("127.0.0.1", 0, listens=True, idle_s=30)
    send = sender_of(HEADER + EVT3 + b"\x01")
    thread = threading.Thread(
        target=lambda: send(socket.create_connection(("127.0.0.1", reader.port)))
    )
    thread.start()
    source = ByteSource(reader)
    np.testing.assert_array_equal(all_of(source), EVENTS)
    assert source.counts == StreamCounts(events=len(EVENTS), cut_packets=1)
    thread.join()


def test_a_sender_that_listens_and_one_that_dies() -> None:
    for reset in (False, True):
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            send = sender_of(EVT3, reset=reset)
            thread = threading.Thread(target=lambda: send(server.accept()[0]))  # noqa: B023
            thread.start()
            source = open_stream(
                f"tcp://127.0.0.1:{port}", encoding="EVT3", sensor_hw=HW, idle_s=30
            )
            if not reset:
                np.testing.assert_array_equal(all_of(source), EVENTS)
            else:
                with pytest.raises(DataError) as error:
                    all_of(source)
                assert str(error.value) == (
                    f"The connection of tcp://127.0.0.1:{port} broke: Connection reset by peer. "
                    "What had arrived was used."
                )
            thread.join()


def test_a_closed_port_and_a_port_in_use() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
        with pytest.raises(DataError) as error:
            open_stream(f"tcp://127.0.0.1:{port}")
        assert str(error.value) == (
            f"Cannot connect to tcp://127.0.0.1:{port}: Connection refused. Start the sender "
            "first, or check address and port."
        )
    reader = UdpReader("127.0.0.1", 0)
    with pytest.raises(DataError) as error:
        open_stream(f"udp://127.0.0.1:{reader.port}")
    assert str(error.value) == (
        f"Cannot receive at udp://127.0.0.1:{reader.port}: Address already in use. Choose another "
        "port or address."
    )
    reader.close()
    assert list(reader.packets()) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("udp://9000", "An address must be HOST:PORT, with a port of 0 to 65535, but is '9000'."),
        ("tcp://a:b", "An address must be HOST:PORT, with a port of 0 to 65535, but is 'a:b'."),
        ("udp://a:70000", "An address must be HOST:PORT, with a port of 0 to 65535, but is "),
        (
            "http://a:1",
            "A stream must begin with udp, tcp, tcp-listen and ://, but is 'http://a:1'.",
        ),
    ],
)
def test_wrong_names(text: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        open_stream(text)
    assert str(error.value).startswith(message)


def test_a_pipe() -> None:
    out, into = os.pipe()
    with os.fdopen(into, "wb") as file:
        file.write(HEADER + EVT3)
    with os.fdopen(out, "rb") as file:
        source = ByteSource(PipeReader(file))
        np.testing.assert_array_equal(all_of(source), EVENTS)
    assert source.waits


def test_a_recording_and_its_end(tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(HEADER + EVT3)
    for real_time in (False, True):
        source = RecordingSource(open_raw(tmp_path / "a.raw"), real_time=real_time)
        assert source.sensor_hw == HW
        np.testing.assert_array_equal(all_of(source), EVENTS)
        assert source.counts.events == len(EVENTS)
    source.close()
    assert len(all_of(source)) == 0


def test_late_events_and_those_outside() -> None:
    t_us = [0, 50, 40, 60, 2_000_000, 999_999, 1_000_000, 2_000_001]
    events = pack_events(t_us, [0, 1, 2, 40, 4, 5, 6, 7], [0] * 8, [1] * 8)
    for split in range(8):
        source = IterableSource([events[:split], events[split:]], HW)
        found = all_of(source)
        assert found["t_us"].tolist() == [0, 50, 50, 2_000_000, 2_000_000, 2_000_001]
        assert found["x"].tolist() == [0, 1, 2, 4, 6, 7]
        assert source.counts == StreamCounts(events=6, out_of_order=2, late=1, outside=1)
    assert events["t_us"].tolist() == t_us


def test_a_clock_that_restarts() -> None:
    late = pack_events(np.arange(0, 1_200_000, 100_000), *[np.zeros(12, int)] * 3)
    before = pack_events([5_000_000], [0], [0], [0])
    source = IterableSource([before, late[:5], late[5:]], HW, name="the camera")
    with pytest.raises(DataError) as error:
        all_of(source)
    assert str(error.value) == (
        "The clock of the camera must not run backwards, but after 5000000 µs it went on from 0 µs "
        "for more than 1 s. It restarted, or a time was damaged. Start again."
    )
    assert source.counts.late == 12


@pytest.mark.parametrize(
    "dtype",
    [
        [("x", "<u2"), ("y", "<u2"), ("p", "<i2"), ("t", "<i8")],
        [("timestamp", "<i8"), ("x", "<i2"), ("y", "<i2"), ("polarity", "u1")],
        [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), ("on", "?")],
    ],
    ids=["Metavision", "dv-processing", "faery"],
)
def test_arrays_of_other_libraries(dtype: list[tuple[str, str]]) -> None:
    packet = np.zeros(len(EVENTS), dtype)
    for name, column in zip(
        ["t_us", "x", "y", "p"],
        [next(n for n in names if n in packet.dtype.names) for names in NAMES],
        strict=True,
    ):
        packet[column] = EVENTS[name]
    np.testing.assert_array_equal(all_of(IterableSource([packet], HW)), EVENTS)


NAMES = (("t", "timestamp"), ("x",), ("y",), ("p", "polarity", "on"))


@pytest.mark.parametrize(
    ("packet", "message"),
    [
        (
            [1, 2],
            "must be a structured array [N] with the fields t_us (or t, timestamp), x, y and ",
        ),
        (np.zeros(3, [("t", "i8"), ("x", "u2")]), "p (or polarity, on), but is fields t, x."),
        (
            np.zeros(3, [("t", "f8"), ("x", "u2"), ("y", "u2"), ("p", "u1")]),
            "`t` of packet 0 of the iterator must be integers, but is float64. Times are in µs.",
        ),
        (
            pack_events([2**62], [0], [0], [0]),
            "The times of packet 0 of the iterator must be within 2⁶¹ µs.",
        ),
    ],
)
def test_wrong_packets(packet: np.ndarray, message: str) -> None:
    with pytest.raises(DataError) as error:
        all_of(IterableSource([packet], HW))
    assert message in str(error.value)


@pytest.mark.usefixtures("decoders")
@pytest.mark.parametrize("encoding", [*ENCODERS, "DAT"])
def test_damaged_packets(tmp_path: Path, encoding: str) -> None:
    """A sentence, or events that are inside of the sensor and in order."""
    if encoding == "DAT":
        data = dat_bytes(tmp_path / "a.dat", EVENTS)
    else:
        header = f"% format {encoding};height=24;width=40\n% end\n".encode()
        data = header + ENCODERS[encoding](EVENTS).tobytes()
    rng = np.random.default_rng(0)
    for case in range(60):
        damaged = mutated(data, rng)
        decoder, arrivals = StreamDecoder("a stream"), Arrivals("a stream")
        found = []
        try:
            pieces = in_pieces(damaged, case) if damaged else []
            found.extend(arrivals.put(decoder.decode(piece), HW) for piece in pieces)
            decoder.finish()
        except DataError as error:
            assert "a stream" in str(error)
        events = np.concatenate([np.empty(0, EVENT_DTYPE), *found])
        assert (np.diff(events["t_us"]) >= 0).all()
        assert (events["x"] < HW[1]).all()
        assert (events["y"] < HW[0]).all()
        assert arrivals.counts.events == len(events)
