"""Errors that the user can fix.

A message names the file or key, the value found, the value expected and what to do. The command
line prints such an error as one line and exits with a non-zero code. Every other exception is a bug
in the program and keeps its traceback.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EasnnError(Exception):
    """Base class of all errors that the user can fix."""


class ConfigError(EasnnError):
    """A key, an option, a combination of them or an experiment file is wrong."""


class DataError(EasnnError):
    """A recording, an annotation or the layout of a dataset is wrong."""


class CheckpointError(EasnnError):
    """A checkpoint cannot be read, or belongs to another model."""


class TrainingError(EasnnError):
    """A run had to stop: a loss is not finite, or a process failed."""


class LostProcessError(TrainingError):
    """A process of a run was killed, or does not answer; another try may succeed."""


class OutputError(EasnnError):
    """A result cannot be written: no permission, no space left, or the path is already in use."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean `x`?`` for the most similar known name, or "" if none is similar."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean `{matches[0]}`?" if matches else ""
