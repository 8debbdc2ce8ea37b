"""The whole network: embedding, backbone, feature pyramid, head."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from easnn.models.anchors import STRIDES, AnchorGrid, decode_boxes
from easnn.models.backbone import CSPDarknet
from easnn.models.blocks import ConvUnit, Focus, UnitSpec, mean_over_time
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

    From the first neuron on, time is folded into the batch, time first. The mean over time is taken
    where the spiking part ends: before the feature pyramid, before the head, or at the head's
    outputs. Up to the first neuron, time steps that see the same frame are computed once.

    Args:
        config: settings of the network.

    Attributes:
        embedding: turns events ``[B, Tl, Tm, C, H, W]`` into frames, the input of :meth:`detect`.
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        # torch.compile of torch 2.11 cannot read the declared settings of a configuration.
        self._mode, self._T, self._in_channels = config.use_spike, config.T, config.in_channels
        mode = config.use_spike
        neurons = partial(ParametricLIF, config.T, config.spike_fn, config.alpha)
        again = config.activation_checkpointing
        analog = UnitSpec(ANALOG[config.act], separable=config.depthwise, recomputed=again)
        spiking = UnitSpec(
            neurons,
            spikes_in=True,
            separable=config.depthwise,
            recomputed=again,
            membrane=config.residual == "membrane",
        )
        body = spiking if mode.backbone else analog
        # With Ts = 1, all time steps see the same frame: one computation stands for T of them.
        repeats = config.T // config.Ts if mode.backbone else 1
        before_neurons = UnitSpec(analog.activation, repeats)
        first_neurons = partial(neurons, steps_in=config.Ts)
        first_unit = (
            UnitSpec(first_neurons, repeats, separable=config.depthwise)
            if mode.backbone
            else analog
        )

        base_channels, blocks = config.base_channels, config.blocks
        channels = (4 * base_channels, 8 * base_channels, 16 * base_channels)
        if config.stem == "focus":
            stem: nn.Module = Focus(config.in_channels, base_channels, before_neurons)
            after_stem = first_unit
        else:
            stem = ConvUnit(config.in_channels, base_channels, 6, first_unit, stride=2, padding=2)
            after_stem = body

        self.embedding = build_embedding(config)
        self.backbone = CSPDarknet(stem, base_channels, blocks, body, after_stem)
        self.neck = PAFPN(channels, blocks, spiking if mode.neck else analog)
        self.head = DecoupledHead(
            channels, 4 * base_channels, config.num_classes, spiking if mode.head else analog
        )
        # Activations take the layout of the kernels, and convolutions are faster in this one.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, events: Tensor, targets: Tensor | None = None) -> Tensor | dict[str, Tensor]:
        """Detect objects in events, or compute the losses if there are targets.

        It calls :meth:`detect` with the output of ``embedding``. To use that output as well::

            frames = model.embedding(events)
            detections = model.detect(frames)

        Args:
            events: ``[B, Tl, Tm, C, H, W]`` floating-point counts, H and W multiples of 32.
            targets: as for :meth:`detect`.

        Returns:
            As :meth:`detect`.

        Raises:
            ValueError: if ``events`` have another shape.
        """
        self._check("events", "[B, Tl, Tm, {C}, H, W]", events, (6,))
        return self.detect(self.embedding(events), targets)

    def detect(self, frames: Tensor, targets: Tensor | None = None) -> Tensor | dict[str, Tensor]:
        """Detect objects in frames of the embedding, or compute the losses if there are targets.

        Args:
            frames: output of ``embedding`` for B samples, ``[Ts, B, C, H, W]`` or ``[B, C, H, W]``,
                H and W multiples of 32. The field ``output`` of its trace has the first form.
            targets: ``[B, N, 5]`` (class, cx, cy, w, h in pixels), rows of zeros are padding.

        Returns:
            Without targets the detections ``[B, A, 5 + num_classes]``: cx, cy, w, h in pixels,
            objectness, class probabilities. With targets the losses of
            :func:`~easnn.models.losses.detection_losses`.

        Raises:
            ValueError: if ``frames`` have another shape.
        """
        raw, grid = self.raw_outputs(frames)
        with torch.autocast(raw.device.type, enabled=False):
            return decode(raw, grid) if targets is None else detection_losses(raw, targets, grid)

    def raw_outputs(self, frames: Tensor) -> tuple[Tensor, AnchorGrid]:
        """Return the outputs of the head for frames of the embedding, and their anchors.

        Args:
            frames: as for :meth:`detect`.

        Returns:
            ``[B, A, 5 + num_classes]``, averaged over time, in float32 even in mixed precision.

        Raises:
            ValueError: if ``frames`` have another shape.
        """
        self._check("frames", "[Ts, B, {C}, H, W] or [B, {C}, H, W]", frames, (4, 5))
        mode, T = self._mode, self._T
        features = self.backbone(frames.flatten(0, -4))  # 3 of [T·B, C', H', W']
        if mode is SpikeMode.BACKBONE:
            features = tuple(mean_over_time(x, T) for x in features)  # 3 of [B, C', H', W']
        features = self.neck(features)
        if mode is SpikeMode.FULL:
            features = tuple(mean_over_time(x, T) for x in features)
        raw = self.head(features)  # [B, A, 5 + num_classes]; if the head spikes, [T·B, …]
        if mode is SpikeMode.FULL_V2:
            raw = mean_over_time(raw, T)
        with torch.autocast(raw.device.type, enabled=False):
            raw = raw.to(torch.promote_types(raw.dtype, torch.float32))
            return raw, AnchorGrid.of(features, raw.dtype)

    def _check(self, name: str, layout: str, images: Tensor, axes: tuple[int, ...]) -> None:
        channels, cell = self._in_channels, STRIDES[-1]
        fits = images.dim() in axes and images.shape[-3] == channels
        if not fits or any(side % cell for side in images.shape[-2:]):
            raise ValueError(
                f"`{name}` must be {layout.format(C=channels)} with H and W multiples of {cell}, "
                f"but is {list(images.shape)}."
            )


def decode(raw: Tensor, grid: AnchorGrid) -> Tensor:
    """Turn raw outputs ``[B, A, 5 + C]`` into boxes (cx, cy, w, h in pixels) and probabilities."""
    boxes = decode_boxes(raw[..., :4], grid.points_px, grid.strides_px)  # [B, A, 4]
    return torch.cat((boxes, raw[..., 4:].sigmoid()), dim=-1)


def build_detector(config: DetectorConfig) -> EventDetector:
    """Build the detector of ``config``, with new weights drawn from torch's generator."""
    return EventDetector(config)
