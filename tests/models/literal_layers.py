"""Convolutions, norms, pooling and neurons, one number at a time, with gradients of scalars.

Images are arrays of float64 scalars of torch, ``[T·B, C, H, W]``, time first.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from easnn.models import ParametricLIF
from easnn.models.blocks import ConvUnit


def scalars(values: Tensor) -> np.ndarray:
    """Return the numbers of a tensor; gradients flow back to it."""
    found = np.empty(values.shape, dtype=object)
    for place, value in zip(np.ndindex(*values.shape), values.flatten().unbind(), strict=True):
        found[place] = value
    return found


def tensor(images: np.ndarray) -> Tensor:
    """Undo :func:`scalars`."""
    return torch.stack(list(images.flatten())).view(images.shape)


def convolved(images: np.ndarray, conv: nn.Conv2d) -> np.ndarray:
    """Convolve with zeros around the images, tap by tap."""
    weight = scalars(conv.weight)
    bias = None if conv.bias is None else scalars(conv.bias)
    (stride, _), (padding, _), k = conv.stride, conv.padding, weight.shape[-1]
    count, _, height, width = images.shape
    rows, columns = ((side + 2 * padding - k) // stride + 1 for side in (height, width))
    outputs, inputs = weight.shape[:2]
    found = np.empty((count, outputs, rows, columns), dtype=object)
    for n, o, y, x in np.ndindex(*found.shape):
        first = o // (outputs // conv.groups) * inputs
        total = torch.zeros((), dtype=torch.float64) if bias is None else bias[o]
        for i, dy, dx in np.ndindex(inputs, k, k):
            row, column = stride * y + dy - padding, stride * x + dx - padding
            if 0 <= row < height and 0 <= column < width:
                total = total + weight[o, i, dy, dx] * images[n, first + i, row, column]
        found[n, o, y, x] = total
    return found


def normed(images: np.ndarray, norm: nn.BatchNorm2d) -> np.ndarray:
    """Normalise with the statistics of these images over time, batch and space."""
    scale, shift, found = scalars(norm.weight), scalars(norm.bias), np.empty_like(images)
    for c in range(images.shape[1]):
        values = list(images[:, c].flatten())
        mean = sum(values) / len(values)
        var = sum((value - mean) ** 2 for value in values) / len(values)
        for n, y, x in np.ndindex(len(images), *images.shape[2:]):
            found[n, c, y, x] = (images[n, c, y, x] - mean) / (var + norm.eps) ** 0.5
            found[n, c, y, x] = found[n, c, y, x] * scale[c] + shift[c]
    return found


def fired(images: np.ndarray, neurons: ParametricLIF) -> np.ndarray:
    """Return the spikes of leaky neurons with the surrogate ``atan`` of sharpness 2."""
    keep, found = 1 - neurons.w.sigmoid(), np.empty_like(images)
    B = len(images) // neurons.T
    for b, *place in np.ndindex(B, *images.shape[1:]):
        membrane: Any = 0.0
        for t in range(neurons.T):
            where = (t * B + b, *place)
            charged = membrane * keep + images[where]
            found[where] = _ATanStep.apply(charged - 1)
            membrane = charged - found[where]
    return found


def unit(images: np.ndarray, layer: ConvUnit) -> np.ndarray:
    """Convolution, norm, and neurons if the unit has some."""
    images = normed(convolved(images, layer.conv), layer.bn)
    return fired(images, layer.act) if isinstance(layer.act, ParametricLIF) else images


def pooled(images: np.ndarray) -> np.ndarray:
    """Return the maxima of squares of 2×2."""
    found = np.empty((*images.shape[:2], images.shape[2] // 2, images.shape[3] // 2), dtype=object)
    for n, c, y, x in np.ndindex(*found.shape):
        found[n, c, y, x] = max(images[n, c, 2 * y : 2 * y + 2, 2 * x : 2 * x + 2].flatten())
    return found


def check_against_scalars(
    layer: nn.Module, literal: Callable[[np.ndarray], np.ndarray], x: Tensor
) -> Tensor:
    """Compare outputs, and the gradients of all parameters and of ``x``; return the outputs."""
    for name, parameter in layer.named_parameters():
        nn.init.normal_(parameter, 1.2 if name.endswith("bn.weight") else 0.3, 0.5)
    results = []
    for compute in (layer, lambda images: tensor(literal(scalars(images)))):
        leaf = x.clone(memory_format=torch.channels_last).requires_grad_()
        out = compute(leaf)
        upstream = torch.arange(1.0, out.numel() + 1, dtype=torch.float64).view(out.shape).sin()
        layer.zero_grad()
        (out * upstream).sum().backward()
        found = {n: p.grad.clone() for n, p in layer.named_parameters() if p.grad is not None}
        results.append({"output": out.detach().contiguous(), "input": leaf.grad, **found})
    torch.testing.assert_close(*results, rtol=1e-9, atol=1e-11)
    assert all(value.abs().max() > 0 for value in results[0].values())
    return results[0]["output"]


class _ATanStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad / (1 + (math.pi * x) ** 2)
