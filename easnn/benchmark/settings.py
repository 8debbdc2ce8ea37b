"""What a benchmark measures: networks, sizes, precisions and how often."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from easnn.utils.errors import ConfigError
from easnn.utils.options import RUNTIMES, PrecisionName, RuntimeName

if TYPE_CHECKING:
    from easnn.exp import EventExp

PRECISIONS: tuple[PrecisionName, ...] = ("exact", "bf16")
"""Values of ``precision`` that a CPU has."""

NETWORK = (
    *("num_classes", "2", "T", "3", "Tm", "4", "embedding", "arsnn", "embedding_depth", "2"),
    *("embedding_ksize", "5", "spike_attach", "True", "write_zero", "True", "readout", "sum"),
    *("spike_fn", "atan", "data_name", "synthetic", "seed", "0"),
)
"""Keys of the published Gen1 training; those of the command line come after them."""

OWN_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "use_spike": "Give it with --spike.",
        "input_size": "Give it with --size.",
        "test_size": "Give it with --size.",
        "data_num_workers": "Give it with --workers.",
        "data_name": "The benchmark makes its own recordings.",
        "data_dir": "The benchmark makes its own recordings.",
    }
)
"""Keys that options of the benchmark replace, and what to do instead."""

Size = tuple[int, int]


@dataclass(frozen=True)
class Settings:
    """The settings of a benchmark.

    Attributes:
        models: names of experiments.
        sizes: heights and widths of the network's input in pixels, multiples of 32.
        spikes: spiking parts, values of ``use_spike``.
        precisions: of the network.
        runtimes: of inference; ``torch`` is always measured.
        batch: samples per call.
        rounds: rounds in which the variants are timed in turn.
        threads: threads of torch.
        workers: numbers of loader processes.
        frames: frames of the evaluation.
        quick: whether recordings are shorter and ``scaling`` has fewer values.
        words: keys and values for the experiments, in turn.
    """

    models: tuple[str, ...] = ("e-yolox-s",)
    sizes: tuple[Size, ...] = ((256, 320), (640, 640))
    spikes: tuple[str, ...] = ("True",)
    precisions: tuple[PrecisionName, ...] = PRECISIONS
    runtimes: tuple[RuntimeName, ...] = RUNTIMES
    batch: int = 2
    rounds: int = 5
    threads: int = 1
    workers: tuple[int, ...] = (0, 1, 2)
    frames: int = 5000
    quick: bool = False
    words: tuple[str, ...] = field(default=())

    def check(self) -> None:
        """Check everything before something is measured.

        Raises:
            ConfigError: if a value is wrong or the keys of an experiment do not fit together.
        """
        for option, value, least in (
            ("--batch", self.batch, 1),
            ("--rounds", self.rounds, 1),
            ("--threads", self.threads, 1),
            ("--frames", self.frames, 1),
            *(("--workers", number, 0) for number in self.workers),
        ):
            if value < least:
                raise ConfigError(f"`{option}` must be at least {least}, but is {value}.")
        for height, width in self.sizes:
            if height % 32 or width % 32:
                raise ConfigError(
                    f"`--size` must be height x width in multiples of 32, like 256x320, but is "
                    f"{height}x{width}."
                )
        for key in self.words[::2]:
            if key in OWN_OPTIONS:
                raise ConfigError(f"`{key}` cannot be set here. {OWN_OPTIONS[key]}")
        for model in self.models:
            for spike in self.spikes:
                self.experiment(model, self.sizes[0], spike).frame_spec().check_from_events()

    def experiment(self, model: str, hw: Size, spike: str, *changes: str) -> EventExp:
        """Return the experiment of a network, validated.

        Args:
            model: name of the experiment.
            hw: height and width of the network's input.
            spike: value of ``use_spike``.
            changes: keys and values that come last.

        Raises:
            ConfigError: if there is none of this name, or its keys do not fit together.
        """
        from easnn.exp import get_exp  # imports torch

        experiment = get_exp(exp_name=model)
        size = f"{hw[0]},{hw[1]}"
        experiment.merge([*NETWORK, "use_spike", spike, "input_size", size, "test_size", size])
        experiment.merge(self.words)
        experiment.merge(changes)
        experiment.validate()
        return experiment


FULL = Settings()
"""What is measured if the command line says nothing else."""

QUICK = Settings(
    sizes=((256, 320),),
    runtimes=("torch",),
    rounds=3,
    frames=1000,
    workers=(0, 1),
    quick=True,
)
"""The same with ``--quick``."""


def size_text(hw: Size) -> str:
    """Return a size as it is written on the command line, e.g. ``256x320``."""
    return f"{hw[0]}x{hw[1]}"
