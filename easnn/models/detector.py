"""The whole network: embedding, backbone, feature pyramid, head."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from easnn.models.anchors import STRIDES, AnchorGrid, decode_boxes
from easnn.models.backbone import CSPDarknet
from easnn.models.blocks import ConvUnit, Focus, Style, mean_over_time
from easnn.models.config import ActivationName, DetectorConfig, SpikeMode
from easnn.models.embedding import build_embedding
from easnn.models.head import DecoupledHead
from easnn.models.losses import detection_losses
from easnn.models.neck import PAFPN
from easnn.models.neurons import ParametricLIF

ANALOG: dict[ActivationName, Callable[[], nn.Module]] = {
    "silu": partial(nn.SiLU, inplace=True),
    "relu": partial(nn.ReLU, inplace=True),
    "lrelu": partial(nn.LeakyReLU, 0.1, inplace=True),
}


class EventDetector(nn.Module):
    """Detects objects in event counts.

    From the first neuron on, time is folded into the batch, time first. It is averaged where the spiking part
    ends: before the feature pyramid, before the head, or at the head's outputs. Before the first neuron, time
    steps that see the same frame are one computation.

    Args:
        config: what to build.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        mode, Ts = config.spike_mode, config.embedding.Ts
        neurons = partial(ParametricLIF, config.T, config.surrogate, config.alpha)
        separable = config.depthwise
        analog, spiking = Style(ANALOG[config.act], separable=separable), Style(neurons, separable=separable)
        body = spiking if mode.backbone else analog
        repeats = config.T // Ts if mode.backbone else 1
        before = Style(analog.activation, repeats)
        first = Style(partial(neurons, steps_in=Ts), repeats, separable) if mode.backbone else analog

        base_channels, blocks = config.base_channels, config.blocks
        channels = (4 * base_channels, 8 * base_channels, 16 * base_channels)
        channels_in = config.embedding.in_channels
        if config.stem == "focus":
            stem: nn.Module = Focus(channels_in, base_channels, before)
        else:
            stem = ConvUnit(channels_in, base_channels, 6, first, stride=2, padding=2)
            first = body

        self.embedding = build_embedding(config.embedding)
        self.backbone = CSPDarknet(stem, base_channels, blocks, body, first)
        self.neck = PAFPN(channels, blocks, spiking if mode.neck else analog)
        self.head = DecoupledHead(
            channels, 4 * base_channels, config.num_classes, spiking if mode.head else analog
        )
        # Activations take the layout of the kernels, and convolutions are faster in this one.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, events: Tensor, targets: Tensor | None = None) -> Tensor | dict[str, Tensor]:
        """Detect objects, or compare with the objects that are there.

        Args:
            events: ``[B, Tl, Tm, C, H, W]`` floating-point counts, H and W multiples of 32.
            targets: ``[B, N, 5]`` (class, cx, cy, w, h in pixels), rows of zeros are padding.

        Returns:
            Without targets the detections ``[B, A, 5 + num_classes]``: cx, cy, w, h in pixels, objectness,
            class probabilities. With targets the losses of :func:`~easnn.models.losses.detection_losses`.

        Raises:
            ValueError: if ``events`` have another shape.
        """
        self._check(events)
        mode, T = self.config.spike_mode, self.config.T
        frames = self.embedding(events).flatten(0, -4)
        features = self.backbone(frames)
        if mode is SpikeMode.BACKBONE:
            features = tuple(mean_over_time(x, T) for x in features)
        features = self.neck(features)
        if mode is SpikeMode.FULL:
            features = tuple(mean_over_time(x, T) for x in features)
        raw = self.head(features)
        if mode is SpikeMode.FULL_V2:
            raw = mean_over_time(raw, T)

        with torch.autocast(raw.device.type, enabled=False):
            raw = raw.to(torch.promote_types(raw.dtype, torch.float32))
            grid = AnchorGrid.of(features, raw.dtype)
            return decode(raw, grid) if targets is None else detection_losses(raw, targets, grid)

    def _check(self, events: Tensor) -> None:
        channels, cell = self.config.embedding.in_channels, STRIDES[-1]
        fits = events.dim() == 6 and events.shape[3] == channels
        if not fits or any(side % cell for side in events.shape[-2:]):
            raise ValueError(
                f"`events` must be [B, Tl, Tm, {channels}, H, W] with H and W multiples of {cell}, "
                f"but is {list(events.shape)}."
            )


def decode(raw: Tensor, grid: AnchorGrid) -> Tensor:
    """Turn raw outputs ``[B, A, 5 + C]`` into boxes (cx, cy, w, h in pixels) and probabilities."""
    boxes = decode_boxes(raw[..., :4], grid.points_px, grid.strides_px)
    return torch.cat((boxes, raw[..., 4:].sigmoid()), dim=-1)


def build_detector(config: DetectorConfig) -> EventDetector:
    """Return the detector that ``config`` describes, with new weights drawn from torch's generator."""
    return EventDetector(config)
