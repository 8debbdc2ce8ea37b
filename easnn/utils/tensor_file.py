"""Files of ``torch.save``: reading executes no code, and writing is atomic."""

from __future__ import annotations

import errno
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch

from easnn.utils.errors import CheckpointError, DamagedCheckpointError, OutputError
from easnn.utils.files import atomic_write, special_kind

_MAKE_SCALAR = cast(Callable[..., Any], np.float64(0).__reduce__()[0])
ALLOWED: list[Callable[..., Any] | tuple[Callable[..., Any], str]] = [
    np.dtype,
    *(type(np.dtype(code)) for code in "?bhilqBHILQefd"),
    *((_MAKE_SCALAR, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
]
"""NumPy scalars, under their names in NumPy 1 and 2; allowed besides tensors and plain values."""


def read_tensor_file(path: Path) -> object:
    """Read a file of ``torch.save`` in the new or the old format; its tensors are on the CPU.

    Raises:
        CheckpointError: if the file is missing, damaged, or contains executable code.
    """
    try:
        if not path.is_file():
            special = special_kind(path)
            fault = "is a folder" if path.is_dir() else "does not exist"
            if special is not None:
                fault = f"is not a regular file, but {special}"
            raise CheckpointError(f"Checkpoint {path} {fault}. Check the path given with -c.")
        if not _checksums_hold(path):
            raise _damaged(path)
        with torch.serialization.safe_globals(ALLOWED):
            contents = torch.load(path, map_location="cpu", weights_only=True)
        if any(_is_larger_than_stored(tensor) for tensor in _tensors(contents)):
            raise CheckpointError(
                f"{path} has tensors of more numbers than the file holds. Use another checkpoint."
            )
        return contents
    except OSError as error:
        if error.errno == errno.EINVAL:  # a seek to an impossible place that the file names
            raise _damaged(path) from error
        raise CheckpointError(f"Cannot read checkpoint {path}: {error.strerror}.") from error
    except pickle.UnpicklingError as error:
        # A complete file, or an error that names a function: the file is not damaged.
        if zipfile.is_zipfile(path) or "GLOBAL" in str(error):
            raise CheckpointError(
                f"{path} contains objects other than tensors and plain values, and reading them "
                "could execute code; it was not read. Save its weights as a plain state dict with "
                "the software that wrote it."
            ) from error
        raise _damaged(path) from error
    except (
        RuntimeError,
        EOFError,
        ValueError,
        KeyError,
        IndexError,
        AttributeError,
        TypeError,
    ) as error:
        # torch raises these for files that are not checkpoints.
        raise _damaged(path) from error


def write_tensor_file(path: Path, contents: object) -> None:
    """Write tensors and plain values atomically: ``path`` is the old file or the complete new one.

    Raises:
        OutputError: if the file cannot be written; an existing file stays as it is.
    """
    with atomic_write(path) as file:
        try:
            torch.save(contents, file)
        except RuntimeError as error:  # torch hides the operating system's error in its own
            raise OutputError(
                f"Cannot write {path}: the disk is probably full. Nothing was replaced; free some "
                "space or choose another directory."
            ) from error


def _checksums_hold(path: Path) -> bool:
    """Return whether the contents of a file match its checksums, which torch does not check.

    Files in the format that preceded zip have no checksums.
    """
    try:
        if not zipfile.is_zipfile(path):
            return True
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, RuntimeError, ValueError, EOFError, struct.error, zlib.error):
        return False


def _tensors(value: object) -> Iterator[torch.Tensor]:
    """Yield all tensors in nested dicts, lists and tuples."""
    waiting, seen = [value], set()
    while waiting:
        item = waiting.pop()
        if isinstance(item, torch.Tensor):
            yield item
        elif isinstance(item, Mapping | list | tuple) and id(item) not in seen:
            seen.add(id(item))  # it may contain itself
            waiting += item.values() if isinstance(item, Mapping) else item


def _is_larger_than_stored(tensor: torch.Tensor) -> bool:
    """Return whether a tensor repeats its numbers, so that a small file could fill the memory."""
    if tensor.layout is not torch.strided or tensor.is_meta or tensor.is_nested:
        return False
    return tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()


def _damaged(path: Path) -> DamagedCheckpointError:
    return DamagedCheckpointError(
        f"{path} ({path.stat().st_size} bytes) is truncated, damaged, or not a checkpoint. Copy it "
        "again, or use another one."
    )
