"""Folding batch norms into the convolutions before them."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from easnn.models.blocks import ConvUnit

Model = TypeVar("Model", bound=nn.Module)


def fuse(model: Model) -> Model:
    """Return a copy for evaluation whose convolution units have no batch norms.

    With its running statistics, a norm is γ·(x − μ)/√(σ² + ε) + β. The convolution before it
    computes the same if its weights are multiplied by γ/√(σ² + ε) and the constant is its bias. The
    outputs are equal up to rounding in every spiking mode, since the neurons get the same current.
    The norm on the output of an embedding stays, because no convolution is directly before it.
    """
    fused = copy.deepcopy(model).eval()
    for unit in fused.modules():
        if isinstance(unit, ConvUnit) and isinstance(unit.bn, nn.BatchNorm2d):
            unit.conv, unit.bn = fuse_conv_bn_eval(unit.conv, unit.bn), nn.Identity()
    return fused
