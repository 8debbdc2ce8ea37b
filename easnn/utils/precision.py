"""The arithmetic of a network: float32 or mixed precision, with autocast and loss scaling."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import torch
from loguru import logger

from easnn.utils.distributed import is_main
from easnn.utils.errors import ConfigError
from easnn.utils.options import PrecisionName

DTYPES: Mapping[PrecisionName, torch.dtype] = MappingProxyType(
    {"exact": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
)
"""What convolutions compute in."""


class Precision:
    """The arithmetic of a network on a device.

    ``exact`` computes in float32. ``bf16`` and ``fp16`` are mixed precision: convolutions compute
    in bfloat16 or float16, membranes and losses in float32. Float16 has a smaller range, so its
    losses are scaled; bfloat16 has the range of float32 and needs no scaling.

    Attributes:
        scaler: scales the loss; a no-op if no scaling is needed.

    Args:
        device: device of the model.
        name: the precision.
    """

    def __init__(self, device: torch.device, name: PrecisionName) -> None:
        self._device_type = device.type
        self._name = name
        self.scaler = torch.amp.GradScaler(device.type, enabled=name == "fp16")

    def autocast(self) -> torch.autocast:
        """Return the context manager for the forward pass and the loss."""
        mixed = self._name != "exact"
        # torch checks the type even if autocast is off, and takes its default if it is None.
        dtype = DTYPES[self._name] if mixed else None
        return torch.autocast(self._device_type, dtype=dtype, enabled=mixed)


def mixed_precision(device: torch.device) -> PrecisionName:
    """Return the mixed precision that ``--fp16`` chooses: ``bf16`` on a CPU, else ``fp16``."""
    return "bf16" if device.type == "cpu" else "fp16"


def check_precision(name: PrecisionName, device: torch.device) -> None:
    """Check that a device can compute in a precision.

    Raises:
        ConfigError: if it cannot.
    """
    if name == "fp16" and device.type == "cpu":
        raise ConfigError(
            "`precision fp16` needs a GPU, but this process uses the CPU. Use bf16 or exact."
        )
    if name == "bf16" and device.type == "cuda" and not _has_bfloat16(device):
        raise ConfigError(
            f"`precision bf16` needs a GPU with bfloat16, but {torch.cuda.get_device_name(device)} "
            "has none. Use fp16 or exact."
        )


def usable_precision(name: PrecisionName, device: torch.device) -> PrecisionName:
    """Return the precision of a training, or ``exact`` with a warning if the device lacks it."""
    try:
        check_precision(name, device)
    except ConfigError:
        if is_main():
            logger.warning(
                "The network was trained with `precision {}`, which {} does not have: it computes "
                "with `precision exact`.",
                name,
                "a CPU" if device.type == "cpu" else "this GPU",
            )
        return "exact"
    return name


def _has_bfloat16(device: torch.device) -> bool:
    major, _ = torch.cuda.get_device_capability(device)
    return major >= 8  # below, torch emulates it
