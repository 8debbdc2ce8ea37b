"""CSPDarknet, the backbone of YOLOX."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor, nn

from easnn.models.activation_checkpointing import computed_again
from easnn.models.blocks import SPP, CSPLayer, UnitSpec, spatial_unit


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
