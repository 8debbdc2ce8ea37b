"""Folding batch norms into the convolutions before them."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from easnn.models.blocks import ConvUnit
from easnn.models.membrane_blocks import FactoredUnit

Model = TypeVar("Model", bound=nn.Module)


def fuse(model: Model) -> Model:
    """Return a copy for evaluation whose convolution units have no batch norms.

    With its running statistics, a norm is γ·(x − μ)/√(σ² + ε) + β. The convolution before it
    computes the same if its weights are multiplied by γ/√(σ² + ε) and the constant is its bias. The
    outputs are equal up to rounding in every spiking mode, since the neurons get the same current.
    The norm on the output of an embedding stays, because no convolution is directly before it. The
    factors of a :class:`~easnn.models.membrane_blocks.FactoredUnit` become one convolution.
    """
    fused = copy.deepcopy(model).eval()
    for unit in fused.modules():
        if isinstance(unit, FactoredUnit):
            _multiply(unit)
        if isinstance(unit, ConvUnit) and isinstance(unit.bn, nn.BatchNorm2d):
            unit.conv, unit.bn = fuse_conv_bn_eval(unit.conv, unit.bn), nn.Identity()
    return fused


def _multiply(unit: FactoredUnit) -> None:
    """Replace the factors of a unit by the 3×3 convolution that they are."""
    if isinstance(unit.depthwise, nn.Identity):
        return
    kernel = unit.product().detach()
    conv = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3, padding=1, bias=False).to(kernel)
    conv.weight.data = kernel.contiguous(memory_format=torch.channels_last)
    unit.conv, unit.depthwise, unit.pointwise = conv.eval(), nn.Identity(), nn.Identity()
