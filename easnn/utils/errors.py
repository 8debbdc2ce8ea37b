"""Errors that the user can fix.

A message names the file or key, the value found, the value expected and what to do. The command
line prints such an error as one line and exits with a non-zero code. Every other exception is a bug
in the program and keeps its traceback.
"""

from __future__ import annotations

import difflib
import errno
import os
import sys
from collections.abc import Iterable
from typing import TypeGuard


class EasnnError(Exception):
    """Base class of all errors that the user can fix."""


class ConfigError(EasnnError):
    """A key, an option, a combination of them or an experiment file is wrong."""


class DataError(EasnnError):
    """A recording, an annotation or the layout of a dataset is wrong."""


class CheckpointError(EasnnError):
    """A checkpoint cannot be read, or belongs to another model."""


class DamagedCheckpointError(CheckpointError):
    """The file of a checkpoint is truncated or damaged."""


class TrainingError(EasnnError):
    """A run had to stop: a loss is not finite, or a process failed."""


class LostProcessError(TrainingError):
    """A process of a run was killed, or does not answer; another try may succeed."""


class InsufficientMemoryError(EasnnError):
    """The memory of the computer or of its GPU does not suffice."""


class OutputError(EasnnError):
    """A result cannot be written: no permission, no space left, or the path is already in use."""


ADVICE = {
    errno.EACCES: "Change its permissions, or give another path.",
    errno.EPERM: "Change its permissions, or give another path.",
    errno.EROFS: "Give a path on a disk that can be written to.",
    errno.ENOSPC: "Free some space, or give a path on another disk.",
    errno.EDQUOT: "Free some space, or give a path on another disk.",
    errno.ENAMETOOLONG: "Give a shorter path.",
    errno.EMFILE: "Raise the limit of open files (`ulimit -n`), or use fewer `data_num_workers`.",
}
"""What to do about errors of the operating system."""


def said_plainly(error: Exception) -> EasnnError | None:
    """Return what the operating system refuses, files or memory, as an error the user can fix.

    Returns:
        A :class:`DataError` whose message names the path, or an :class:`InsufficientMemoryError`;
        ``None`` if the error does not come from the operating system, so that it may be a bug.
    """
    if lacks_memory(error):
        return InsufficientMemoryError(
            f"The memory does not suffice{what_was_refused(error)}. End other programs, or make "
            "the work smaller: in a training, with a smaller batch (-b), --fp16, fewer "
            "`data_num_workers` or `activation_checkpointing True`."
        )
    if not isinstance(error, OSError) or error.errno is None:
        return None
    names = [os.fsdecode(name) for name in (error.filename, error.filename2) if _is_path(name)]
    paths = f"Cannot use {' and '.join(names)}: " if names else ""
    reason = (error.strerror or os.strerror(error.errno)).rstrip(".")
    return DataError(f"{paths}{reason}. {ADVICE.get(error.errno, '')}".rstrip())


def lacks_memory(error: Exception) -> bool:
    """Return whether Python, NumPy or torch, on a CPU or a GPU, could not allocate memory."""
    torch = sys.modules.get("torch")  # not imported for this: without torch, no error is torch's
    return isinstance(error, MemoryError) or (
        torch is not None
        and isinstance(error, RuntimeError)
        and (isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error))
    )


def what_was_refused(error: Exception) -> str:
    """Return the first line of an error after ``: ``, without its full stop; "" if it is empty."""
    line = str(error).partition("\n")[0].rstrip(". ")
    return f": {line}" if line else ""


def _is_path(name: object) -> TypeGuard[str | bytes]:
    return isinstance(name, str | bytes)  # else None, or the number of an open file


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean `x`?`` for the most similar known name, or "" if none is similar."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean `{matches[0]}`?" if matches else ""
