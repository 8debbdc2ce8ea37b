"""Mixed precision: which type the forward pass computes in, and how small gradients survive it."""

from __future__ import annotations

import torch


class Precision:
    """Full precision, or mixed precision with the type that the device is good at.

    On CUDA that is float16 with a scaled loss, on the CPU bfloat16, which has the range of float32
    and needs no scaling.

    Attributes:
        scaler: Scales the loss; it does nothing where no scaling is needed.

    Args:
        device: Where the model is.
        mixed: Whether to use mixed precision at all.
    """

    def __init__(self, device: torch.device, *, mixed: bool) -> None:
        self._device_type = device.type
        self._dtype = torch.float16 if device.type == "cuda" else torch.bfloat16
        self._mixed = mixed
        self.scaler = torch.amp.GradScaler(
            device.type, enabled=mixed and self._dtype == torch.float16
        )

    def autocast(self) -> torch.autocast:
        """Return the context for a forward pass and its loss."""
        return torch.autocast(self._device_type, dtype=self._dtype, enabled=self._mixed)
