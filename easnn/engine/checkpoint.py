"""Checkpoint files: written whole or not at all, and read without executing anything."""

from __future__ import annotations

import pickle
import platform
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from easnn.utils.errors import CheckpointError, OutputError
from easnn.utils.files import atomic_write

FORMAT = 1
"""Version of the layout; a reader refuses any other."""

KEYS = (
    "format",
    "model",
    "raw_model",
    "optimizer",
    "scaler",
    "ema_updates",
    "epoch",
    "step",
    "steps_per_epoch",
    "rng",
    "best_ap",
    "best_epoch",
    "experiment",
    "versions",
)
"""What a checkpoint holds: ``model`` are the weights to evaluate, ``raw_model`` those to train on with."""


def save_checkpoint(path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically: ``path`` holds the old one or the whole new one.

    Args:
        path: File to write.
        checkpoint: Tensors and plain values in dicts, lists and tuples; see :data:`KEYS`. ``format`` and
            ``versions`` are added.

    Raises:
        OutputError: if the file cannot be written; what was there is left as it was.
        TypeError: if the checkpoint holds anything else, because such a file could not be read safely.
    """
    whole = {**checkpoint, "format": FORMAT, "versions": _versions()}
    _check_plain(whole, "checkpoint")
    with atomic_write(path) as file:
        try:
            torch.save(whole, file)
        except RuntimeError as error:  # torch hides the operating system's error in its own
            raise OutputError(
                f"Cannot write {path}: the disk is probably full. Nothing was replaced; free some space or "
                "choose another directory."
            ) from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of this framework; its tensors come to the CPU.

    Raises:
        CheckpointError: if the file is missing, damaged, holds executable content, or is something else.
    """
    checkpoint = _read(path)
    if not isinstance(checkpoint, dict) or "format" not in checkpoint:
        raise CheckpointError(
            f"{path} is not a checkpoint of this framework: it has no `format`. Give a file that a training "
            "run wrote, such as latest_ckpt.pth or best_ckpt.pth."
        )
    if checkpoint["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {checkpoint['format']}, but this version reads format {FORMAT}. "
            "Use the version of the software that wrote it."
        )
    missing = [key for key in KEYS if key not in checkpoint]
    if missing:
        raise CheckpointError(f"{path} is not a whole checkpoint: it has no {', '.join(missing)}.")
    return checkpoint


def _read(path: Path) -> object:
    if not path.is_file():
        raise CheckpointError(f"Checkpoint {path} does not exist. Check the path given with -c.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise CheckpointError(f"Cannot read checkpoint {path}: {error.strerror}.") from error
    except pickle.UnpicklingError as error:
        if zipfile.is_zipfile(path) or "GLOBAL" in str(error):  # a whole file, or a function is named in it
            raise CheckpointError(
                f"{path} holds something other than tensors and plain values, and reading it could execute code; it "
                "was not read. Save its weights as a plain state dict with the software that made it."
            ) from error
        raise _damaged(path) from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, AttributeError, TypeError) as error:
        raise _damaged(path) from error  # what torch's readers raise on bytes that are no checkpoint


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(
        f"{path} ({path.stat().st_size} bytes) is truncated or not a checkpoint. Copy it again, or take "
        "another one."
    )


def _check_plain(value: object, where: str) -> None:
    """Refuse what ``torch.load(weights_only=True)`` would refuse, while it can still be mended."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_plain(key, f"a key of {where}")
            _check_plain(item, f"{where}[{key!r}]")
    elif type(value) in (list, tuple):
        for index, item in enumerate(value):  # type: ignore[arg-type]
            _check_plain(item, f"{where}[{index}]")
    elif type(value) not in (Tensor, int, float, str, bool, type(None)):
        raise TypeError(f"{where} must be a tensor or a plain value, but is a {type(value).__name__}.")


def _versions() -> dict[str, str]:
    return {"python": platform.python_version(), "torch": str(torch.__version__), "numpy": np.__version__}
