"""Errors that a user can act on.

A message names the file or key, what was found, what was expected and what to do. The command line prints
such an error as one line and exits with a non-zero code; every other exception keeps its traceback, because
it is a fault of the program and not of the input.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class EasnnError(Exception):
    """Base of all errors whose message tells the user what is wrong with the input."""


class ConfigError(EasnnError):
    """A key, an option, a combination of them or an experiment file is wrong."""


class DataError(EasnnError):
    """A recording, an annotation or the layout of a dataset is wrong."""


class CheckpointError(EasnnError):
    """A checkpoint cannot be read, or belongs to another model."""


class TrainingError(EasnnError):
    """A run had to stop: a loss is not finite, or a process was lost."""


class OutputError(EasnnError):
    """A result cannot be written: no permission, no space left, or something else is in the way."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean `x`?`` for the nearest known name, or an empty string if none is near."""
    matches = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f" Did you mean `{matches[0]}`?" if matches else ""
