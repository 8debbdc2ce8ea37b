"""The states of the process-wide random number generators, as plain values and back."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch


def capture_rng() -> dict[str, Any]:
    """Return the states of the generators of Python, NumPy, torch and this process's GPU, if it has one."""
    numpy_state: dict[str, Any] = np.random.get_state(legacy=False)  # noqa: NPY002
    mersenne = numpy_state["state"]
    return {
        "python": random.getstate(),
        "numpy": {
            **numpy_state,
            "state": {**mersenne, "key": torch.from_numpy(mersenne["key"].astype(np.int64))},
        },
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state() if torch.cuda.is_available() else None,
    }


def restore_rng(states: dict[str, Any]) -> None:
    """Put the generators into the states that :func:`capture_rng` returned."""
    random.setstate(states["python"])
    mersenne = states["numpy"]["state"]
    key = mersenne["key"].numpy().astype(np.uint32)
    np.random.set_state({**states["numpy"], "state": {**mersenne, "key": key}})  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if states["cuda"] is not None and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
