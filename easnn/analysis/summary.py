"""The size of a network: parameters and operations, in total and per layer.

The conventions are those of the package ``thop``, which YOLOX uses. A multiply-accumulate (MAC) is
two FLOPs. Convolutions and linear layers count one MAC per weight and output position, including
padding, batch norms four per value, and upsampling one per value. Activations, pooling, neurons and
the membrane of the sampler are not counted. The number of spikes has no influence. A layer that
runs several times per frame counts each time.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from tabulate import tabulate
from torch import Tensor, nn

from easnn.analysis.energy import describe_conv, padded_macs, unpacked
from easnn.models import SpikingNeurons
from easnn.models.anchors import STRIDES
from easnn.models.blocks import ConvUnit

MACS_PER_NORMED_VALUE = 4
"""Mean, deviation, scale and shift count one MAC each."""


@dataclass(frozen=True)
class LayerSize:
    """The size of a unit, or of a layer outside of units.

    Attributes:
        name: its name in the model.
        kind: type of the layer, including channels and kernel of a convolution.
        output: shape of its output.
        parameters: number of parameters.
        flops: FLOPs for a frame.
    """

    name: str
    kind: str
    output: tuple[int, ...] | None
    parameters: int
    flops: int


@dataclass(frozen=True)
class ModelSummary:
    """The size of a network.

    Attributes:
        about: size of the frame and time steps, as text.
        layers: its units and layers.
        parameters: number of parameters.
        flops: FLOPs for a frame.
    """

    about: str
    layers: tuple[LayerSize, ...]
    parameters: int
    flops: int

    def line(self) -> str:
        """Return the size in one line."""
        return (
            f"{self.parameters / 1e6:.2f} M parameters, {_billions(self.flops)} GFLOPs {self.about}"
        )

    def table(self) -> str:
        """Return a table of the layers and a table of the parts of the network."""
        layers = [
            (
                layer.name,
                layer.kind,
                "" if layer.output is None else "×".join(map(str, layer.output)),
                f"{layer.parameters}",
                f"{layer.flops / 1e6:.2f}",
            )
            for layer in self.layers
        ]
        parts = dict.fromkeys(layer.name.split(".")[0] for layer in self.layers)
        rows = [self._part(part) for part in parts]
        rows.append(("all", f"{self.parameters}", _billions(self.flops)))
        return "\n\n".join(
            (
                tabulate(
                    layers,
                    headers=("layer", "kind", "output", "parameters", "MFLOPs"),
                    colalign=("left", "left", "left", "right", "right"),
                    disable_numparse=True,
                ),
                tabulate(
                    rows,
                    headers=(self.about, "parameters", "GFLOPs"),
                    colalign=("left", "right", "right"),
                    disable_numparse=True,
                ),
            )
        )

    def _part(self, part: str) -> tuple[str, str, str]:
        layers = [layer for layer in self.layers if layer.name.split(".")[0] == part]
        return (
            part,
            f"{sum(layer.parameters for layer in layers)}",
            _billions(sum(layer.flops for layer in layers)),
        )


def summarize(model: nn.Module, shape: tuple[int, ...]) -> ModelSummary:
    """Compute the size of a detector by running a copy of it on an empty frame.

    Args:
        model: the detector; it is not changed.
        shape: shape of the frame, ``(1, Tl, Tm, C, H, W)``.
    """
    copied = copy.deepcopy(model).eval()
    outputs: dict[str, tuple[int, ...]] = {}
    flops: Counter[str] = Counter()

    def record(name: str, layer: nn.Module, output: object) -> None:
        if isinstance(output, Tensor):
            whole = unpacked(layer, output) if isinstance(layer, nn.Conv2d) else output
            outputs[name] = tuple(whole.shape)
            flops[name] += 2 * _macs(layer, output)

    for name, layer in copied.named_modules():
        layer.register_forward_hook(lambda layer, _, output, name=name: record(name, layer, output))
    with torch.no_grad():
        copied(next(copied.parameters()).new_zeros(shape))
    layers = [
        LayerSize(name, _kind(layer), outputs.get(name), parameters, _flops_of(name, layer, flops))
        for name, layer, parameters in _rows(model)
    ]
    layers = [layer for layer in layers if layer.parameters or layer.flops]
    return ModelSummary(_about(model, shape), tuple(layers), _parameters(model), flops.total())


def size_line(model: nn.Module, shape: tuple[int, ...]) -> str:
    """Return parameters and FLOPs of a detector in one line; arguments as in :func:`summarize`.

    FLOPs are counted on the smallest possible frame and scaled by area.
    """
    *steps, height, width = shape
    cell = summarize(model, (*steps, STRIDES[-1], STRIDES[-1]))
    flops = cell.flops * height * width // STRIDES[-1] ** 2
    return ModelSummary(_about(model, shape), (), cell.parameters, flops).line()


def _about(model: nn.Module, shape: tuple[int, ...]) -> str:
    _, macro_slices, micro_slices, _, height, width = shape
    steps = {layer.T for layer in model.modules() if isinstance(layer, SpikingNeurons)}
    about = f"at {height}×{width}, {macro_slices * micro_slices} slices"
    return ", ".join((about, *(f"T {T}" for T in steps)))


def _rows(model: nn.Module) -> Iterator[tuple[str, nn.Module, int]]:
    """Yield name, layer and parameters of every unit, and of every layer outside of units."""
    unit: str | None = None
    for name, layer in model.named_modules():
        if unit is not None and name.startswith(f"{unit}."):
            continue
        if isinstance(layer, ConvUnit):
            unit = name
            yield name, layer, _parameters(layer)
        else:
            yield name, layer, _parameters(layer, recurse=False)


def _kind(layer: nn.Module) -> str:
    if isinstance(layer, ConvUnit):
        parts = (part for part in (layer.bn, layer.act) if not isinstance(part, nn.Identity))
        return ", ".join((describe_conv(layer.conv), *(type(part).__name__ for part in parts)))
    return describe_conv(layer) if isinstance(layer, nn.Conv2d) else type(layer).__name__


def _macs(layer: nn.Module, output: Tensor) -> int:
    """Return the MACs of a leaf layer for an output."""
    match layer:
        case nn.Conv2d():
            return padded_macs(layer, output)
        case nn.Linear():
            return output.numel() * layer.in_features
        case nn.BatchNorm2d():
            return MACS_PER_NORMED_VALUE * output.numel()
        case nn.Upsample():
            return output.numel()
    return 0


def _flops_of(name: str, layer: nn.Module, flops: Counter[str]) -> int:
    """Return the FLOPs of a layer, or of a unit including all its layers."""
    if not isinstance(layer, ConvUnit):
        return flops[name]
    return sum(count for inner, count in flops.items() if inner.startswith(f"{name}."))


def _parameters(layer: nn.Module, *, recurse: bool = True) -> int:
    return sum(parameter.numel() for parameter in layer.parameters(recurse))


def _billions(number: float) -> str:
    return f"{number / 1e9:.2f}"
