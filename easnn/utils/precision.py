"""Mixed precision: autocast and loss scaling."""

from __future__ import annotations

import torch


class Precision:
    """Full or mixed precision on a device.

    Mixed precision uses float16 with loss scaling on CUDA. On the CPU it uses bfloat16, which has
    the range of float32 and needs no scaling.

    Attributes:
        scaler: scales the loss; a no-op if no scaling is needed.

    Args:
        device: device of the model.
        mixed: whether to use mixed precision.
    """

    def __init__(self, device: torch.device, *, mixed: bool) -> None:
        self._device_type = device.type
        self._dtype = torch.float16 if device.type == "cuda" else torch.bfloat16
        self._mixed = mixed
        self.scaler = torch.amp.GradScaler(
            device.type, enabled=mixed and self._dtype == torch.float16
        )

    def autocast(self) -> torch.autocast:
        """Return the context manager for the forward pass and the loss."""
        return torch.autocast(self._device_type, dtype=self._dtype, enabled=self._mixed)
