"""Deriving all randomness of a run from one seed.

A generator is created from the seed and a description of its purpose, e.g. ``generator(seed,
"placement", epoch, index)``. A random number therefore depends only on its purpose, not on how many
numbers were drawn before, on the worker or on the rank.
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
    """Seed the global generators of Python, NumPy and torch.

    Only weight initialisation uses them; data and augmentation use :func:`generator`.
    """
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - for libraries that use the legacy generator
    torch.manual_seed(seed)
