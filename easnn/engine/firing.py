"""Dead and saturated layers of neurons, noticed in training."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from loguru import logger
from torch import Tensor, nn

from easnn.engine.state import Position
from easnn.models import SpikingNeurons
from easnn.models.embedding import EventEmbedding
from easnn.utils.distributed import gather_objects, is_main

State: TypeAlias = Literal["dead", "saturated", "alive"]


@dataclass(frozen=True)
class FiringRates:
    """Spikes per neuron and time step over a batch, as a share of the most that can be: 0 to 1.

    Attributes:
        layers: of each layer of neurons, by its name in the model; those of integer neurons are
            divided by their levels.
        sampler: of the membrane of the embedding, per pixel, channel and sampling step, by its name
            in the model; empty without one.
        samples: number of samples.
    """

    layers: Mapping[str, float]
    sampler: Mapping[str, float]
    samples: int

    def numbers(self) -> dict[str, float]:
        """Return the smallest and the largest rate of a layer, and that of the sampler."""
        numbers = {}
        if self.layers:
            numbers["smallest_rate"] = min(self.layers.values())
            numbers["largest_rate"] = max(self.layers.values())
        if self.sampler:
            numbers["sampler_rate"] = min(self.sampler.values())
        return numbers


class FiringWatch:
    """Counts spikes in a training step, and warns of layers that never fire or always do.

    Counting adds a reduction for each layer, and computes the membrane of the sampler once more,
    because hooks would make it use other kernels. Results stay the same to the last bit.

    Args:
        model: the trained model.
    """

    def __init__(self, model: nn.Module) -> None:
        self._neurons = {n: m for n, m in model.named_modules() if isinstance(m, SpikingNeurons)}
        self._embeddings = {
            f"{n}.recurrence": m for n, m in model.named_modules() if isinstance(m, EventEmbedding)
        }
        self._states: dict[str, State] = {}
        self._counts: dict[str, list[tuple[Tensor, int]]] = defaultdict(list)

    @contextmanager
    def counting(self) -> Iterator[None]:
        """Count the spikes of all forward passes in the block."""
        self._counts.clear()
        with ExitStack() as hooks:
            for name, neurons in self._neurons.items():
                hook = neurons.register_forward_hook(
                    lambda neurons, _inputs, spikes, name=name: self._count(
                        name, spikes, neurons.levels
                    )
                )
                hooks.callback(hook.remove)
            for name, embedding in self._embeddings.items():
                hook = embedding.register_forward_pre_hook(
                    lambda module, inputs, name=name: self._count_sampler(name, module, *inputs)
                )
                hooks.callback(hook.remove)
            yield

    def rates(self, samples: int) -> FiringRates:
        """Return the rates over the batches of all processes; every process calls this.

        Args:
            samples: number of samples of this process.
        """
        names = list(self._counts)
        counted = [spikes for name in names for spikes, _ in self._counts[name]]
        spikes = iter(torch.stack(counted).tolist() if counted else ())
        totals = {
            name: [sum(next(spikes) for _ in parts), sum(places for _, places in parts)]
            for name, parts in self._counts.items()
        }
        self._counts.clear()
        of_processes = gather_objects((totals, samples))
        rates = {
            name: sum(t[name][0] for t, _ in of_processes)
            / sum(t[name][1] for t, _ in of_processes)
            for name in names
        }
        return FiringRates(
            layers={name: rates[name] for name in self._neurons if name in rates},
            sampler={name: rates[name] for name in self._embeddings if name in rates},
            samples=sum(count for _, count in of_processes),
        )

    def warn(self, rates: FiringRates, position: Position) -> None:
        """Warn of layers that have become dead or saturated, and tell when they have recovered.

        Args:
            rates: of one step.
            position: of the run before the step.
        """
        where = f"in epoch {position.epoch + 1}, step {position.step + 1}"
        changed: dict[State, list[str]] = defaultdict(list)
        for name, rate in {**rates.layers, **rates.sampler}.items():
            state = _state(rate)
            if state != self._states.get(name, "alive"):
                changed[state].append(name)
            self._states[name] = state
        if not is_main():
            return
        for state, names in changed.items():
            for sampler in (name for name in names if name in rates.sampler):
                _tell_sampler(sampler, state, rates, where)
            layers = {name: rates.layers[name] for name in names if name in rates.layers}
            if layers:
                _tell_layers(layers, state, rates.samples, where)

    def _count(self, name: str, spikes: Tensor, levels: int = 1) -> None:
        with torch.no_grad():
            spikes = spikes.detach()
            # Exact, also where the sum is too large for the precision of the spikes.
            found = spikes.sum(dtype=torch.float64) if levels > 1 else torch.count_nonzero(spikes)
            self._counts[name].append((found.long(), levels * spikes.numel()))

    def _count_sampler(self, name: str, embedding: EventEmbedding, events: Tensor) -> None:
        with torch.no_grad():
            spikes = embedding.spikes(events)
        if spikes is not None:
            self._count(name, spikes)


def _state(rate: float) -> State:
    if rate == 0:
        return "dead"
    return "saturated" if rate == 1 else "alive"


def _tell_layers(layers: Mapping[str, float], state: State, samples: int, where: str) -> None:
    names = ", ".join(layers)
    if state == "dead":
        logger.warning(
            "Dead layers: {}, no neuron of these fired for any of the {} samples (rate 0): {}. "
            "What comes after them sees only zeros. If it stays so, lower `basic_lr_per_img` or "
            "start from other weights.",
            where,
            samples,
            names,
        )
    elif state == "saturated":
        logger.warning(
            "Saturated layers: {}, all neurons of these fired as often as they can, in all time "
            "steps for all of the {} samples (rate 1): {}. They tell nothing of the input. If it "
            "stays so, lower `basic_lr_per_img` or start from other weights.",
            where,
            samples,
            names,
        )
    else:
        found = ", ".join(f"{name} (rate {rate:.3g})" for name, rate in layers.items())
        logger.info("Neither dead nor saturated any more, {}: {}", where, found)


def _tell_sampler(name: str, state: State, rates: FiringRates, where: str) -> None:
    if state == "dead":
        logger.warning(
            "The sampler never samples: {}, its membrane ({}) fired at no pixel for any of the {} "
            "samples (rate 0). Lower `thresh`, give spikes a gradient (`spike_attach True`), or "
            "train without `write_zero` first.",
            where,
            name,
            rates.samples,
        )
    elif state == "saturated":
        logger.warning(
            "The sampler chooses nothing: {}, its membrane ({}) fired at all pixels in all steps "
            "for all of the {} samples (rate 1). Raise `thresh`, or lower `emb_lr`.",
            where,
            name,
            rates.samples,
        )
    else:
        logger.info("The sampler samples, {} (rate {:.3g})", where, rates.sampler[name])
