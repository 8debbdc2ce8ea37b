"""CSPDarknet, the backbone of YOLOX."""

from __future__ import annotations

from torch import Tensor, nn

from easnn.models.blocks import SPP, ConvUnit, CSPLayer, Style


class CSPDarknet(nn.Module):
    """Four stages, each of which halves the size and doubles the channels.

    Args:
        stem: makes frames ``[S·B, C, H, W]`` into ``[.., base_channels, H/2, W/2]``.
        base_channels: channels after the stem.
        base_depth: residual blocks of the shallow stages; the two middle stages have three times as many.
        style: of all units but the first.
        first: style of the first unit, behind an analog stem the place where identical time steps part.

    Shape:
        → features ``[T·B, (4, 8, 16)·base_channels, H/(8, 16, 32), W/(8, 16, 32)]``.
    """

    def __init__(
        self, stem: nn.Module, base_channels: int, base_depth: int, style: Style, first: Style
    ) -> None:
        super().__init__()
        c, n = base_channels, base_depth
        self.stem = stem
        self.dark2 = nn.Sequential(ConvUnit(c, 2 * c, 3, first, stride=2), CSPLayer(2 * c, 2 * c, n, style))
        self.dark3 = nn.Sequential(
            ConvUnit(2 * c, 4 * c, 3, style, stride=2), CSPLayer(4 * c, 4 * c, 3 * n, style)
        )
        self.dark4 = nn.Sequential(
            ConvUnit(4 * c, 8 * c, 3, style, stride=2), CSPLayer(8 * c, 8 * c, 3 * n, style)
        )
        self.dark5 = nn.Sequential(
            ConvUnit(8 * c, 16 * c, 3, style, stride=2),
            SPP(16 * c, style),
            CSPLayer(16 * c, 16 * c, n, style, shortcut=False),
        )

    def forward(self, frames: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        stride8 = self.dark3(self.dark2(self.stem(frames)))
        stride16 = self.dark4(stride8)
        return stride8, stride16, self.dark5(stride16)
