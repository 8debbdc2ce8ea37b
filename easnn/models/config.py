"""The settings of the network, each declared once; experiments inherit the declarations."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from easnn.config import HARMLESS, Config, key, refused
from easnn.utils.errors import ConfigError

EmbeddingKind = Literal["arsnn", "rsnn", "snn", "count"]
Readout = Literal["sum", "last", "avg"]
ActivationName = Literal["silu", "relu", "lrelu"]
SurrogateName = Literal["atan", "sigmoid", "rect", "patan"]
NeuronName = Literal["plif", "ilif"]
StemKind = Literal["focus", "conv"]
BackboneKind = Literal["csp", "mds", "meta"]
ResidualKind = Literal["spikes", "membrane"]
MemoryKind = Literal["none", "lstm", "spiking"]
EmbeddingActivation = Literal["relu", "lif"]

MAX_SPIKES = 255
"""Largest number of spikes, or sum of such, that a layer may read: it is saved in one byte."""

SAME_NETWORK = refused("it defines the network, whose weights are trained on")


class SpikeMode(Enum):
    """Which parts of the detector spike; the values are those of the key ``use_spike``.

    Where the spiking part ends, the features (with a spiking head: its outputs) are averaged over
    time.
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


class DetectorKeys(Config):
    """Settings of the network after the embedding."""

    KEY_GROUP = "Detector"

    num_classes: int = key(
        100,
        "number of classes; must match the dataset",
        low=1,
        high=100_000,
        on_resume=SAME_NETWORK,
    )
    depth: float = key(
        1.0,
        "multiplier of the residual blocks; s 0.33, m 0.67, l 1",
        above=0,
        high=16,
        on_resume=SAME_NETWORK,
    )
    width: float = key(
        1.0,
        "multiplier of the channels; s 0.5, m 0.75, l 1",
        above=0,
        high=16,
        on_resume=SAME_NETWORK,
    )
    backbone: BackboneKind = key(
        "csp",
        "backbone and feature pyramid: CSPDarknet and PAFPN, or blocks with membrane shortcuts of "
        "SpikSSD (`mds`) or SpikeYOLO (`meta`) and a pyramid that adds currents",
        on_resume=SAME_NETWORK,
    )
    stem: StemKind = key(
        "focus",
        "first layer: `focus` never spikes, `conv` spikes (published N-Caltech101 results)",
        on_resume=SAME_NETWORK,
    )
    depthwise: bool = key(
        False,
        "depthwise separable 3×3 convolutions after the stem, as in YOLOX-nano",
        on_resume=SAME_NETWORK,
    )
    act: ActivationName = key("silu", "activation of the non-spiking parts", on_resume=SAME_NETWORK)
    use_spike: SpikeMode = key(
        SpikeMode.NONE,
        "spiking parts: none, backbone (`True`), also FPN (`full_spike`), also head "
        "(`full_spike_v2`)",
        on_resume=SAME_NETWORK,
    )
    residual: ResidualKind = key(
        "spikes",
        "what the shortcuts of a spiking backbone add: spikes, or what goes into neurons "
        "(`membrane`), so that every convolution sees spikes and no sums",
        on_resume=SAME_NETWORK,
    )
    spike_fn: SurrogateName = key(
        "atan",
        "surrogate gradient of binary neurons; `patan` is `atan` with learned sharpness",
        on_resume=SAME_NETWORK,
    )
    alpha: float = key(
        2.0,
        "sharpness of the surrogate gradient (`patan`: initial value)",
        above=0,
        on_resume=SAME_NETWORK,
    )
    neuron: NeuronName = key(
        "plif",
        "neurons: binary with a learned leak (`plif`), or integer, 0 to `spike_levels` (`ilif`)",
        on_resume=SAME_NETWORK,
    )
    spike_levels: int = key(
        4,
        "most spikes of an integer neuron in a time step; without effect on others",
        low=1,
        high=MAX_SPIKES,
        on_resume=SAME_NETWORK,
    )
    T: int = key(4, "time steps of the spiking parts", low=1, high=1000, on_resume=SAME_NETWORK)


class EmbeddingKeys(Config):
    """Settings of the embedding, which turns event frames into the input of the detector."""

    KEY_GROUP = "Embedding"

    embedding: EmbeddingKind = key(
        "count",
        "adaptive sampling (`arsnn`), the same without segments (`rsnn`), leaky integrator "
        "(`snn`), plain sum (`count`)",
        on_resume=SAME_NETWORK,
    )
    embedding_depth: int = key(
        1, "convolutions per branch", low=1, high=100, on_resume=SAME_NETWORK
    )
    embedding_ksize: int = key(
        7,
        "kernel size of the convolutions",
        low=1,
        high=101,
        odd=True,
        unit="px",
        on_resume=SAME_NETWORK,
    )
    embedding_act: EmbeddingActivation = key(
        "relu",
        "between the convolutions of a branch: ReLU, or leaky neurons over the sampling steps",
        on_resume=SAME_NETWORK,
    )
    Ts: int = key(
        1, "segments that `arsnn` writes per pixel: 1, or `T`", low=1, on_resume=SAME_NETWORK
    )
    spike_attach: bool = key(
        False,
        "spike-aware training (SAT): a segment carries the gradient of its spike",
        on_resume=SAME_NETWORK,
    )
    write_zero: bool = key(
        False,
        "residual potential dropout (RPD): nothing is written after the last spike",
        on_resume=SAME_NETWORK,
    )
    readout: Readout = key(
        "sum", "readout of the membrane; `avg`: `arsnn` only", on_resume=SAME_NETWORK
    )
    thresh: float = key(
        1.0, "firing threshold; neurons fire strictly above it", on_resume=SAME_NETWORK
    )
    reset: float | None = key(
        0.0,
        "membrane after a spike; `None` subtracts `thresh` instead (soft reset)",
        on_resume=SAME_NETWORK,
    )
    decay: float = key(
        0.5,
        "initial membrane decay of `snn` and of the neurons of `embedding_act lif`; it is learned",
        above=0,
        below=1,
        on_resume=SAME_NETWORK,
    )
    abs: Literal[False, True, "split"] = key(
        False,
        "ReLU on the output; `split`, which published commands contain, never had an effect",
        on_resume=SAME_NETWORK,
    )
    norm: Literal["bn"] | None = key(None, "batch norm on the output", on_resume=SAME_NETWORK)


class RecurrenceKeys(Config):
    """Settings of the memory that is carried from window to window of a recording."""

    KEY_GROUP = "Memory"

    memory: MemoryKind = key(
        "none",
        "memory between FPN and head: convolutional LSTM (`lstm`), or membranes that are not reset "
        "between windows (`spiking`)",
        on_resume=SAME_NETWORK,
    )
    memory_dim: int = key(
        64,
        "channels of the memory of each feature map",
        low=1,
        high=65_536,
        on_resume=SAME_NETWORK,
    )
    memory_kernel: Literal[1, 3] = key(
        1,
        "kernel size of the gates (`lstm`), or of the input of the membranes (`spiking`)",
        on_resume=SAME_NETWORK,
    )


class MemoryKeys(Config):
    """How the network is computed: of no effect on its weights and results."""

    KEY_GROUP = "Training"

    activation_checkpointing: bool = key(
        False,
        "compute backbone and FPN again in the backward pass instead of keeping their activations: "
        "the same results, less memory, slower training",
        on_resume=HARMLESS,
    )


class DetectorConfig(MemoryKeys, RecurrenceKeys, DetectorKeys, EmbeddingKeys):
    """Everything that defines a network: a YOLOX with spiking neurons after an embedding."""

    in_channels: int = key(2, "channels of an event frame: those of its representation", low=1)

    def check(self) -> None:
        """Check that the values fit together.

        Raises:
            ConfigError: if they do not.
        """
        if self.embedding != "arsnn" and self.Ts != 1:
            raise ConfigError(
                f"`Ts` must be 1 for the embedding `{self.embedding}`, but is {self.Ts}."
            )
        if self.embedding in ("rsnn", "snn") and self.readout == "avg":
            raise ConfigError(
                f"`readout` must be sum or last for the embedding `{self.embedding}`, but is avg."
            )
        if self.embedding_act == "lif" and self.embedding == "count":
            raise ConfigError(
                "`embedding_act` must be relu for the embedding `count`, which has no "
                "convolutions, but is lif."
            )
        if self.embedding_act == "lif" and self.embedding_depth < 2:
            raise ConfigError(
                "`embedding_depth` must be at least 2 for `embedding_act` lif, whose neurons are "
                f"between two convolutions, but is {self.embedding_depth}."
            )
        if self.base_channels < 1:
            raise ConfigError(
                f"`width` must be at least 1/64, which is one channel, but is {self.width}."
            )
        if self.backbone != "csp":
            self._check_membrane_backbone()
        if not self.use_spike.backbone and self.residual == "membrane":
            raise ConfigError(
                "`residual` must be spikes for a detector that does not spike, because it has no "
                "membranes, but is membrane."
            )
        if not self.use_spike.backbone and self.Ts != 1:
            raise ConfigError(
                f"`Ts` must be 1 for a detector that does not spike, but is {self.Ts}."
            )
        if self.use_spike.backbone and self.Ts not in (1, self.T):
            raise ConfigError(f"`Ts` must be 1 or `T` ({self.T}), but is {self.Ts}.")
        if self.memory != "none" and self.use_spike.head:
            raise ConfigError(
                "`memory` must be none for `use_spike` full_spike_v2, whose features before the "
                "head are spikes of `T` time steps and not yet averaged over them, but is "
                f"{self.memory}. Use full_spike."
            )
        if self.neuron == "ilif":
            self._check_integer_neurons()

    def _check_integer_neurons(self) -> None:
        if not self.use_spike.backbone:
            raise ConfigError(
                "`neuron` must be plif for a detector that does not spike, but is ilif."
            )
        # A sum: the layer before the bottlenecks, and one in each.
        terms = 1 if self.residual == "membrane" else 3 * self.blocks + 1
        if self.spike_levels * terms > MAX_SPIKES:
            raise ConfigError(
                f"`spike_levels` must be at most {MAX_SPIKES // terms} with `depth` {self.depth}, "
                f"where residuals are sums of the spikes of {terms} layers and must not exceed "
                f"{MAX_SPIKES}, but is {self.spike_levels}."
            )

    def _check_membrane_backbone(self) -> None:
        of_backbone = f"for the backbone `{self.backbone}`"
        if not self.use_spike.backbone:
            raise ConfigError(
                f"`use_spike` must be True, full_spike or full_spike_v2 {of_backbone}, whose "
                "shortcuts need neurons, but is False."
            )
        if self.residual != "membrane":
            raise ConfigError(
                f"`residual` must be membrane {of_backbone}, whose shortcuts add what goes into "
                f"neurons, but is {self.residual}."
            )
        if self.depthwise:
            raise ConfigError(
                f"`depthwise` must be False {of_backbone}, whose blocks say which convolutions are "
                "depthwise, but is True."
            )
        if self.backbone == "meta" and self.stem != "focus":
            raise ConfigError(
                f"`stem` must be focus, the default, {of_backbone}, which has a stem of its own, "
                f"but is {self.stem}."
            )

    @property
    def blocks(self) -> int:
        """Residual blocks of the first and last stage of CSPDarknet and of each PAFPN layer.

        In ``mds``, the blocks of equal width of each stage.
        """
        return max(round(3 * self.depth), 1)

    @property
    def base_channels(self) -> int:
        """Channels after the stem."""
        return int(64 * self.width)
