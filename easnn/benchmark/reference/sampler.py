"""The adaptive sampler step by step at full resolution, with segments written by index."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from easnn.models.embedding.arsnn import AdaptiveSampling
from easnn.models.embedding.base import EventEmbedding
from easnn.models.embedding.packed import PackedConv2d
from easnn.models.embedding.recurrence import (
    NO_STEP_YET,
    branch_step,
    fire,
    initial_membrane,
)


class PublishedSampler(EventEmbedding):
    """The same sampler as :class:`~easnn.models.embedding.AdaptiveSampling`.

    Each time step has two convolutions of few channels at full resolution, finds the pixels that
    fired (``nonzero``) and scatters their segments into the output.

    Args:
        ours: the sampler whose weights are copied; names in the state dict are the same.
    """

    def __init__(self, ours: AdaptiveSampling) -> None:
        nn.Module.__init__(self)
        self.rectify, self.norm = copy.deepcopy(ours.rectify), copy.deepcopy(ours.norm)
        self.rules = ours.rules
        self.recurrence = _Branches(ours)

    def embed(self, slices: Tensor) -> Tensor:
        """Turn slices ``[S, B, C, H, W]``, oldest first, into segments ``[Ts, B, C, H, W]``."""
        rules = self.rules
        post_reset = initial_membrane(slices[0])  # V [B, C, H, W], as all tensors below
        spikes, accumulated = torch.zeros_like(post_reset), torch.zeros_like(post_reset)
        written = torch.zeros_like(post_reset, dtype=torch.long)
        last_spike = torch.full_like(written, -1)
        out = post_reset.new_zeros(rules.Ts, *post_reset.shape)
        of_input = of_gate = NO_STEP_YET
        for t, events in enumerate(slices.flip(0)):
            from_input, of_input = branch_step(self.recurrence.input_conv, events, of_input)
            from_spikes, of_gate = branch_step(self.recurrence.gate_conv, spikes, of_gate)
            gate, charge = (from_input + from_spikes).chunk(2, dim=1)
            membrane = gate.sigmoid() * post_reset + charge
            spikes, post_reset = fire(membrane, self.rules.firing)
            accumulated = accumulated + membrane
            fired = spikes > 0
            value = self._read(accumulated, membrane, t - last_spike)
            value = value * spikes if rules.spike_attach else value
            out = _scattered(out, fired & (written < rules.Ts), written, value)
            written, last_spike = written + fired, last_spike.masked_fill(fired, t)
            accumulated = accumulated.masked_fill(fired, 0)
            if bool((written >= rules.Ts).all()):
                break
        if rules.write_zero:
            return out
        residue = self._read(accumulated, post_reset, (t - last_spike).clamp_min(1))
        return _scattered(out, ~fired & (written < rules.Ts), written, residue)

    def _read(self, accumulated: Tensor, last: Tensor, span: Tensor) -> Tensor:
        match self.rules.readout:
            case "sum":
                return accumulated
            case "last":
                return last
            case _:
                return accumulated / span


class _Branches(nn.Module):
    """The convolutions of a sampler, at full resolution."""

    def __init__(self, ours: AdaptiveSampling) -> None:
        super().__init__()
        self.input_conv = _unpacked(ours.recurrence.input_conv)
        self.gate_conv = _unpacked(ours.recurrence.gate_conv)


def _scattered(out: Tensor, where: Tensor, segment: Tensor, value: Tensor) -> Tensor:
    """Return ``out`` with ``value`` written to the segment of each pixel that ``where`` selects."""
    pixels = where.nonzero(as_tuple=True)
    return out.index_put((segment[pixels], *pixels), value[pixels])


def _unpacked(branch: nn.Sequential) -> nn.Sequential:
    """Return a copy of a branch whose convolutions take unpacked images."""
    layers: list[nn.Module] = []
    for layer in branch:
        if isinstance(layer, PackedConv2d):
            plain = nn.Conv2d(
                layer.in_channels, layer.out_channels, layer.kernel_size[0], padding="same"
            ).to(layer.weight)
            plain.load_state_dict(layer.state_dict())
            layers.append(plain)
        else:
            layers.append(copy.deepcopy(layer))
    return nn.Sequential(*layers)
