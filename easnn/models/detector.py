"""The whole network: embedding, backbone, feature pyramid, memory, head."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from easnn.models.anchors import STRIDES, AnchorGrid, decode_boxes
from easnn.models.backbone import CSPDarknet, MembraneBackbone, mds_stages, meta_stages
from easnn.models.blocks import ConvUnit, Focus, UnitSpec, mean_over_time
from easnn.models.config import ActivationName, DetectorConfig, SpikeMode
from easnn.models.embedding import build_embedding
from easnn.models.head import DecoupledHead
from easnn.models.losses import detection_losses
from easnn.models.memory import Clips, MemoryState, PyramidMemory
from easnn.models.neck import PAFPN, AdditiveFusion, Features
from easnn.models.neurons import IntegerLIF, ParametricLIF, SpikingNeurons

Result = Tensor | dict[str, Tensor]
"""Detections, or losses."""

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

    With a memory, the windows of a recording can be given one after another: what is remembered is
    a value that :meth:`detect_next` takes and returns. :meth:`detect` looks at each window alone,
    with an empty memory.

    Args:
        config: settings of the network.

    Attributes:
        embedding: turns events ``[B, Tl, Tm, C, H, W]`` into frames, the input of :meth:`detect`.
        memory: between feature pyramid and head; None without one (key ``memory`` none).
    """

    def __init__(self, config: DetectorConfig) -> None:
        super().__init__()
        self.config = config
        # torch.compile of torch 2.11 cannot read the declared settings of a configuration.
        self._mode, self._T, self._in_channels = config.use_spike, config.T, config.in_channels
        mode = config.use_spike
        neurons = _neurons(config)
        again = config.activation_checkpointing
        analog = UnitSpec(ANALOG[config.act], separable=config.depthwise, recomputed=again)
        spiking = UnitSpec(
            neurons,
            spikes_in=True,
            separable=config.depthwise,
            recomputed=again,
            membrane=config.residual == "membrane",
        )
        # With Ts = 1, all time steps see the same frame: one computation stands for T of them.
        repeats = config.T // config.Ts if mode.backbone else 1
        first_neurons = partial(neurons, steps_in=config.Ts)
        first_unit = (
            UnitSpec(first_neurons, repeats, separable=config.depthwise)
            if mode.backbone
            else analog
        )
        base_channels = config.base_channels
        channels = (4 * base_channels, 8 * base_channels, 16 * base_channels)
        of_neck = spiking if mode.neck else analog
        stem = _stem(config, UnitSpec(analog.activation, repeats), first_unit)

        self.embedding = build_embedding(config)
        self.backbone: nn.Module
        self.neck: nn.Module
        if config.backbone == "csp":
            body = spiking if mode.backbone else analog
            after_stem = first_unit if config.stem == "focus" else body
            self.backbone = CSPDarknet(stem, base_channels, config.blocks, body, after_stem)
            self.neck = PAFPN(channels, config.blocks, of_neck)
        else:
            stages = (
                mds_stages(base_channels, config.blocks, spiking)
                if config.backbone == "mds"
                else meta_stages(base_channels, config.depth, spiking)
            )
            # A pyramid that spikes adds currents. Otherwise, spikes are averaged over time.
            self.backbone = MembraneBackbone(
                stem, stages, spiking, repeats=repeats, spikes_out=not mode.neck
            )
            self.neck = AdditiveFusion(channels, of_neck)
        self.head = DecoupledHead(
            channels, 4 * base_channels, config.num_classes, spiking if mode.head else analog
        )
        # Last, so that the other weights are drawn as without it.
        self.memory = PyramidMemory(channels, config) if config.memory != "none" else None
        # Activations take the layout of the kernels, and convolutions are faster in this one.
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(
        self, events: Tensor, targets: Tensor | None = None, clips: Clips | None = None
    ) -> Result | tuple[Result, MemoryState | None]:
        """Detect objects in events, or compute the losses if there are targets.

        It calls :meth:`detect` with the output of ``embedding``. To use that output as well::

            frames = model.embedding(events)
            detections = model.detect(frames)

        Args:
            events: ``[B, Tl, Tm, C, H, W]`` floating-point counts, H and W multiples of 32.
            targets: as for :meth:`detect`; with clips, those of the labelled windows.
            clips: how the windows divide into clips of consecutive ones; None: each is alone.

        Returns:
            As :meth:`detect`; with clips, as :meth:`detect_clips`.

        Raises:
            ValueError: if ``events`` have another shape.
        """
        self._check("events", "[B, Tl, Tm, {C}, H, W]", events, (6,))
        frames = self.embedding(events)
        if clips is None:
            return self.detect(frames, targets)
        return self.detect_clips(frames, clips, targets)

    def detect(self, frames: Tensor, targets: Tensor | None = None) -> Result:
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
        return _result(raw, grid, targets)

    def detect_next(
        self, frames: Tensor, state: MemoryState | None
    ) -> tuple[Tensor, MemoryState | None]:
        """Detect objects in the next window of each of B recordings.

        Args:
            frames: as for :meth:`detect`, one window of each recording.
            state: what was returned for the windows before; None: the memory is empty.

        Returns:
            The detections of :meth:`detect`, and the state after these windows; None without a
            memory.

        Raises:
            ValueError: if ``frames`` have another shape.
        """
        detections, state = self.detect_clips(frames, Clips(frames.shape[-4], state))
        assert isinstance(detections, Tensor)  # without targets
        return detections, state

    def detect_clips(
        self, frames: Tensor, clips: Clips, targets: Tensor | None = None
    ) -> tuple[Result, MemoryState | None]:
        """Detect objects in the labelled windows of clips, or compute the losses for targets.

        Only the memory goes through the windows one by one. The parts before it compute all of them
        as one batch, and the head sees only those that are labelled.

        Args:
            frames: as for :meth:`detect`, of all windows of all clips.
            clips: how the windows divide into clips, and which are labelled.
            targets: as for :meth:`detect`, of the labelled windows.

        Returns:
            As :meth:`detect` for the labelled windows, and the state after each clip, through which
            no gradient flows; None without a memory.

        Raises:
            ValueError: if ``frames`` have another shape.
        """
        return self.detect_features(self.pyramid(frames), clips, targets)

    def detect_features(
        self, features: Features, clips: Clips, targets: Tensor | None = None
    ) -> tuple[Result, MemoryState | None]:
        """Do as :meth:`detect_clips` for what :meth:`pyramid` returns."""
        state: MemoryState | None = None
        if self.memory is not None:
            features, (a, b, c) = self.memory(features, clips)
            state = a.detach(), b.detach(), c.detach()
        elif clips.labelled is not None:
            x3, x4, x5 = (self._windows(x, clips.labelled) for x in features)
            features = x3, x4, x5
        raw, grid = self._head_outputs(features)
        result = _result(raw, grid, targets)
        if isinstance(result, dict) and clips.weight != 1:
            weighed = {name: loss * clips.weight for name, loss in result.items()}
            result = {**weighed, "num_fg": result["num_fg"]}
        return result, state

    def raw_outputs(self, frames: Tensor) -> tuple[Tensor, AnchorGrid]:
        """Return the outputs of the head for frames of the embedding, and their anchors.

        Args:
            frames: as for :meth:`detect`.

        Returns:
            ``[B, A, 5 + num_classes]``, averaged over time, in float32 even in mixed precision.

        Raises:
            ValueError: if ``frames`` have another shape.
        """
        features = self.pyramid(frames)
        if self.memory is not None:
            features, _ = self.memory(features, Clips(len(features[0])))
        return self._head_outputs(features)

    def pyramid(self, frames: Tensor) -> Features:
        """Return what the feature pyramid puts out for frames of the embedding.

        Args:
            frames: as for :meth:`detect`.

        Returns:
            3 of ``[B, C', H', W']``, averaged over time; if the head spikes, ``[T·B, …]``.

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
        return features

    def _windows(self, x: Tensor, chosen: Tensor) -> Tensor:
        """Return some windows of a feature map; if the head spikes, ``[T·B, …]``."""
        steps = self._T if self._mode is SpikeMode.FULL_V2 else 1
        return x.view(steps, -1, *x.shape[1:])[:, chosen].flatten(0, 1)

    def _head_outputs(self, features: Features) -> tuple[Tensor, AnchorGrid]:
        raw = self.head(features)  # [B, A, 5 + num_classes]; if the head spikes, [T·B, …]
        if self._mode is SpikeMode.FULL_V2:
            raw = mean_over_time(raw, self._T)
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


def _stem(config: DetectorConfig, before_neurons: UnitSpec, first_unit: UnitSpec) -> nn.Module:
    """Return the first layer of the backbone.

    Args:
        config: settings of the network.
        before_neurons: settings of a layer that does not spike.
        first_unit: settings of the unit with the first neurons.
    """
    in_channels, base_channels = config.in_channels, config.base_channels
    if config.backbone != "csp":  # what comes out of the stem is the first current
        before_neurons = first_unit = before_neurons.currents
    if config.backbone == "meta":
        return ConvUnit(in_channels, 2 * base_channels, 7, first_unit, stride=4, padding=2)
    if config.stem == "focus":
        return Focus(in_channels, base_channels, before_neurons)
    return ConvUnit(in_channels, base_channels, 6, first_unit, stride=2, padding=2)


def _result(raw: Tensor, grid: AnchorGrid, targets: Tensor | None) -> Result:
    with torch.autocast(raw.device.type, enabled=False):
        return decode(raw, grid) if targets is None else detection_losses(raw, targets, grid)


def _neurons(config: DetectorConfig) -> Callable[..., SpikingNeurons]:
    """Return what builds the neurons of ``config``, with the argument ``steps_in``."""
    if config.neuron == "ilif":
        return partial(IntegerLIF, config.T, config.spike_levels)
    return partial(ParametricLIF, config.T, config.spike_fn, config.alpha)


def decode(raw: Tensor, grid: AnchorGrid) -> Tensor:
    """Turn raw outputs ``[B, A, 5 + C]`` into boxes (cx, cy, w, h in pixels) and probabilities."""
    boxes = decode_boxes(raw[..., :4], grid.points_px, grid.strides_px)  # [B, A, 4]
    return torch.cat((boxes, raw[..., 4:].sigmoid()), dim=-1)


def build_detector(config: DetectorConfig) -> EventDetector:
    """Build the detector of ``config``, with new weights drawn from torch's generator."""
    return EventDetector(config)
