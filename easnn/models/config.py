"""What a detector is made of: the settings of embedding and network, and which of them fit together."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, get_args

from easnn.utils.errors import ConfigError

EmbeddingKind = Literal["arsnn", "rsnn", "snn", "count"]
Readout = Literal["sum", "last", "avg"]
ActivationName = Literal["silu", "relu", "lrelu"]
SurrogateName = Literal["atan", "sigmoid", "rect", "patan"]
StemKind = Literal["focus", "conv"]


class SpikeMode(Enum):
    """Which parts of the detector spike; the values are those of the experiment key ``use_spike``.

    The features (or, with a spiking head, its outputs) are averaged over time where the spiking part ends.
    """

    NONE = "False"
    BACKBONE = "True"
    FULL = "full_spike"
    FULL_V2 = "full_spike_v2"

    @property
    def backbone(self) -> bool:
        """Whether the backbone spikes."""
        return self is not SpikeMode.NONE

    @property
    def neck(self) -> bool:
        """Whether the feature pyramid spikes, too."""
        return self in (SpikeMode.FULL, SpikeMode.FULL_V2)

    @property
    def head(self) -> bool:
        """Whether the head spikes, too."""
        return self is SpikeMode.FULL_V2


@dataclass(frozen=True)
class EmbeddingConfig:
    """How event counts become the frames that the detector sees (EAS-SNN paper, section 3).

    Attributes:
        kind: ``arsnn`` adaptive sampling, ``rsnn`` the same recurrence without segments, ``snn`` a leaky
            integrator, ``count`` the plain sum.
        depth: convolutions per branch, at least 1.
        kernel_size: side of these convolutions, odd.
        Tm: sampling steps: the micro slices that a sample brings.
        Ts: segments that the adaptive sampler may write per pixel, at most ``Tm``; 1 for every other kind.
        threshold: a spike is fired where the membrane is strictly above it.
        reset: membrane after a spike; ``None`` subtracts the threshold instead (soft reset).
        decay: membrane decay of ``snn`` at the start of the training, between 0 and 1.
        readout: what a segment holds: the ``sum`` of the membrane, its ``last`` value, or its ``avg``.
        spike_attach: spike-aware training: what is written carries the gradient of the spike that wrote it.
        write_zero: residual potential dropout: what is left after the last spike is not written.
        abs: ReLU on the output.
        norm: ``bn`` for a batch norm on the output.
        in_channels: channels of the event frames, 2 for the two polarities.
    """

    kind: EmbeddingKind = "count"
    depth: int = 1
    kernel_size: int = 7
    Tm: int = 4
    Ts: int = 1
    threshold: float = 1.0
    reset: float | None = 0.0
    decay: float = 0.5
    readout: Readout = "sum"
    spike_attach: bool = False
    write_zero: bool = False
    abs: bool = False
    norm: Literal["bn"] | None = None
    in_channels: int = 2

    def __post_init__(self) -> None:
        _check_choice("kind", self.kind, get_args(EmbeddingKind))
        _check_choice("readout", self.readout, get_args(Readout))
        _check_choice("norm", self.norm, ("bn", None))
        for name in ("depth", "kernel_size", "Tm", "Ts", "in_channels"):
            _check_positive(name, getattr(self, name))
        if self.kernel_size % 2 == 0:
            raise ConfigError(f"`kernel_size` must be odd, but is {self.kernel_size}.")
        if not 0 < self.decay < 1:
            raise ConfigError(f"`decay` must lie between 0 and 1, but is {self.decay}.")
        if self.Ts > self.Tm:
            raise ConfigError(f"`Ts` must be at most `Tm` ({self.Tm}), but is {self.Ts}.")
        if self.kind != "arsnn" and self.Ts != 1:
            raise ConfigError(f"`Ts` must be 1 for the embedding `{self.kind}`, but is {self.Ts}.")
        if self.kind in ("rsnn", "snn") and self.readout == "avg":
            raise ConfigError(f"`readout` must be sum or last for the embedding `{self.kind}`, but is avg.")


@dataclass(frozen=True)
class DetectorConfig:
    """A YOLOX whose activations may be spiking neurons, behind an embedding.

    Attributes:
        num_classes: classes to tell apart.
        depth: multiplier of the number of residual blocks (s: 0.33, m: 0.67, l: 1).
        width: multiplier of the channels (s: 0.5, m: 0.75, l: 1).
        act: activation of the parts that do not spike.
        spike_mode: which parts spike.
        surrogate: derivative that replaces the neuron's step in the backward pass.
        alpha: its sharpness (start value, if it is learned: ``patan``); ``rect`` has none.
        T: time steps of the spiking parts.
        stem: ``focus`` (space to depth; never spikes) or ``conv`` (6×6 convolution of stride 2; spikes).
        depthwise: whether the 3×3 convolutions behind the stem are separable, as in YOLOX-nano.
        embedding: how events become frames.
    """

    num_classes: int
    depth: float = 1.0
    width: float = 1.0
    act: ActivationName = "silu"
    spike_mode: SpikeMode = SpikeMode.NONE
    surrogate: SurrogateName = "atan"
    alpha: float = 2.0
    T: int = 4
    stem: StemKind = "focus"
    depthwise: bool = False
    embedding: EmbeddingConfig = field(default_factory=EmbeddingConfig)

    def __post_init__(self) -> None:
        _check_choice("act", self.act, get_args(ActivationName))
        _check_choice("surrogate", self.surrogate, get_args(SurrogateName))
        _check_choice("stem", self.stem, get_args(StemKind))
        for name in ("num_classes", "depth", "width", "alpha", "T"):
            _check_positive(name, getattr(self, name))
        if self.base_channels < 1:
            raise ConfigError(f"`width` must be at least 1/64, which is one channel, but is {self.width}.")
        Ts = self.embedding.Ts
        if not self.spike_mode.backbone and Ts != 1:
            raise ConfigError(f"`Ts` must be 1 for a detector that does not spike, but is {Ts}.")
        if self.spike_mode.backbone and Ts not in (1, self.T):
            raise ConfigError(f"`Ts` must be 1 or `T` ({self.T}), but is {Ts}.")

    @property
    def blocks(self) -> int:
        """Residual blocks of the first and last stage of the backbone, and of each layer of the pyramid."""
        return max(round(3 * self.depth), 1)

    @property
    def base_channels(self) -> int:
        """Channels after the stem."""
        return int(64 * self.width)


def _check_choice(name: str, value: object, allowed: tuple[object, ...]) -> None:
    if value not in allowed:
        options = ", ".join(str(option) for option in allowed)
        raise ConfigError(f"`{name}` must be one of {options}, but is {value}.")


def _check_positive(name: str, value: float) -> None:
    if value <= 0:
        raise ConfigError(f"`{name}` must be positive, but is {value}.")
