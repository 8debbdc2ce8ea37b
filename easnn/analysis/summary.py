"""How large a network is: its parameters and operations, in all and per layer, counted by thop.

A FLOP is a half of a multiply-accumulate, as in the figures that YOLOX prints. thop also counts four
operations for each value of a norm and one for each value of an upsampling. What happens pixel by pixel in
neurons and in the sampler's membrane is not counted, and every operation counts in full, however few spikes
there are. A layer that runs several times for a frame counts as often.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import thop
from tabulate import tabulate
from thop.vision.basic_hooks import count_normalization
from torch import Tensor, nn

from easnn.analysis.energy import describe_conv, padded_macs, unpacked
from easnn.models import ParametricLIF
from easnn.models.anchors import STRIDES
from easnn.models.blocks import ConvUnit
from easnn.models.embedding.packed import PackedConv2d
from easnn.models.norm import RepeatedBatchNorm2d


@dataclass(frozen=True)
class LayerSize:
    """A unit, or a layer that belongs to none.

    Attributes:
        name: its name in the model.
        kind: what it is.
        output: shape of its output.
        parameters: how many it has.
        flops: its operations for a frame.
    """

    name: str
    kind: str
    output: tuple[int, ...] | None
    parameters: int
    flops: float


@dataclass(frozen=True)
class ModelSummary:
    """The size of a network.

    Attributes:
        about: what is fed to it.
        layers: its units and layers.
        parameters: how many it has.
        flops: its operations for a frame.
    """

    about: str
    layers: tuple[LayerSize, ...]
    parameters: int
    flops: float

    def line(self) -> str:
        """Return the size in a line."""
        return f"{_millions(self.parameters)} M parameters, {_billions(self.flops)} GFLOPs {self.about}"

    def table(self) -> str:
        """Return a table of the layers, then one of the parts of the network."""
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
    """Run a copy of a detector on an empty frame and return its size.

    Args:
        model: the detector; it stays as it is.
        shape: of the frame, ``(1, Tl, Tm, C, H, W)``.
    """
    profiled, outputs = copy.deepcopy(model), {}

    def remember(name: str, layer: nn.Module, output: object) -> None:
        if isinstance(output, Tensor):
            whole = unpacked(layer, output) if isinstance(layer, nn.Conv2d) else output
            outputs[name] = tuple(whole.shape)

    for name, layer in profiled.named_modules():
        layer.register_forward_hook(lambda layer, _, output, name=name: remember(name, layer, output))
    operations, _, by_layer = thop.profile(
        profiled,
        (next(model.parameters()).new_zeros(shape),),
        custom_ops=COUNTED_BY,
        verbose=False,
        ret_layer_info=True,
    )
    flops = {name: 2 * count for name, count in _leaves(by_layer)}
    layers = [
        LayerSize(name, _kind(layer), outputs.get(name), parameters, _flops_of(name, layer, flops))
        for name, layer, parameters in _rows(model)
    ]
    layers = [layer for layer in layers if layer.parameters or layer.flops]
    return ModelSummary(_about(model, shape), tuple(layers), _parameters(model), 2 * operations)


def size_line(model: nn.Module, shape: tuple[int, ...]) -> str:
    """Return parameters and operations of a detector in a line; the arguments are as in :func:`summarize`.

    Operations are counted on the smallest possible frame, and grow with its area.
    """
    *steps, height, width = shape
    cell = summarize(model, (*steps, STRIDES[-1], STRIDES[-1]))
    flops = cell.flops * height * width / STRIDES[-1] ** 2
    return ModelSummary(_about(model, shape), (), cell.parameters, flops).line()


def _count_packed(conv: PackedConv2d, _inputs: Any, output: Tensor) -> None:
    """Count a convolution of packed images as the one between the images that it stands for."""
    conv.total_ops += padded_macs(conv, output)  # type: ignore[operator, assignment]  # thop's own buffer


COUNTED_BY = {PackedConv2d: _count_packed, RepeatedBatchNorm2d: count_normalization}
"""How thop counts what it does not know."""


def _about(model: nn.Module, shape: tuple[int, ...]) -> str:
    _, macro_slices, micro_slices, _, height, width = shape
    steps = {layer.T for layer in model.modules() if isinstance(layer, ParametricLIF)}
    return f"at {height}×{width}, {macro_slices * micro_slices} slices" + "".join(f", T {T}" for T in steps)


def _rows(model: nn.Module) -> Iterator[tuple[str, nn.Module, int]]:
    """Yield every unit as a whole and what lies outside of units: name, layer, parameters."""
    unit: str | None = None
    for name, layer in model.named_modules():
        if unit is not None and name.startswith(f"{unit}."):
            continue
        if isinstance(layer, ConvUnit):
            unit = name
            yield name, layer, _parameters(layer)
        else:
            yield name, layer, sum(parameter.numel() for parameter in layer.parameters(recurse=False))


def _kind(layer: nn.Module) -> str:
    if isinstance(layer, ConvUnit):
        return f"{describe_conv(layer.conv)}, {type(layer.bn).__name__}, {type(layer.act).__name__}"
    return describe_conv(layer) if isinstance(layer, nn.Conv2d) else type(layer).__name__


def _leaves(by_layer: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Yield the name of every module without children, and its operations."""
    for name, (operations, _, children) in by_layer.items():
        if children:
            yield from _leaves(children, f"{prefix}{name}.")
        else:
            yield prefix + name, operations


def _flops_of(name: str, layer: nn.Module, flops: dict[str, float]) -> float:
    """Return the operations of a module without children, or of a unit with all that is in it."""
    if not isinstance(layer, ConvUnit):
        return flops.get(name, 0.0)
    return sum(count for leaf, count in flops.items() if leaf.startswith(f"{name}."))


def _parameters(layer: nn.Module) -> int:
    return sum(parameter.numel() for parameter in layer.parameters())


def _millions(number: float) -> str:
    return f"{number / 1e6:.2f}"


def _billions(number: float) -> str:
    return f"{number / 1e9:.2f}"
