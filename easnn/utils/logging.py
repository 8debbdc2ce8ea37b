"""Logging to the console and to a file, from one or several processes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from loguru import logger
from tqdm import tqdm

from easnn.utils.distributed import is_main, rank
from easnn.utils.errors import OutputError

if TYPE_CHECKING:
    from loguru import Record

CONSOLE_FORMAT = (
    "<green>{time:HH:mm:ss}</green> | <level>{level: <7}</level> | <level>{message}</level>"
)
FILE_FORMAT = "{time:YYYY-MM-DD HH:mm:ss} | {level: <7} | {message}"


def setup_logging(log_file: Path | None = None) -> None:
    """Log to the console and, on the main process, also to a file.

    Other processes log only warnings and errors, marked with their rank. On a terminal, messages
    bound with ``progress=True`` go to the file only, because a progress bar shows the same
    information.

    Args:
        log_file: the file to append to.

    Raises:
        OutputError: if the file cannot be written.
    """
    mark = "" if is_main() else f"[process {rank()}] "
    logger.remove()
    logger.add(
        lambda message: tqdm.write(message, file=sys.stderr, end=""),
        format=CONSOLE_FORMAT.replace("{message}", mark + "{message}"),
        level="INFO" if is_main() else "WARNING",
        filter=_hide_progress if on_terminal() else None,
        colorize=on_terminal(),
    )
    if log_file is not None and is_main():
        try:
            logger.add(_LogFile(log_file), format=FILE_FORMAT, level="INFO")
        except OSError as error:
            raise OutputError(
                f"Cannot write {log_file}: {error.strerror}. Choose another directory or free some "
                "space."
            ) from error


class _LogFile:
    """Appends messages to a file until that fails, which is said once: the run goes on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: TextIO | None = path.open(
            "a",
            encoding="utf-8",
            errors="backslashreplace",  # parts of file names that are no text
            buffering=1,
        )

    def write(self, message: str) -> None:
        """Append a message, a whole line."""
        if self._file is None:
            return
        try:
            self._file.write(message)
        except OSError as error:
            self._file = None
            print(
                f"warning: Cannot write {self._path}: {error.strerror}. Messages are shown here "
                "only from now on.",
                file=sys.stderr,
            )


def on_terminal() -> bool:
    """Return whether this is the main process on a terminal, where progress bars are shown."""
    return is_main() and sys.stderr.isatty()


def _hide_progress(record: Record) -> bool:
    return not record["extra"].get("progress", False)
