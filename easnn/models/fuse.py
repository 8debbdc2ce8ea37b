"""Folding batch norms into the convolutions before them."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from easnn.models.blocks import ConvUnit

Model = TypeVar("Model", bound=nn.Module)


def fuse(model: Model) -> Model:
    """Return a copy for evaluation in which no unit has a batch norm of its own.

    With its running statistics a norm is γ·(x − μ)/√(σ² + ε) + β, which the convolution before it does as
    well, with weights γ/√(σ² + ε) times as large and the rest as bias. What comes out is the same but for
    rounding, in every spiking mode: the neurons still see the normalised current. The norm on an embedding's
    output stays, because what lies before it is no convolution.
    """
    fused = copy.deepcopy(model).eval()
    for unit in fused.modules():
        if isinstance(unit, ConvUnit) and isinstance(unit.bn, nn.BatchNorm2d):
            unit.conv, unit.bn = fuse_conv_bn_eval(unit.conv, unit.bn), nn.Identity()
    return fused
