"""Stopping a run on a signal without losing work."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Self

SIGNALS: tuple[int, ...] = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Within the ``with`` block, some signals are recorded instead of ending the process.

    Processes forked within the block, such as data workers, inherit the handlers and ignore the
    signals: their parent stops them.

    Args:
        numbers: the signals.

    Attributes:
        received: number of the first signal received, 0 if none.
    """

    def __init__(self, numbers: Sequence[int] = SIGNALS) -> None:
        self.received = 0
        self._numbers = tuple(numbers)
        self._process = os.getpid()
        self._immediately = False
        self._outer_handlers = ExitStack()

    def __enter__(self) -> Self:
        self._outer_handlers.enter_context(handlers_restored(self._numbers))
        if in_main_thread():
            for number in self._numbers:
                signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *error: object) -> None:
        self._outer_handlers.close()

    @contextmanager
    def immediate(self) -> Iterator[None]:
        """Let a signal end the process at once: for long work that starts from a saved state."""
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


@contextmanager
def handlers_restored(numbers: Sequence[int] = SIGNALS) -> Iterator[None]:
    """Restore the handlers of ``numbers`` and of what ends a terminal when the block ends."""
    handlers = {
        number: signal.getsignal(number) for number in (*numbers, signal.SIGHUP, signal.SIGQUIT)
    }
    try:
        yield
    finally:
        if in_main_thread():
            for number, handler in handlers.items():
                signal.signal(number, handler)


def in_main_thread() -> bool:
    """Return whether signal handlers can be set: Python allows it in the main thread only."""
    return threading.current_thread() is threading.main_thread()


def exit_code(signal_number: int) -> int:
    """Return the exit code of a process ended by a signal, such as 143 for SIGTERM."""
    return 128 + signal_number
