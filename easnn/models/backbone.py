"""The backbones: CSPDarknet of YOLOX, and those of blocks with membrane shortcuts."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from easnn.models.activation_checkpointing import computed_again
from easnn.models.blocks import SPP, ConvUnit, CSPLayer, UnitSpec, spatial_unit
from easnn.models.membrane_blocks import MDSBlock, MetaBlock, branch, entry


class CSPDarknet(nn.Module):
    """A stem and four stages, each of which halves the sides and doubles the channels.

    Args:
        stem: first layer, ``[S·B, C, H, W]`` → ``[..., base_channels, H/2, W/2]``.
        base_channels: channels after the stem.
        blocks: bottlenecks of the first and last stage; the two between have three times as many.
        spec: settings of all units but the first.
        first: settings of the first unit; it holds the first neurons if the stem has none.

    If units are ``recomputed``, each stage is computed again in the backward pass.
    """

    def __init__(
        self, stem: nn.Module, base_channels: int, blocks: int, spec: UnitSpec, first: UnitSpec
    ) -> None:
        super().__init__()
        c2, c3, c4, c5 = (base_channels * 2**stage for stage in (1, 2, 3, 4))
        self.recomputed = spec.recomputed
        inner = replace(spec, narrow=True)  # other parts of the network read the last units
        self.stem = stem
        self.dark2 = nn.Sequential(
            spatial_unit(base_channels, c2, first, stride=2, after=inner),
            CSPLayer(c2, c2, blocks, inner),
        )
        self.dark3 = nn.Sequential(
            spatial_unit(c2, c3, inner, stride=2),
            CSPLayer(c3, c3, 3 * blocks, inner, after=spec),
        )
        self.dark4 = nn.Sequential(
            spatial_unit(c3, c4, inner, stride=2),
            CSPLayer(c4, c4, 3 * blocks, inner, after=spec),
        )
        self.dark5 = nn.Sequential(
            spatial_unit(c4, c5, inner, stride=2),
            SPP(c5, inner),
            CSPLayer(c5, c5, blocks, inner, shortcut=False, after=spec),
        )

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map frames ``[S·B, C, H, W]`` to features ``[T·B, C', H', W']`` of strides 8, 16, 32."""
        stride8 = self._stage(self.dark3, self._stage(self.dark2, self._stage(self.stem, frames)))
        stride16 = self._stage(self.dark4, stride8)
        return stride8, stride16, self._stage(self.dark5, stride16)

    def _stage(self, stage: nn.Module, x: Tensor) -> Tensor:
        return computed_again(stage, x) if self.recomputed else stage(x)


class MembraneBackbone(nn.Module):
    """A stem and four stages of blocks with membrane shortcuts.

    What goes from stage to stage is currents, the inputs of neurons, and what leaves the backbone
    is currents as well, or their spikes.

    Args:
        stem: first layer, ``[S·B, C, H, W]`` → currents ``[S·B, ...]``.
        stages: four of :func:`mds_stages` or :func:`meta_stages`, for strides 4, 8, 16, 32.
        spec: settings of the neurons. If the units are ``recomputed``, each stage is computed again
            in the backward pass.
        repeats: number of time steps that see the same frame, T/S; the stem computes them once.
        spikes_out: whether neurons are behind the last three stages.
    """

    def __init__(
        self,
        stem: nn.Module,
        stages: list[nn.Module],
        spec: UnitSpec,
        *,
        repeats: int,
        spikes_out: bool,
    ) -> None:
        super().__init__()
        self.recomputed, self.repeats = spec.recomputed, repeats
        self.stem = stem
        self.stage4, self.stage8, self.stage16, self.stage32 = stages
        self.leave = nn.ModuleList([entry(spec) if spikes_out else nn.Identity() for _ in range(3)])

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map frames ``[S·B, C, H, W]`` to features ``[T·B, C', H', W']`` of strides 8, 16, 32."""
        current = self.stem(frames)
        if self.repeats > 1:
            current = torch.cat([current] * self.repeats)  # [T·B, ...]
        stride8 = self._stage(self.stage8, self._stage(self.stage4, current))
        stride16 = self._stage(self.stage16, stride8)
        stride32 = self._stage(self.stage32, stride16)
        leave8, leave16, leave32 = self.leave
        return leave8(stride8), leave16(stride16), leave32(stride32)

    def _stage(self, stage: nn.Module, x: Tensor) -> Tensor:
        return computed_again(stage, x) if self.recomputed else stage(x)


def mds_stages(base_channels: int, blocks: int, spec: UnitSpec) -> list[nn.Module]:
    """Return stages of :class:`~easnn.models.membrane_blocks.MDSBlock` behind a stem of stride 2.

    Each halves the sides, doubles the channels, and has ``blocks`` blocks of equal width then.
    """
    stages: list[nn.Module] = []
    for stage in range(4):
        c = base_channels * 2**stage
        down = MDSBlock(c, 2 * c, spec, stride=2)
        equal = [MDSBlock(2 * c, 2 * c, spec, stride=1) for _ in range(blocks)]
        stages.append(nn.Sequential(down, *equal))
    return stages


META_EXPANSIONS = (4, 4, 3, 2)


def meta_stages(base_channels: int, depth: float, spec: UnitSpec) -> list[nn.Module]:
    """Return stages of :class:`~easnn.models.membrane_blocks.MetaBlock` behind a stem of stride 4.

    The first has two times ``base_channels``. The others halve the sides and double the channels,
    by neurons, a 3×3 convolution and a norm. Blocks per stage are those of SpikeYOLO for Gen1.

    Args:
        base_channels: 64 for the published widths.
        depth: multiplier of the blocks 3, 6, 9, 1.
        spec: settings of all units.
    """
    stages: list[nn.Module] = []
    for stage, (blocks, expansion) in enumerate(zip((3, 6, 9, 1), META_EXPANSIONS, strict=True)):
        c = base_channels * 2 ** (stage + 1)
        layers: list[nn.Module] = []
        if stage > 0:
            layers.append(branch(spec, ConvUnit(c // 2, c, 3, spec.currents, stride=2)))
        count, factored = max(round(blocks * depth), 1), stage > 1
        layers += [MetaBlock(c, expansion, spec, factored=factored) for _ in range(count)]
        stages.append(nn.Sequential(*layers))
    return stages
