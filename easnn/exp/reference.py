"""Tables of all keys, for the terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from tabulate import tabulate

from easnn.config import Key
from easnn.exp.experiment import Experiment

HEADERS = ("key", "value", "allowed", "meaning")
PAGE_HEADERS = (*HEADERS, "when resumed")
COLUMN_WIDTHS = (None, None, 36, 60)
"""Maximum width of each column in a terminal, in characters."""

PAGE = """# Keys

Every key of an experiment, with its default. Set one on the command line (`key value` after the
options) or in an experiment file (`self.key = value`); see [experiments.md](experiments.md).
The last column says what another value does to a run that is resumed; after a change with *AP*,
the best AP starts anew ([training](training.md#resuming-with-other-settings)). `make docs` writes
this page from the declarations.

"""


def keys_table(experiment: Experiment) -> str:
    """Return a table of every key with its value in ``experiment``, for a terminal."""
    tables = {
        group: tabulate(
            [_row(experiment, key) for key in keys],
            HEADERS,
            disable_numparse=True,
            maxcolwidths=list(COLUMN_WIDTHS),  # tabulate 0.9 takes no tuple
        )
        for group, keys in _keys_by_group(experiment)
    }
    return "\n\n".join(f"{group}\n{table}" for group, table in tables.items())


def keys_page(experiment: Experiment) -> str:
    """Return the same tables as a page of Markdown, and what changes do when a run is resumed."""
    tables = {
        group: tabulate(
            [(*_mark_up(_row(experiment, key)), _when_resumed(key)) for key in keys],
            PAGE_HEADERS,
            tablefmt="github",
            disable_numparse=True,
        )
        for group, keys in _keys_by_group(experiment)
    }
    return PAGE + "\n".join(f"## {group}\n\n{table}\n" for group, table in tables.items())


def _keys_by_group(experiment: Experiment) -> Iterator[tuple[str, Iterator[Key]]]:
    return groupby(experiment.declarations().values(), key=lambda key: key.group)


def _row(experiment: Experiment, key: Key) -> tuple[str, str, str, str]:
    return key.name, key.kind.text(getattr(experiment, key.name)), key.allowed, key.meaning


def _when_resumed(key: Key) -> str:
    effect = key.on_resume.effect
    return f"{effect} (*AP*)" if key.scores else effect


def _mark_up(row: tuple[str, str, str, str]) -> tuple[str, str, str, str]:
    key, value, allowed, meaning = row
    return f"`{key}`", f"`{value}`", allowed, meaning
