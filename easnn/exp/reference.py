"""Tables of all keys, for the terminal and for the documentation."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from tabulate import tabulate

from easnn.exp.experiment import Experiment

HEADERS = ("key", "value", "allowed", "meaning")
COLUMN_WIDTHS = (None, None, 36, 60)
"""Maximum width of each column in a terminal, in characters."""

PAGE = """# Keys

Every key of an experiment, with its default. Set one on the command line (`key value` after the
options) or in an experiment file (`self.key = value`); see [experiments.md](experiments.md).
`make docs` writes this page from the declarations.

"""


def keys_table(experiment: Experiment) -> str:
    """Return a table of every key with its value in ``experiment``, for a terminal."""
    widths = list(COLUMN_WIDTHS)  # tabulate 0.9 takes no tuple
    return "\n\n".join(
        f"{group}\n{tabulate(rows, HEADERS, disable_numparse=True, maxcolwidths=widths)}"
        for group, rows in _rows_by_group(experiment)
    )


def keys_page(experiment: Experiment) -> str:
    """Return the same tables as a page of Markdown."""
    tables = {
        group: tabulate(map(_mark_up, rows), HEADERS, tablefmt="github", disable_numparse=True)
        for group, rows in _rows_by_group(experiment)
    }
    return PAGE + "\n".join(f"## {group}\n\n{table}\n" for group, table in tables.items())


def _rows_by_group(experiment: Experiment) -> Iterator[tuple[str, list[tuple[str, str, str, str]]]]:
    for group, keys in groupby(experiment.declarations().values(), key=lambda key: key.group):
        yield (
            group,
            [
                (key.name, key.kind.text(getattr(experiment, key.name)), key.allowed, key.meaning)
                for key in keys
            ],
        )


def _mark_up(row: tuple[str, str, str, str]) -> tuple[str, str, str, str]:
    key, value, allowed, meaning = row
    return f"`{key}`", f"`{value}`", allowed, meaning
