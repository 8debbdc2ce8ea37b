"""The checkpoint format of this framework; files are written atomically."""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
import torch
from torch import Tensor

from easnn.utils.errors import CheckpointError
from easnn.utils.state_dicts import check_finite, is_state_dict
from easnn.utils.tensor_file import read_tensor_file, write_tensor_file

FORMAT = 1
"""Version of the format; files of other versions are rejected."""

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
"""Entries of a checkpoint: ``model`` is the evaluated model, ``raw_model`` the trained one."""


MAX_COUNT = 2**53
"""Epochs, steps and updates of a run are fewer."""

SHOWN = 40
"""Characters of a value that a message shows."""


def save_checkpoint(path: Path, checkpoint: Mapping[str, Any]) -> None:
    """Write a checkpoint atomically: ``path`` is the old file or the complete new one.

    Args:
        path: the file.
        checkpoint: tensors and plain values in dicts, lists and tuples; see :data:`KEYS`.
            ``format`` and ``versions`` are added.

    Raises:
        OutputError: if the file cannot be written; an existing file stays as it is.
        TypeError: if the checkpoint contains other objects, which cannot be loaded safely.
    """
    whole = {**checkpoint, "format": FORMAT, "versions": _versions()}
    _check_plain(whole, "checkpoint")
    write_tensor_file(path, whole)


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of this framework; its tensors are on the CPU.

    Raises:
        CheckpointError: if the file is missing, damaged, contains executable code or weights that
            are not finite, or is not a checkpoint of this framework.
    """
    return own_checkpoint(read_tensor_file(path), path)


def own_checkpoint(checkpoint: object, path: Path) -> dict[str, Any]:
    """Return the contents of a file after checking that it is a checkpoint of this framework.

    Args:
        checkpoint: the contents of the file.
        path: the file, for messages.

    Raises:
        CheckpointError: if it is something else, incomplete, or of another version, or if its
            weights are not finite.
    """
    if not is_own(checkpoint):
        raise CheckpointError(
            f"{path} is not a checkpoint of this framework: it has no `format`. Give a file that a "
            "training run wrote, such as latest_ckpt.pth or best_ckpt.pth."
        )
    if checkpoint["format"] != FORMAT:
        raise CheckpointError(
            f"{path} has checkpoint format {checkpoint['format']}, but this version reads format "
            f"{FORMAT}. Use the version of the software that wrote it."
        )
    missing = [key for key in KEYS if key not in checkpoint]
    if missing:
        raise CheckpointError(
            f"{path} is not a complete checkpoint: it has no {', '.join(missing)}. Copy it again."
        )
    for name in ("model", "raw_model"):
        if not is_state_dict(checkpoint[name]):
            raise CheckpointError(
                f"`{name}` of {path} must map names to tensors of real numbers, but does not. "
                "Give another checkpoint."
            )
        check_finite(checkpoint[name], str(path))
    return checkpoint


def check_run(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Check the entries of a checkpoint that say where its run was, apart from the weights.

    Args:
        checkpoint: from :func:`own_checkpoint`.
        path: the file, for messages.

    Raises:
        CheckpointError: if an entry cannot be that of a run.
    """
    for name in ("epoch", "step", "steps_per_epoch", "ema_updates", "steps_done"):
        number = checkpoint.get(name, 0)  # earlier versions did not write `steps_done`
        if type(number) is not int or not 0 <= number < MAX_COUNT:
            raise _impossible(path, name, f"a whole number of 0 to {MAX_COUNT - 1}", number)
    if checkpoint["step"] > checkpoint["steps_per_epoch"]:
        limit = f"at most `steps_per_epoch` ({checkpoint['steps_per_epoch']})"
        raise _impossible(path, "step", limit, checkpoint["step"])
    for name in ("optimizer", "scaler", "options"):
        entry = checkpoint.get(name, {})  # earlier versions did not write `options`
        if not isinstance(entry, Mapping):
            raise _impossible(path, name, "a dictionary", entry)
    changes = checkpoint.get("changes", [])  # nor `changes` and `best_counts`
    if not (isinstance(changes, list) and all(isinstance(c, Mapping) for c in changes)):
        raise _impossible(path, "changes", "a list of dictionaries", changes)
    counts = checkpoint.get("best_counts")
    if counts is not None and not (
        isinstance(counts, list) and len(counts) == 2 and all(type(n) is int for n in counts)
    ):
        raise _impossible(path, "best_counts", "None or two whole numbers", counts)
    if not isinstance(checkpoint["rng"], list):
        raise _impossible(path, "rng", "a list with the states of each process", checkpoint["rng"])
    for name, kind in (("best_ap", float), ("best_epoch", int)):
        if not isinstance(checkpoint[name], kind | None):
            raise _impossible(path, name, f"None or of type {kind.__name__}", checkpoint[name])
    if checkpoint["best_ap"] is not None and not math.isfinite(checkpoint["best_ap"]):
        raise _impossible(path, "best_ap", "a finite number", checkpoint["best_ap"])


def _impossible(path: Path, name: str, expected: str, found: object) -> CheckpointError:
    shown = repr(found) if isinstance(found, int | float | str) else type(found).__name__
    return CheckpointError(
        f"`{name}` of {path} must be {expected}, but is {shown[:SHOWN]}. The file is damaged: "
        "resume from another checkpoint."
    )


def is_own(contents: object) -> TypeGuard[dict[str, Any]]:
    """Return whether a file with these contents was written by this framework."""
    return isinstance(contents, dict) and "format" in contents


def _check_plain(value: object, where: str) -> None:
    """Reject objects that ``torch.load(weights_only=True)`` cannot load, before they are saved."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            _check_plain(key, f"a key of {where}")
            _check_plain(item, f"{where}[{key!r}]")
    elif type(value) in (list, tuple):
        for index, item in enumerate(value):  # type: ignore[arg-type]
            _check_plain(item, f"{where}[{index}]")
    elif type(value) not in (Tensor, int, float, str, bool, type(None)):
        raise TypeError(
            f"{where} must be a tensor or a plain value, but is a {type(value).__name__}."
        )


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
    }
