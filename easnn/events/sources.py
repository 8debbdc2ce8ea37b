"""Sources of events that arrive one packet after another: recordings, pipes, ports, iterators.

A source is iterated once. What it yields is in order: an event that comes after a later one gets
the time of that one, as in the files that easnn reads, unless it is more than 1 s late, when it is
dropped. Both are counted, and so are packets that did not arrive whole.
"""

from __future__ import annotations

import math
import os
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol

import numpy as np

from easnn.events.checks import LATE_US, MAX_TIME_US, NO_TIME_US, running_maximum
from easnn.events.dtypes import EVENT_DTYPE, copied, pack_events
from easnn.events.recording import Recording
from easnn.events.stream_decode import StreamDecoder
from easnn.utils.errors import DataError

READ_BYTES = 65_536
POLL_S = 0.1
"""How often a source that waits looks whether it was closed, in seconds."""
RECEIVE_BUFFER_BYTES = 8 << 20
"""What is asked of the system for a UDP port; it may give less."""
PLAYED_US = 5000
"""How much of a recording is one packet, in µs."""

SO_RXQ_OVFL = 40
"""Linux: a datagram comes with the number of those that were lost before it (socket(7))."""

FIELDS = {
    "t_us": ("t_us", "t", "timestamp"),
    "x": ("x",),
    "y": ("y",),
    "p": ("p", "polarity", "on"),
}
"""Names of the fields of structured arrays of events in easnn and other libraries."""


@dataclass
class StreamCounts:
    """What arrived from a source so far.

    Attributes:
        events: number of events, without those that were dropped.
        out_of_order: events that came up to 1 s after a later one, and got its time.
        late: events that came more than that after a later one, and were dropped.
        outside: events outside of the sensor, which were dropped.
        lost_packets: packets that the system received and lost, as far as it says so.
        cut_packets: packets that ended within a word, whose beginning was dropped.
    """

    events: int = 0
    out_of_order: int = 0
    late: int = 0
    outside: int = 0
    lost_packets: int = 0
    cut_packets: int = 0


class EventSource(Protocol):
    """A source of events, packet by packet."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def sensor_hw(self) -> tuple[int, int] | None:
        """Height and width of the sensor in pixels; None if they are not known (yet)."""
        ...

    @property
    def counts(self) -> StreamCounts:
        """What arrived so far."""
        ...

    @property
    def waits(self) -> bool:
        """Whether nothing is lost if the next packet is fetched late."""
        ...

    def __iter__(self) -> Iterator[np.ndarray]:
        """Yield events [N] (EVENT_DTYPE) in order; N may be 0.

        Raises:
            DataError: if what arrives is damaged, or the connection breaks.
        """
        ...

    def close(self) -> None:
        """End the iteration soon, also from another thread; again does nothing."""
        ...


class Arrivals:
    """Brings arriving events in order, and counts what is wrong with them.

    Args:
        name: name of the source, for errors.
    """

    def __init__(self, name: str) -> None:
        self.counts = StreamCounts()
        self._name = name
        self._latest_us = NO_TIME_US
        self._late_since_us: int | None = None

    def put(self, events: np.ndarray, sensor_hw: tuple[int, int] | None) -> np.ndarray:
        """Return the events that are kept of the next packet, in order; ``events`` may be changed.

        Args:
            events: the events (EVENT_DTYPE).
            sensor_hw: height and width of the sensor in pixels; None: not checked.

        Raises:
            DataError: if all events have been late for a second: the clock restarted.
        """
        if sensor_hw is not None:
            outside = (events["x"] >= sensor_hw[1]) | (events["y"] >= sensor_hw[0])
            if outside.any():
                self.counts.outside += int(np.count_nonzero(outside))
                events = events[~outside]
        if len(events) == 0:
            return events
        latest = running_maximum(events["t_us"], self._latest_us)
        late_us = latest - events["t_us"]
        if late_us.any():
            too_late = late_us > LATE_US
            if too_late.any():
                self.counts.late += int(np.count_nonzero(too_late))
                self._check_clock(events["t_us"], every_one=bool(too_late.all()))
                events, latest, late_us = (
                    values[~too_late] for values in (events, latest, late_us)
                )
            self.counts.out_of_order += int(np.count_nonzero(late_us))
            events["t_us"] = latest
        if len(events):
            self._late_since_us = None
            self._latest_us = int(latest[-1])
            self.counts.events += len(events)
        return events

    def _check_clock(self, t_us: np.ndarray, *, every_one: bool) -> None:
        if not every_one:
            return
        if self._late_since_us is None:
            self._late_since_us = int(t_us[0])
        if int(t_us.max()) - self._late_since_us >= LATE_US:
            raise DataError(
                f"The clock of {self._name} must not run backwards, but after {self._latest_us} µs "
                f"it went on from {self._late_since_us} µs for more than 1 s. It restarted, or a "
                "time was damaged. Start again."
            )


class RecordingSource:
    """Plays a recording.

    Args:
        recording: the recording.
        real_time: whether packets come at the speed at which the recording was made, rather than as
            fast as they are fetched.
    """

    def __init__(self, recording: Recording, *, real_time: bool = False) -> None:
        self.name = str(recording.path)
        self.waits = not real_time
        self.sensor_hw = recording.sensor_hw
        self.counts = StreamCounts()
        self._recording = recording
        self._closed = threading.Event()

    def __iter__(self) -> Iterator[np.ndarray]:
        """See :class:`EventSource`."""
        began = time.monotonic()
        first_us, last_us = self._recording.first_us, self._recording.last_us
        for start_us in range(first_us, last_us + 1, PLAYED_US):
            end_us = min(start_us + PLAYED_US, last_us + 1)
            events = self._recording.window(start_us, end_us)
            if not self.waits:
                left_s = began + (end_us - first_us) / 1e6 - time.monotonic()
                self._closed.wait(max(0.0, left_s))
            if self._closed.is_set():
                return
            self.counts.events += len(events)
            yield events

    def close(self) -> None:
        """See :class:`EventSource`."""
        self._closed.set()


class IterableSource:
    """Takes events from a Python iterable of structured arrays, such as a camera's.

    Args:
        packets: arrays [N] with fields for time in µs, x, y and polarity, named as in
            :data:`FIELDS`.
        sensor_hw: height and width of the sensor in pixels.
        name: what it is called in messages.
        waits: whether the iterable may be read late without a loss.
    """

    def __init__(
        self,
        packets: Iterable[np.ndarray],
        sensor_hw: tuple[int, int],
        *,
        name: str = "the iterator",
        waits: bool = False,
    ) -> None:
        self.name = name
        self.waits = waits
        self.sensor_hw = sensor_hw
        self._packets = packets
        self._arrivals = Arrivals(name)
        self._closed = False

    @property
    def counts(self) -> StreamCounts:
        """See :class:`EventSource`."""
        return self._arrivals.counts

    def __iter__(self) -> Iterator[np.ndarray]:
        """See :class:`EventSource`."""
        for number, packet in enumerate(self._packets):
            if self._closed:
                return
            yield self._arrivals.put(self._events(packet, number), self.sensor_hw)

    def close(self) -> None:
        """See :class:`EventSource`; the iterable must return from its present step."""
        self._closed = True

    def _events(self, packet: np.ndarray, number: int) -> np.ndarray:
        """Return a copy of a packet as EVENT_DTYPE."""
        fields = getattr(getattr(packet, "dtype", None), "names", None)
        found = {
            name: next((field for field in names if field in (fields or ())), None)
            for name, names in FIELDS.items()
        }
        if None in found.values() or packet.ndim != 1:
            has = type(packet).__name__ if fields is None else f"fields {', '.join(fields)}"
            raise DataError(
                f"Packet {number} of {self.name} must be a structured array [N] with the fields "
                f"t_us (or t, timestamp), x, y and p (or polarity, on), but is {has}."
            )
        if packet.dtype == EVENT_DTYPE:
            events = copied(packet)
        else:
            t, x, y, p = (np.asarray(packet[found[name]]) for name in ("t_us", "x", "y", "p"))
            for values, name in ((t, found["t_us"]), (x, "x"), (y, "y")):
                if values.dtype.kind not in "iu":
                    raise DataError(
                        f"`{name}` of packet {number} of {self.name} must be integers, but is "
                        f"{values.dtype}. Times are in µs."
                    )
            x, y = (np.where((v < 0) | (v > 65_535), 65_535, v) for v in (x, y))  # outside
            events = pack_events(t, x, y, p > 0)
        if len(events) and np.abs(events["t_us"]).max() > MAX_TIME_US:
            raise DataError(f"The times of packet {number} of {self.name} must be within 2⁶¹ µs.")
        return events


class PacketReader(Protocol):
    """Where the bytes of a stream come from."""

    @property
    def name(self) -> str:
        """What it is called in messages."""
        ...

    @property
    def bounded(self) -> bool:
        """Whether no word continues in the next packet."""
        ...

    @property
    def waits(self) -> bool:
        """See :class:`EventSource`."""
        ...

    @property
    def lost(self) -> int:
        """Number of packets that the system lost so far."""
        ...

    def packets(self) -> Iterator[bytes]:
        """Yield bytes as they arrive."""
        ...

    def close(self) -> None:
        """See :class:`EventSource`."""
        ...


class ByteSource:
    """Decodes a stream of bytes.

    Args:
        reader: where the bytes come from.
        encoding: see :class:`~easnn.events.stream_decode.StreamDecoder`.
        sensor_hw: height and width of the sensor in pixels; None: as the header says.
    """

    def __init__(
        self,
        reader: PacketReader,
        *,
        encoding: str | None = None,
        sensor_hw: tuple[int, int] | None = None,
    ) -> None:
        self.name = reader.name
        self.waits = reader.waits
        self._reader = reader
        self._given_hw = sensor_hw
        self._decoder = StreamDecoder(reader.name, encoding)
        self._arrivals = Arrivals(reader.name)

    @property
    def sensor_hw(self) -> tuple[int, int] | None:
        """See :class:`EventSource`."""
        return self._given_hw or self._decoder.sensor_hw

    @property
    def counts(self) -> StreamCounts:
        """See :class:`EventSource`."""
        return self._arrivals.counts

    def __iter__(self) -> Iterator[np.ndarray]:
        """See :class:`EventSource`."""
        for data in self._reader.packets():
            events = self._decoder.decode(data)
            if self._reader.bounded:
                self.counts.cut_packets += self._decoder.cut_off() > 0
            self.counts.lost_packets = self._reader.lost
            yield self._arrivals.put(events, self.sensor_hw)
        self.counts.cut_packets += self._decoder.finish() > 0

    def close(self) -> None:
        """See :class:`EventSource`."""
        self._reader.close()


class PipeReader:
    """Reads standard input, or another file that is read to its end: a :class:`PacketReader`."""

    bounded, waits, lost = False, True, 0

    def __init__(self, file: BinaryIO | None = None, name: str = "standard input") -> None:
        self.name = name
        self._file = file
        self._closed = False

    def packets(self) -> Iterator[bytes]:
        """See :class:`PacketReader`."""
        number = (sys.stdin.buffer if self._file is None else self._file).fileno()
        while not self._closed and (data := os.read(number, READ_BYTES)):
            yield data

    def close(self) -> None:
        """See :class:`PacketReader`."""
        self._closed = True


class _SocketReader:
    """What readers of ports share: waiting that can be ended, and the time without a packet."""

    lost = 0

    def __init__(self, name: str, idle_s: float | None) -> None:
        self.name = name
        self._idle_s = idle_s
        self._heard = False
        self._closed = False

    def close(self) -> None:
        """See :class:`PacketReader`."""
        self._closed = True

    def _waiting(self) -> Iterator[None]:
        """Yield until the reader is closed, or too long has passed since the call.

        The first packet is waited for as long as it takes: its sender may not have started.
        """
        idle_s = self._idle_s if self._heard and self._idle_s is not None else math.inf
        began = time.monotonic()
        while not self._closed and time.monotonic() - began < idle_s:
            yield


class UdpReader(_SocketReader):
    """Receives datagrams at a port: a :class:`PacketReader`.

    Args:
        host: address of this machine at which they arrive; empty: all of them.
        port: the port; 0: any free one, see ``port``.
        idle_s: the stream ends so many seconds after a packet without another; None: it does not.

    Raises:
        DataError: if the port cannot be opened.
    """

    bounded, waits = True, False

    def __init__(self, host: str, port: int, *, idle_s: float | None = None) -> None:
        super().__init__(f"udp://{host}:{port}", idle_s)
        self._socket = _bound(host, port, socket.SOCK_DGRAM, self.name)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        if sys.platform == "linux":
            self._socket.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
        self._socket.settimeout(POLL_S)
        self.port: int = self._socket.getsockname()[1]

    def packets(self) -> Iterator[bytes]:
        """See :class:`PacketReader`."""
        with self._socket:
            while (data := self._next()) is not None:
                yield data

    def _next(self) -> bytes | None:
        for _ in self._waiting():
            try:
                data, extra, _, _ = self._socket.recvmsg(READ_BYTES, socket.CMSG_SPACE(4))
            except TimeoutError:
                continue
            self._heard = True
            for level, kind, value in extra:
                if (level, kind) == (socket.SOL_SOCKET, SO_RXQ_OVFL):
                    [self.lost] = struct.unpack("=I", value[:4])
            return data
        return None


class TcpReader(_SocketReader):
    """Receives bytes over one connection: a :class:`PacketReader`.

    Args:
        host: the sender, or, if it listens, an address of this machine; empty: all of them.
        port: the port; 0 if it listens: any free one, see ``port``.
        listens: whether the sender connects to this program, rather than this program to it.
        idle_s: the stream ends after so many seconds without a packet; None: only when the sender
            ends it.

    Raises:
        DataError: if the port cannot be opened, or nothing listens at that of the sender.
    """

    bounded, waits = False, True

    def __init__(
        self, host: str, port: int, *, listens: bool = False, idle_s: float | None = None
    ) -> None:
        super().__init__(f"{'tcp-listen' if listens else 'tcp'}://{host}:{port}", idle_s)
        self._listens = listens
        if listens:
            self._socket = _bound(host, port, socket.SOCK_STREAM, self.name)
            self._socket.listen(1)
        else:
            try:
                self._socket = socket.create_connection((host, port), timeout=10)
            except OSError as error:
                raise DataError(
                    f"Cannot connect to {self.name}: {error.strerror or error}. Start the sender "
                    "first, or check address and port."
                ) from error
        self._socket.settimeout(POLL_S)
        self.port: int = self._socket.getsockname()[1]

    def packets(self) -> Iterator[bytes]:
        """See :class:`PacketReader`."""
        with self._socket:
            if not self._listens:
                self._heard = True
                yield from self._received(self._socket)
                return
            for _ in self._waiting():
                try:
                    connection, _ = self._socket.accept()
                except TimeoutError:
                    continue
                connection.settimeout(POLL_S)
                self._heard = True
                with connection:
                    yield from self._received(connection)
                return

    def _received(self, connection: socket.socket) -> Iterator[bytes]:
        while data := self._next(connection):
            yield data

    def _next(self, connection: socket.socket) -> bytes:
        for _ in self._waiting():
            try:
                return connection.recv(READ_BYTES)
            except TimeoutError:
                continue
            except OSError as error:
                raise DataError(
                    f"The connection of {self.name} broke: {error.strerror or error}. What had "
                    "arrived was used."
                ) from error
        return b""


def address(text: str) -> tuple[str, int]:
    """Parse ``HOST:PORT`` or ``:PORT``.

    Raises:
        DataError: if the text is not of this form.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise DataError(
            f"An address must be HOST:PORT, with a port of 0 to 65535, but is {text!r}."
        )
    return host.strip("[]"), int(port)


SCHEMES: Sequence[str] = ("udp", "tcp", "tcp-listen")
"""What a name of a port may begin with."""


def open_stream(
    text: str,
    *,
    encoding: str | None = None,
    sensor_hw: tuple[int, int] | None = None,
    idle_s: float | None = None,
) -> ByteSource:
    """Open standard input (``-``) or a port, such as ``udp://:9000``.

    Args:
        text: ``-``, ``udp://[HOST]:PORT``, ``tcp://HOST:PORT`` (this program connects) or
            ``tcp-listen://[HOST]:PORT`` (the sender does).
        encoding: EVT2, EVT21, EVT3 or DAT without a header; None: as a header says.
        sensor_hw: height and width of the sensor in pixels; None: as the header says.
        idle_s: a port ends so many seconds after a packet without another; None: it does not.

    Raises:
        DataError: if the name is wrong or the port cannot be opened.
    """
    if text == "-":
        return ByteSource(PipeReader(), encoding=encoding, sensor_hw=sensor_hw)
    scheme, _, rest = text.partition("://")
    if scheme not in SCHEMES:
        raise DataError(f"A stream must begin with {', '.join(SCHEMES)} and ://, but is {text!r}.")
    host, port = address(rest)
    reader: PacketReader
    if scheme == "udp":
        reader = UdpReader(host, port, idle_s=idle_s)
    else:
        reader = TcpReader(host, port, listens=scheme == "tcp-listen", idle_s=idle_s)
    return ByteSource(reader, encoding=encoding, sensor_hw=sensor_hw)


def _bound(host: str, port: int, kind: socket.SocketKind, name: str) -> socket.socket:
    """Return a socket at an address of this machine."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, kind)
    try:
        if kind == socket.SOCK_STREAM:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
    except OSError as error:
        opened.close()
        raise DataError(
            f"Cannot receive at {name}: {error.strerror or error}. Choose another port or address."
        ) from error
    return opened
