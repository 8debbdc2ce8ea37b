"""Stopping on a signal without losing work."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Within the ``with`` block, SIGINT and SIGTERM are remembered instead of ending the process.

    A process forked within the block, such as a data worker, inherits this and ignores the signals: it is its
    parent that decides.

    Attributes:
        received: Number of the first signal received, 0 if none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._process = os.getpid()
        self._immediately = False
        self._outer_handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():  # only there can handlers be set
            self._outer_handlers = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._outer_handlers.items():
            signal.signal(number, handler)

    @contextmanager
    def immediate(self) -> Iterator[None]:
        """Within the block, a signal ends the process at once: for long work whose start is saved."""
        self._immediately = True
        self._exit_if_received()
        try:
            yield
        finally:
            self._immediately = False

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if os.getpid() != self._process:
            return
        self.received = self.received or number
        if self._immediately:
            self._exit_if_received()

    def _exit_if_received(self) -> None:
        if self.received:
            raise SystemExit(exit_code(self.received))


def exit_code(signal_number: int) -> int:
    """Return the exit code of a process that a signal ended: 130 for SIGINT, 143 for SIGTERM."""
    return 128 + signal_number
