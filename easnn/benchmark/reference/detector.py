"""The detector with T copies of the frame from the stem on, in NCHW."""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn

from easnn.benchmark.reference.losses import published_losses
from easnn.benchmark.reference.neurons import PublishedNeurons
from easnn.benchmark.reference.sampler import PublishedSampler
from easnn.kernels import Kernels, use_kernels
from easnn.models import EventDetector, IntegerLIF, ParametricLIF
from easnn.models.backbone import CSPDarknet, MembraneBackbone
from easnn.models.blocks import ConvUnit
from easnn.models.detector import decode
from easnn.models.embedding.arsnn import AdaptiveSampling
from easnn.models.neck import PAFPN, AdditiveFusion
from easnn.models.norm import RepeatedBatchNorm2d


class PublishedDetector(nn.Module):
    """The same network as :class:`~easnn.models.EventDetector`, without its short cuts.

    With ``Ts`` 1, T copies of the frame pass the stem and the first convolution. Activations are
    contiguous (NCHW). The adaptive sampler, the neurons and the assignment are the published ones;
    other embeddings stay.

    Attributes:
        network: the network; the names of its state dict are those of ``ours``.

    Args:
        ours: the detector whose weights are copied.
    """

    def __init__(self, ours: EventDetector) -> None:
        super().__init__()
        self.network = copy.deepcopy(ours)
        config = ours.config
        self._copies = config.T if config.use_spike.backbone and config.Ts == 1 else 1
        if isinstance(ours.embedding, AdaptiveSampling):
            self.network.embedding = PublishedSampler(ours.embedding)
        _replace_layers(self.network)
        use_kernels(self.network, Kernels.PLAIN)
        self.to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]

    @property
    def embedding(self) -> nn.Module:
        """The embedding."""
        return self.network.embedding

    def forward(self, events: Tensor, targets: Tensor | None = None) -> Tensor | dict[str, Tensor]:
        """Detect objects, or compute the losses; see :meth:`EventDetector.forward`."""
        frames = cast(Tensor, self.network.embedding(events))
        if self._copies > 1:
            images = frames[0] if frames.dim() == 5 else frames  # [B, C, H, W]
            frames = torch.stack([images] * self._copies)  # [T, B, C, H, W]
        raw, grid = self.network.raw_outputs(frames)
        with torch.autocast(raw.device.type, enabled=False):
            return decode(raw, grid) if targets is None else published_losses(raw, targets, grid)


def _replace_layers(module: nn.Module) -> None:
    """Replace neurons and norms that know of repeated time steps, and keep all activations."""
    for name, child in module.named_children():
        if isinstance(child, ParametricLIF):
            setattr(module, name, PublishedNeurons(child))
        elif isinstance(child, IntegerLIF):  # which are not published; they get all time steps
            child.repeats = 1
        elif isinstance(child, RepeatedBatchNorm2d):
            norm = nn.BatchNorm2d(child.num_features, child.eps, child.momentum).to(child.weight)
            norm.load_state_dict(child.state_dict())
            setattr(module, name, norm.train(child.training))
        else:
            if isinstance(child, ConvUnit):
                child.spikes_in = False
            if isinstance(child, ConvUnit | CSPDarknet | PAFPN | MembraneBackbone | AdditiveFusion):
                child.recomputed = False
            if isinstance(child, MembraneBackbone):
                child.repeats = 1
            _replace_layers(child)
