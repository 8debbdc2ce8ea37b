"""What a check gets, and what it finds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from easnn.utils.options import PrecisionName
from easnn.utils.precision import mixed_precision

Number = float | int | str | None


@dataclass(frozen=True)
class Setting:
    """Where and how thoroughly to check.

    Attributes:
        device: the device to check.
        quick: small sizes and few repetitions: for a CPU, which cannot do more in minutes.
    """

    device: torch.device
    quick: bool = False

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.type == "cuda"

    @property
    def precisions(self) -> tuple[PrecisionName, PrecisionName]:
        """``exact`` and the mixed precision of the device."""
        return "exact", mixed_precision(self.device)


@dataclass(frozen=True)
class Outcome:
    """The result of a check.

    Attributes:
        passed: None if the check does not apply here.
        detail: what was found, in a line.
        numbers: what was measured, by name.
    """

    passed: bool | None
    detail: str
    numbers: Mapping[str, Number] = field(default_factory=dict)

    @classmethod
    def within(cls, errors: Mapping[str, float], limit: float, what: str) -> Outcome:
        """Return the outcome of a comparison: passed if no error is above the limit.

        Args:
            errors: relative errors by name; NaN is above every limit.
            limit: the largest allowed one.
            what: what was compared.
        """
        worst = max(errors, key=lambda name: (errors[name] != errors[name], errors[name]))
        passed = errors[worst] <= limit
        return cls(
            passed,
            f"{what}: largest relative error {errors[worst]:.1e} ({worst}), limit {limit:.0e}",
            dict(errors),
        )

    @classmethod
    def not_here(cls, reason: str) -> Outcome:
        """Return the outcome of a check that does not apply."""
        return cls(None, reason)
