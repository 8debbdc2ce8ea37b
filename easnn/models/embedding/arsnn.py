"""The adaptive sampling embedding (EAS-SNN paper, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from easnn.kernels import SegmentRules, native_segments
from easnn.models.config import DetectorConfig
from easnn.models.embedding.base import EventEmbedding, SamplerTrace
from easnn.models.embedding.packed import unpack
from easnn.models.embedding.recurrence import GatedRecurrence, SamplingStep


class SegmentEnds(NamedTuple):
    """The segments that end at the same moment: at most one per pixel.

    Tensors are packed, ``[B, 4·C, h, w]``, as those of a :class:`SamplingStep`.

    Attributes:
        step: the step at whose end they end.
        by_spike: whether spikes end them, or the end of the sequence.
        where: pixels whose segment ends, bool.
        segment: number n of the segment; the segments of a pixel are counted from 0.
        value: readout of the segment.
        accumulated: A.
        span: steps since the last spike.
    """

    step: int
    by_spike: bool
    where: Tensor
    segment: Tensor
    value: Tensor
    accumulated: Tensor
    span: Tensor

    def of_segment(self, n: int, quantity: Tensor | float) -> Tensor:
        """Return ``quantity`` where segment ``n`` ends, and 0 elsewhere."""
        return torch.where(self.where & (self.segment == n), quantity, 0)


class AdaptiveSampling(EventEmbedding):
    """Each pixel decides for itself, by a spike, when a segment of its events is complete.

    With membrane U (V after the reset) and spike S of :class:`GatedRecurrence`, the sum A of U
    since the last spike, n segments written and the last spike at ``t_last`` (−1 at first)::

        where S[t] = 1 and n < Ts:
            out[n] = A (sum) | U (last) | A / (t − t_last) (avg);   n += 1;   A = 0
        where S = 0 in the last step and n < Ts:
            out[n] = A (sum) | V (last) | A / (t − t_last) (avg)

    ``spike_attach`` multiplies the value of a segment by the spike that ends it. The value stays
    the same, and the gradient reaches the spike. ``write_zero`` drops the residue, which no spike
    ends.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__(config)
        self.recurrence = GatedRecurrence(config)
        self.rules = SegmentRules(
            config.Ts,
            config.readout,
            config.spike_attach,
            config.write_zero,
            self.recurrence.firing,
        )

    def embed(self, slices: Tensor) -> Tensor:
        """Turn slices ``[S, B, C, H, W]``, oldest first, into segments ``[Ts, B, C, H, W]``."""
        if self.recurrence.is_native(slices):
            return native_segments(self.recurrence.native_membranes(slices), self.rules)
        return self._written(self._segment_ends(self.recurrence(slices)))

    def trace_slices(self, slices: Tensor) -> SamplerTrace:
        """Trace slices ``[S, B, C, H, W]``, oldest first."""
        steps = self.recurrence(slices)
        ends = list(self._segment_ends(steps))
        written = self._written(ends)
        surplus = [
            torch.where(e.where & (e.segment >= self.rules.Ts), e.accumulated.abs(), 0)
            for e in ends
        ]
        return SamplerTrace(
            spikes=unpack(torch.stack([step.spikes for step in steps])) > 0,
            end_step=self._by_segment(ends, lambda e: e.step + 1.0).long() - 1,
            by_spike=self._by_segment(ends, lambda e: float(e.by_spike)) > 0,
            span_steps=self._by_segment(ends, lambda e: e.span).long(),
            accumulated=self._by_segment(ends, lambda e: e.accumulated),
            value=self._by_segment(ends, lambda e: e.value),
            written=written,
            surplus=unpack(torch.stack(surplus).sum(0)),
            output=self.finish(written),
            adaptive=True,
            drops_residue=self.rules.write_zero,
        )

    def spikes_of_slices(self, slices: Tensor) -> Tensor:
        """Return the spikes for slices ``[S, B, C, H, W]``, oldest first."""
        return self.recurrence.spikes(slices)

    def _written(self, ends: Iterable[SegmentEnds]) -> Tensor:
        """Return what is written of the segments ``[Ts, B, C, H, W]``."""
        kept = (e for e in ends if e.by_spike or not self.rules.write_zero)
        return self._by_segment(kept, lambda e: e.value)

    def _by_segment(
        self, ends: Iterable[SegmentEnds], quantity: Callable[[SegmentEnds], Tensor | float]
    ) -> Tensor:
        """Return a quantity of each segment ``[Ts, B, C, H, W]``, 0 where there is no segment."""
        segments: list[Tensor] = []  # Ts of [B, 4·C, h, w]
        for e in ends:
            of_pixels = quantity(e)
            ended = [e.of_segment(n, of_pixels) for n in range(self.rules.Ts)]
            # A segment of a pixel ends once at most, so the sum is over a single value.
            segments = [a + b for a, b in zip(segments, ended, strict=True)] if segments else ended
        return unpack(torch.stack(segments))

    def _segment_ends(self, steps: Sequence[SamplingStep]) -> Iterator[SegmentEnds]:
        """Yield the segments that the spikes of each step end, then those that no spike ends."""
        accumulated = torch.zeros_like(steps[0].membrane)  # [B, 4·C, h, w], as all tensors here
        span, segment = torch.zeros_like(accumulated), torch.zeros_like(accumulated)
        for number, (membrane, spikes, _) in enumerate(steps):
            accumulated, span, fired = accumulated + membrane, span + 1, spikes > 0
            value = self._read(accumulated, membrane, span)
            value = value * spikes if self.rules.spike_attach else value
            yield SegmentEnds(number, True, fired, segment, value, accumulated, span)
            segment = segment + fired
            accumulated, span = accumulated.masked_fill(fired, 0), span.masked_fill(fired, 0)
        residue = self._read(accumulated, steps[-1].post_reset, span.clamp_min(1))
        yield SegmentEnds(len(steps) - 1, False, ~fired, segment, residue, accumulated, span)

    def _read(self, accumulated: Tensor, last: Tensor, span: Tensor) -> Tensor:
        match self.rules.readout:
            case "sum":
                return accumulated
            case "last":
                return last
            case "avg":
                return accumulated / span
