"""``dataset.json``: what a dataset of event recordings or RVT sequences may declare."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from easnn.utils.errors import DataError
from easnn.utils.files import refuse_special, remove_unfinished, write_json

FILE_NAME = "dataset.json"


@dataclass(frozen=True)
class DatasetInfo:
    """Contents of ``dataset.json``; None for what it does not declare.

    Attributes:
        class_names: name of each class id, in order.
        sensor_hw: height and width of the sensor in pixels.
    """

    class_names: tuple[str, ...] | None = None
    sensor_hw: tuple[int, int] | None = None


def read_dataset_info(root: Path, *, unfinished: bool = False) -> DatasetInfo:
    """Read ``root/dataset.json``, which is optional and may also hold other entries.

    Args:
        root: folder of the dataset.
        unfinished: whether to accept a dataset whose creation was interrupted.

    Raises:
        DataError: if the file cannot be read or is not a JSON object, an entry has the wrong type,
            or the dataset is not complete.
    """
    path = root / FILE_NAME
    entries = _entries(path)
    if entries.get("complete") is False and not unfinished:
        raise DataError(
            f"{path} says that this dataset is not complete: the command that makes it was "
            "interrupted. Repeat it, and it resumes where it stopped."
        )
    names, size = entries.get("class_names"), entries.get("sensor_hw")
    if names is not None and not (_is_list_of(str, names) and names):
        raise DataError(
            f'{path}: "class_names" must be a list of names, such as ["car"], but is {names!r}.'
        )
    if size is not None and not (_is_list_of(int, size) and len(size) == 2 and min(size) > 0):
        raise DataError(f'{path}: "sensor_hw" must be [height, width] in pixels, but is {size!r}.')
    return DatasetInfo(
        class_names=None if names is None else tuple(names),
        sensor_hw=None if size is None else (size[0], size[1]),
    )


@contextmanager
def marked_incomplete(root: Path) -> Iterator[None]:
    """Mark a dataset as incomplete in ``root/dataset.json`` until the block ends without an error.

    Raises:
        DataError: if the file cannot be read or is not a JSON object.
        OutputError: if it cannot be written.
    """
    path = root / FILE_NAME
    entries = _entries(path)
    remove_unfinished(root, FILE_NAME)
    write_json(path, {**entries, "complete": False})
    yield
    write_json(path, {**entries, "complete": True})


def _entries(path: Path) -> dict[str, Any]:
    refuse_special(path)
    try:
        text = path.read_bytes()
    except OSError as error:
        if not path.is_symlink() and isinstance(error, FileNotFoundError | NotADirectoryError):
            return {}
        raise DataError(f"Cannot read {path}: {error.strerror}.") from error
    try:
        entries = json.loads(text)
    except (ValueError, RecursionError) as error:  # the latter for very deep nesting
        raise DataError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(entries, dict):
        raise DataError(f"{path} must hold a JSON object, but holds {type(entries).__name__}.")
    return entries


def _is_list_of(item_type: type, value: Any) -> bool:
    return isinstance(value, list) and all(type(item) is item_type for item in value)
