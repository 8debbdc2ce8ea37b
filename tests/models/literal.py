"""The embeddings with a membrane, pixel by pixel in the floating-point numbers of Python."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from easnn.kernels import Kernels
from easnn.kernels.choice import native_library
from easnn.models import DetectorConfig
from easnn.models.embedding import EventEmbedding
from easnn.models.embedding.recurrence import LeakyNeurons

KERNELS = [
    Kernels.PLAIN,
    pytest.param(
        Kernels.NATIVE,
        marks=pytest.mark.skipif(native_library() is None, reason="no native kernels"),
    ),
]
"""The implementations on a CPU, as parameters of tests."""

Image = np.ndarray
"""float64 [C, H, W]."""


def literal_embedding(
    embedding: EventEmbedding, config: DetectorConfig, events: np.ndarray
) -> np.ndarray:
    """Return what ``arsnn`` [Ts, B, C, H, W], or ``rsnn`` or ``snn`` [B, C, H, W] writes.

    Args:
        embedding: holds the weights.
        config: its settings; ``norm`` must be None.
        events: float64 [B, S, C, H, W], oldest slice first.
    """
    written = []
    for slices in events:
        if config.embedding == "snn":
            steps = list(_leaky(embedding.recurrence, config, slices[::-1]))
        else:
            steps = list(_gated(embedding.recurrence, config, slices[::-1]))
        membrane, spikes, post_reset = (np.array(values) for values in zip(*steps, strict=True))
        of_image = np.zeros((config.Ts, *slices.shape[1:]))
        for pixel in np.ndindex(*slices.shape[1:]):
            history = [
                (float(u[pixel]), bool(s[pixel]), float(v[pixel]))
                for u, s, v in zip(membrane, spikes, post_reset, strict=True)
            ]
            values = (
                _segments(history, config) if config.embedding == "arsnn" else _sum(history, config)
            )
            for n, value in enumerate(values):
                of_image[(n, *pixel)] = max(value, 0.0) if config.abs is True else value
        written.append(of_image)
    stacked = np.stack(written, axis=1)
    return stacked if config.embedding == "arsnn" else stacked[0]


def _segments(history: list[tuple[float, bool, float]], config: DetectorConfig) -> list[float]:
    """Return what one pixel writes: at most ``Ts`` segments."""
    values: list[float] = []
    accumulated, since = 0.0, 0
    for membrane, spike, _ in history:
        accumulated, since = accumulated + membrane, since + 1
        if spike:
            values.append(
                {"sum": accumulated, "last": membrane, "avg": accumulated / since}[config.readout]
            )
            accumulated, since = 0.0, 0
    _, spike, post_reset = history[-1]
    if not spike:
        residue = {"sum": accumulated, "last": post_reset, "avg": accumulated / since}
        values.append(0.0 if config.write_zero else residue[config.readout])
    return values[: config.Ts]


def _sum(history: list[tuple[float, bool, float]], config: DetectorConfig) -> list[float]:
    if config.readout == "last":
        return [history[-1][2]]
    return [sum(membrane for membrane, _, _ in history)]


def _gated(
    recurrence: nn.Module, config: DetectorConfig, newest_first: np.ndarray
) -> Iterator[tuple[Image, Image, Image]]:
    """Yield membrane, spikes and membrane after the reset of each step."""
    channels, height, width = newest_first[0].shape
    spikes = post_reset = np.zeros((channels, height, width))
    of_input: dict[int, Image] = {}
    of_gate: dict[int, Image] = {}
    for slice_ in newest_first:
        from_input = _branch(recurrence.input_conv, slice_, config, of_input)
        from_spikes = _branch(recurrence.gate_conv, spikes, config, of_gate)
        membrane, fired, after = (np.zeros_like(slice_) for _ in range(3))
        for c, y, x in np.ndindex(channels, height, width):
            gate = from_input[c, y, x] + from_spikes[c, y, x]
            charge = from_input[channels + c, y, x] + from_spikes[channels + c, y, x]
            u = post_reset[c, y, x] / (1 + math.exp(-gate)) + charge
            membrane[c, y, x], (fired[c, y, x], after[c, y, x]) = u, _fire(u, config)
        spikes, post_reset = fired, after
        yield membrane, spikes, post_reset


def _leaky(
    recurrence: nn.Module, config: DetectorConfig, newest_first: np.ndarray
) -> Iterator[tuple[Image, Image, Image]]:
    keep = 1 / (1 + math.exp(-recurrence.decay.item()))
    post_reset = np.zeros_like(newest_first[0])
    of_branch: dict[int, Image] = {}
    for slice_ in newest_first:
        charges = _branch(recurrence.conv, slice_, config, of_branch)
        membrane, fired, after = (np.zeros_like(slice_) for _ in range(3))
        for pixel in np.ndindex(*slice_.shape):
            u = keep * post_reset[pixel] + charges[pixel]
            membrane[pixel], (fired[pixel], after[pixel]) = u, _fire(u, config)
        post_reset = after
        yield membrane, fired, post_reset


def _fire(membrane: float, config: DetectorConfig) -> tuple[float, float]:
    if membrane <= config.thresh:
        return 0.0, membrane
    return 1.0, membrane - config.thresh if config.reset is None else config.reset


def _branch(
    branch: nn.Sequential, image: Image, config: DetectorConfig, membranes: dict[int, Image]
) -> Image:
    """Return the output of a branch, and keep the membranes of its neurons, by layer."""
    for number, layer in enumerate(branch):
        if isinstance(layer, nn.Conv2d):
            image = _convolved(image, layer.weight.detach().numpy(), layer.bias.detach().numpy())
        elif isinstance(layer, LeakyNeurons):
            keep = 1 / (1 + math.exp(-layer.decay.item()))
            before = membranes.get(number, np.zeros_like(image))
            spikes, after = np.zeros_like(image), np.zeros_like(image)
            for pixel in np.ndindex(*image.shape):
                u = keep * before[pixel] + image[pixel]
                spikes[pixel], after[pixel] = _fire(float(u), config)
            image, membranes[number] = spikes, after
        else:
            assert isinstance(layer, nn.ReLU)
            image = np.maximum(image, 0)
    return image


def _convolved(image: Image, weight: np.ndarray, bias: np.ndarray) -> Image:
    """Convolve with zeros around the image, tap by tap."""
    _, height, width = image.shape
    outputs, inputs, k, _ = weight.shape
    result = np.zeros((outputs, height, width))
    for o, y, x in np.ndindex(outputs, height, width):
        total = float(bias[o])
        for i, dy, dx in np.ndindex(inputs, k, k):
            row, column = y + dy - k // 2, x + dx - k // 2
            if 0 <= row < height and 0 <= column < width:
                total += float(weight[o, i, dy, dx]) * float(image[i, row, column])
        result[o, y, x] = total
    return result


def lively(embedding: EventEmbedding, seed: int) -> EventEmbedding:
    """Return the embedding in float64, with weights of a seed that let some of its pixels fire."""
    generator = torch.Generator().manual_seed(seed)
    embedding = embedding.double()
    with torch.no_grad():
        for parameter in embedding.parameters():
            if parameter.dim() > 0:
                parameter.normal_(0.0, 0.5, generator=generator)
    return embedding
