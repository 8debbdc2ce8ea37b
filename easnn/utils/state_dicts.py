"""State dicts of files: whether they are some, their names, and whether their values are finite."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeGuard

import torch
from torch import Tensor

from easnn.utils.errors import CheckpointError

SHOWN = 3
"""How many names of parameters that are not finite a message lists."""

_WRAPPERS = re.compile(r"^(module\.)+|(?<![^.])_orig_mod\.")


def is_state_dict(value: object) -> TypeGuard[Mapping[str, Tensor]]:
    """Return whether a value maps names to dense tensors that hold real numbers."""
    return isinstance(value, Mapping) and all(
        isinstance(name, str) and isinstance(weight, Tensor) and _is_dense(weight)
        for name, weight in value.items()
    )


def unwrapped(name: str) -> str:
    """Return the name of a parameter without the parts that wrappers of the network add.

    These are ``module.`` in front, of DistributedDataParallel and averaged models, and
    ``_orig_mod.`` anywhere, of ``torch.compile``.
    """
    previous = None
    while previous != name:
        previous, name = name, _WRAPPERS.sub("", name)
    return name


def check_finite(weights: Mapping[str, Tensor], source: str) -> None:
    """Check that all weights are finite: a network with others detects nothing, without an error.

    Args:
        weights: a state dict.
        source: its origin, for the message.

    Raises:
        CheckpointError: naming the parameters that are not.
    """
    wrong = [name for name, weight in weights.items() if not _is_finite(weight)]
    if wrong:
        rest = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise CheckpointError(
            f"The weights of {source} must be finite, but there are NaN or infinite values in "
            f"{', '.join(wrong[:SHOWN])}{rest}. Use another checkpoint, e.g. an earlier one of the "
            "same run."
        )


def _is_dense(weight: Tensor) -> bool:
    return (
        weight.layout is torch.strided
        and not weight.is_meta
        and not weight.is_nested
        and not weight.is_quantized
        and not weight.is_complex()
    )


def _is_finite(weight: Tensor) -> bool:
    if not weight.numel() or not (weight.is_floating_point() or weight.is_complex()):
        return True
    if weight.is_complex():
        weight = torch.view_as_real(weight.resolve_conj())
    if weight.dtype.itemsize == 1:  # torch has no extremes of 8-bit floats
        weight = weight.float()
    # The extremes are NaN if any value is; they take a tenth of the time of torch.isfinite.
    return all(extreme.isfinite().item() for extreme in weight.detach().aminmax())
