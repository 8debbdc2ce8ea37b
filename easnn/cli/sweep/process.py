"""A command of a sweep as a process of its own."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from easnn.cli.sweep.devices import Environment


class LoggedProcess:
    """Runs commands one after the other and keeps what they print.

    Args:
        log: file to which they print; it grows.
        environment: what they find in theirs besides ours.
        lock: number of an open file that they inherit.
    """

    def __init__(self, log: Path, environment: Environment, lock: int) -> None:
        self.log = log
        self._environment = environment
        self._lock = lock
        self._process: asyncio.subprocess.Process | None = None
        self._signal: signal.Signals | None = None

    async def run(self, command: Sequence[str]) -> str | None:
        """Run a command; return ``None`` if it ended well, else its exit code and the last line it printed."""
        with self.log.open("ab") as output:
            begin = output.tell()
            self._process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self._environment},
                pass_fds=(self._lock,),
                start_new_session=True,  # Ctrl-C in a terminal reaches it through us, and once
            )
        if self._signal is not None:  # came while the process was started
            self.stop(self._signal)
        code = await self._process.wait()
        self._process = None
        return None if code == 0 else f"{_ending(code)}: {_last_line(self.log, begin)}"

    def stop(self, number: signal.Signals) -> None:
        """Send a signal to the process, or to the next one if none is there yet."""
        self._signal = number
        if self._process is not None:
            with suppress(ProcessLookupError):  # it has just ended
                self._process.send_signal(number)


def _ending(code: int) -> str:
    return f"exit code {code}" if code > 0 else signal.Signals(-code).name


def _last_line(log: Path, begin: int) -> str:
    """Return the last line with something in it from byte ``begin`` on."""
    with log.open("rb") as output:
        output.seek(begin)
        lines = output.read().decode(errors="replace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "it printed nothing")
