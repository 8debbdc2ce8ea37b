"""All randomness of a run derives from one seed.

A generator is made from the seed and the names of what it is for, e.g. ``generator(seed, "placement", epoch,
index)``. So a random number depends on what it is used for and never on how many were drawn before it, by
which worker or on which rank.
"""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch


def derive_seed(*parts: int | str) -> int:
    """Return a 63-bit seed that is a pure function of ``parts``."""
    digest = hashlib.sha256("\x1f".join(f"{type(p).__name__}:{p}" for p in parts).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def generator(*parts: int | str) -> np.random.Generator:
    """Return a NumPy generator whose stream is a pure function of ``parts``."""
    return np.random.Generator(np.random.PCG64(derive_seed(*parts)))


def seed_everything(seed: int) -> None:
    """Seed the process-wide generators of Python, NumPy and torch.

    Only the initialisation of weights draws from them; data and augmentation use :func:`generator`.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - libraries that use the legacy generator must repeat, too
    torch.manual_seed(seed)
