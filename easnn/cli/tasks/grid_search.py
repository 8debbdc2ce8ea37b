"""The table of ``--grid_search``, with one row per training run."""

from __future__ import annotations

import argparse
import csv
import io
import os
import shlex
from pathlib import Path

from easnn.engine import RunDirectory, TrainResult
from easnn.utils.errors import OutputError
from easnn.utils.locks import exclusive

COLUMNS = ("best_ap", "checkpoint", "command")


def check_grid_search(options: argparse.Namespace) -> None:
    """Check before training that a row can be appended later; create a new table with its header.

    In a dry run, only the header of a table that is there is checked, and nothing is written.

    Raises:
        OutputError: if the table cannot be written, or has another header.
    """
    path = options.grid_search
    if path is None:
        return
    if not options.dry_run:
        _append(path)
    elif path.exists():
        try:
            _check_header(path.read_bytes(), path)
        except OSError as error:
            raise _cannot_append(path, error) from error


def note_grid_search(options: argparse.Namespace, result: TrainResult, run: RunDirectory) -> None:
    """Append the row of a training run, if requested by the options.

    If the AP is not defined, its cell is empty and the checkpoint is the latest one. A run that was
    resumed does not append the row that it has already.

    Raises:
        OutputError: if the table cannot be written, or has another header.
    """
    if options.grid_search is not None:
        checkpoint = run.latest if result.best_ap is None else run.best
        command = shlex.join(("easnn", "train", *options.argv))
        row = (result.best_ap, checkpoint, command)
        _append(options.grid_search, row, once=options.resume)


def _append(path: Path, *rows: tuple[object, ...], once: bool = False) -> None:
    """Append all rows or, on an error, none. Other processes may append concurrently.

    Args:
        path: the table.
        rows: the rows.
        once: whether to leave out rows that are there already.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(path), path.open("a+b", buffering=0) as file:
            file.seek(0)
            content = file.read()
            _check_header(content, path)
            if not content:
                writer.writerow(COLUMNS)
            elif not content.endswith(b"\n"):  # edited by hand
                text.write("\n")
            there = list(csv.reader(io.StringIO(content.decode(errors="replace"))))
            writer.writerows(
                row for row in rows if not (once and [_cell(value) for value in row] in there)
            )
            data = text.getvalue().encode(errors="surrogateescape")  # as paths were given
            try:
                while data:
                    data = data[file.write(data) :]
                os.fsync(file.fileno())
            except OSError:
                file.truncate(len(content))
                raise
    except OSError as error:
        raise _cannot_append(path, error) from error


def _check_header(content: bytes, path: Path) -> None:
    """Check that a table is empty or begins with our header."""
    header = content.decode("utf-8-sig", errors="replace").partition("\n")[0].rstrip("\r")
    if content and header != ",".join(COLUMNS):
        raise OutputError(
            f"{path} must begin with the header {','.join(COLUMNS)}, but begins with {header!r}. "
            "Choose another file."
        )


def _cannot_append(path: Path, error: OSError) -> OutputError:
    return OutputError(
        f"Cannot append to {path}: {error.strerror}. Choose another file or free some space."
    )


def _cell(value: object) -> str:
    """Return a value as the text of a cell, as :mod:`csv` writes it."""
    return "" if value is None else str(value)
