"""Algorithms that compute the same numbers in every run."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.utils.deterministic

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
WORKSPACE_SIZES = ":4096:8"
"""Eight buffers of 4 MiB, with which cuBLAS adds in the same order in every run (its manual)."""


@contextmanager
def deterministic_algorithms(enabled: bool = True) -> Iterator[None]:
    """Let torch take only algorithms that compute the same numbers in every run, in the block.

    On a CPU, torch takes these anyway. An operation without such an algorithm on a GPU is computed
    all the same, and torch names it in a warning. cuBLAS reads its setting when the GPU multiplies
    matrices for the first time, so the block should begin before.

    Args:
        enabled: False lets torch take the fastest algorithms, as by default.
    """
    before = _settings()
    workspace = os.environ.get(WORKSPACE)
    if enabled:
        os.environ.setdefault(WORKSPACE, WORKSPACE_SIZES)
    # No result depends on the memory that `fill_uninitialized_memory` would fill.
    _set(enabled, enabled, False, torch.backends.cudnn.benchmark and not enabled)
    try:
        yield
    finally:
        _set(*before)
        if enabled and workspace is None:
            os.environ.pop(WORKSPACE, None)


def guarantee(device: torch.device) -> str:
    """Return what a deterministic training promises on a device, and what it costs."""
    if device.type == "cuda":
        return (
            "torch, cuDNN and cuBLAS take algorithms that compute the same numbers in every run, "
            "with the same kind of GPU, versions and number of processes. They can be slower: "
            "`--dry-run --deterministic` measures by how much. An operation without such an "
            "algorithm is named in a warning."
        )
    return (
        "on a CPU every run computes the same numbers anyway, with the same kind of processor, "
        f"versions, number of processes and threads ({torch.get_num_threads()}). It costs nothing."
    )


def _settings() -> tuple[bool, bool, bool, bool]:
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        torch.backends.cudnn.benchmark,
    )


def _set(deterministic: bool, warn_only: bool, fill: bool, benchmark: bool) -> None:
    torch.use_deterministic_algorithms(deterministic, warn_only=warn_only)
    torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = benchmark
