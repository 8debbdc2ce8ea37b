"""Operations and energy of a network for a frame, and of the networks it is compared with."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn

from easnn.analysis.energy.operations import AC_PJ, MAC_PJ, LayerOperations, energy_pj
from easnn.analysis.energy.provenance import spike_driven
from easnn.analysis.energy.recorder import NeuronActivity, OperationRecorder
from easnn.models import Clips, EventDetector, MemoryState


@dataclass(frozen=True)
class Cost:
    """Operations for a frame.

    Attributes:
        name: name of the network or part.
        accumulates: accumulate operations.
        macs: multiply-accumulate operations.
    """

    name: str
    accumulates: float
    macs: float

    @property
    def energy_pj(self) -> float:
        """Energy in pJ."""
        return energy_pj(self.accumulates, self.macs)


@dataclass(frozen=True)
class EnergyReport:
    """Operations and spikes of a detector for a frame, averaged over frames.

    Attributes:
        frames: number of measured frames.
        layers: the convolutions, in execution order.
        neurons: the layers of neurons, in execution order.
    """

    frames: int
    layers: tuple[LayerOperations, ...]
    neurons: tuple[NeuronActivity, ...]

    @property
    def total(self) -> Cost:
        """All operations."""
        return _sum("this network", self.layers)

    @property
    def parts(self) -> list[Cost]:
        """The operations of each part of the detector."""
        names = dict.fromkeys(layer.part for layer in self.layers)
        return [
            _sum(name, [layer for layer in self.layers if layer.part == name]) for name in names
        ]

    @property
    def plain(self) -> Cost:
        """The operations of the same network without neurons (``use_spike False``).

        Its embedding is the same. Every other convolution runs once per frame and multiplies.
        """
        embedding = [layer for layer in self.layers if layer.part == "embedding"]
        others = [layer for layer in self.layers if layer.part != "embedding"]
        macs = sum(layer.macs for layer in embedding) + sum(
            layer.synapses / layer.runs for layer in others
        )
        return Cost(
            "the same network, not spiking", sum(layer.accumulates for layer in embedding), macs
        )

    @property
    def variants(self) -> list[Cost]:
        """The total under other conventions, the last one that of spikingjelly's ``op_counter``."""
        sums = [layer for layer in self.layers if layer.spikes and layer.input_most > 1]
        binary = [layer for layer in self.layers if layer.spikes and layer.input_most <= 1]
        analog = [layer for layer in self.layers if not layer.spikes]
        return [
            Cost(
                "… a sum of spikes counted once",
                sum(layer.accumulates_nonzero for layer in self.layers),
                self.total.macs,
            ),
            Cost(
                "… sums of spikes and padding counted as MACs",
                sum(layer.accumulates for layer in binary),
                sum(layer.padded for layer in (*analog, *sums)),
            ),
        ]

    @property
    def updates(self) -> int:
        """Membrane updates for a frame, which are not counted as operations."""
        return sum(layer.updates for layer in self.neurons)

    @property
    def rate(self) -> float:
        """Spikes per neuron and step over all layers including the sampler; 0 without neurons."""
        return share(sum(layer.rate * layer.updates for layer in self.neurons), self.updates)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "frames": self.frames,
            "pj_per_accumulate": AC_PJ,
            "pj_per_mac": MAC_PJ,
            "rate": self.rate,
            "membrane_updates": self.updates,
            "total": _plain_cost(self.total),
            "not_spiking": _plain_cost(self.plain),
            "variants": [_plain_cost(cost) for cost in self.variants],
            "parts": [_plain_cost(cost) for cost in self.parts],
            "layers": [
                {
                    **asdict(layer),
                    "energy_pj": layer.energy_pj,
                    "share": share(layer.energy_pj, self.total.energy_pj),
                }
                for layer in self.layers
            ],
            "neurons": [{**asdict(layer), "rate": layer.rate} for layer in self.neurons],
        }


def measure_energy(model: nn.Module, frames: Iterable[Tensor]) -> EnergyReport:
    """Run a detector on frames and count its operations and spikes.

    A memory is carried from each frame to the next one, as if they were windows of a recording.

    Args:
        model: the detector; it is left in evaluation mode.
        frames: ``[1, Tl, Tm, C, H, W]`` each, all of the same size and on the model's device.

    Raises:
        ConfigError: if the model has layers whose operations cannot be counted.
        ValueError: if there are no frames.
    """
    model.eval()
    rest = iter(frames)
    first = next(rest, None)
    if first is None:
        raise ValueError("`frames` must hold at least one frame, but is empty.")
    with torch.inference_mode(), OperationRecorder(model, spike_driven(model, first)) as recorder:
        state: MemoryState | None = None
        for events in chain([first], rest):
            if isinstance(model, EventDetector) and model.memory is not None:
                _, state = model(events, clips=Clips(1, state))
            else:
                model(events)
    return EnergyReport(recorder.frames, tuple(recorder.layers()), tuple(recorder.neurons()))


def share(part: float, whole: float) -> float:
    """Return ``part / whole``, or 0 if ``whole`` is 0."""
    return part / whole if whole else 0.0


def _sum(name: str, layers: Sequence[LayerOperations]) -> Cost:
    return Cost(
        name, sum(layer.accumulates for layer in layers), sum(layer.macs for layer in layers)
    )


def _plain_cost(cost: Cost) -> dict[str, Any]:
    return {**asdict(cost), "energy_pj": cost.energy_pj}
