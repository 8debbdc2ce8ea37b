"""What a runtime builds: functions that compute the network for batches of one shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from torch import Tensor

from easnn.models import EventDetector
from easnn.utils.options import PrecisionName

Pass = Callable[[Tensor], tuple[Tensor, Tensor]]
"""Maps events ``[b,Tl,Tm,C,h,w]`` to the output of the embedding, and to the outputs of the network
``[b,A,5+classes]``."""


@dataclass(frozen=True)
class Inference:
    """The network, ready to compute batches ``[b,Tl,Tm,C,h,w]`` of one shape from any thread.

    Attributes:
        detect: returns the outputs of the network ``[b,A,5+classes]``: cx, cy, w, h in pixels,
            objectness, class probabilities.
        observe: also returns the output of the embedding, ``[Ts,b,C,h,w]`` or ``[b,C,h,w]``, of the
            same pass; first.
        precision: the autocast context that the functions need. The precision of a compiled network
            is part of it, and it needs none (``exact``).
    """

    detect: Callable[[Tensor], Tensor]
    observe: Pass
    precision: PrecisionName

    @classmethod
    def of_modules(cls, model: EventDetector, precision: PrecisionName) -> Self:
        """Return functions that run the modules of ``model``."""

        def observe(events: Tensor) -> tuple[Tensor, Tensor]:
            written = model.embedding(events)
            outputs = model.detect(written)
            assert isinstance(outputs, Tensor)  # without targets
            return written, outputs

        return cls(detect=model, observe=observe, precision=precision)

    @classmethod
    def of_pass(cls, compiled: Pass) -> Self:
        """Return functions that call a compiled network."""
        return cls(
            detect=lambda events: compiled(events)[1],
            observe=compiled,
            precision="exact",
        )
