"""What one convolution does for a frame."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from easnn.analysis.energy.synapses import (
    accumulates,
    describe_conv,
    multiply_accumulates,
    padded_macs,
    unpacked,
)

AC_PJ, MAC_PJ = 0.9, 4.6
"""Energy of an accumulate and of a multiply-accumulate of 32-bit floats in 45 nm (Horowitz, ISSCC 2014)."""


def energy_pj(accumulates: float, macs: float) -> float:
    """Return the energy of operations in pJ."""
    return AC_PJ * accumulates + MAC_PJ * macs


@dataclass(frozen=True, kw_only=True)
class LayerOperations:
    """What a convolution did; numbers of operations and runs are means over the frames.

    Attributes:
        name: its name in the model.
        shape: channels, kernel and stride, e.g. ``64→128 3×3/2``.
        spikes: whether its input is spikes, or sums of them: then it accumulates.
        runs: images that it convolves: time steps, sampling steps, or 1.
        input_rate: spikes per input value; None where the input is no spikes.
        input_nonzero: share of the input values that are not zero.
        input_most: largest input value of all frames.
        accumulates: accumulate operations; k for a sum of k spikes.
        accumulates_nonzero: the same with 1 for a sum of spikes.
        macs: multiply-accumulate operations.
        synapses: what ``macs`` would be if the input were no spikes.
        padded: what ``macs`` would be if the input were no spikes and padding were multiplied, too.
    """

    name: str
    shape: str
    spikes: bool
    runs: float
    input_rate: float | None
    input_nonzero: float
    input_most: float
    accumulates: float
    accumulates_nonzero: float
    macs: float
    synapses: float
    padded: float

    @property
    def part(self) -> str:
        """The part of the detector that it belongs to."""
        return self.name.split(".")[0]

    @property
    def energy_pj(self) -> float:
        """Energy of its operations in pJ."""
        return energy_pj(self.accumulates, self.macs)


class OperationCount:
    """Adds up what a convolution does.

    Args:
        conv: the convolution.
        spikes: whether its input is spikes or sums of them.
    """

    def __init__(self, conv: nn.Conv2d, *, spikes: bool) -> None:
        self._conv, self._spikes = conv, spikes
        self._images = self._values = self._nonzero = 0
        self._total = self._most = 0.0
        self._accumulates = self._accumulates_nonzero = self._synapses = self._padded = 0

    def add(self, input: Tensor, output: Tensor) -> None:
        """Add a call, by what the hook of a convolution sees."""
        conv = self._conv
        images, results = unpacked(conv, input), unpacked(conv, output)
        not_zero = images != 0
        self._images += len(images)
        self._values += images.numel()
        self._nonzero += int(not_zero.sum())
        self._total += float(images.sum(dtype=torch.float64))
        self._most = max(self._most, float(images.max()))
        self._synapses += multiply_accumulates(conv, images)
        self._padded += padded_macs(conv, results)
        if self._spikes:
            self._accumulates += accumulates(conv, images)
            self._accumulates_nonzero += accumulates(conv, not_zero)

    def per_frame(self, name: str, frames: int) -> LayerOperations:
        """Return the means over the frames of the convolution called ``name``."""
        return LayerOperations(
            name=name,
            shape=describe_conv(self._conv),
            spikes=self._spikes,
            runs=self._images / frames,
            input_rate=self._total / self._values if self._spikes else None,
            input_nonzero=self._nonzero / self._values,
            input_most=self._most,
            accumulates=self._accumulates / frames,
            accumulates_nonzero=self._accumulates_nonzero / frames,
            macs=0.0 if self._spikes else self._synapses / frames,
            synapses=self._synapses / frames,
            padded=self._padded / frames,
        )
