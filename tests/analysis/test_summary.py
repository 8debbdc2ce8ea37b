from __future__ import annotations

import pytest
import torch
from lively import TINY
from torch import nn

from easnn.analysis import size_line, summarize
from easnn.models import DetectorConfig, SpikeMode, build_detector

SHAPE = (1, 1, 3, 2, 32, 64)


def test_layers_by_hand() -> None:
    layers = {layer.name: layer for layer in summarize(build_detector(TINY), SHAPE).layers}

    packed = layers["embedding.recurrence.input_conv.0"]  # for each of three slices
    assert (packed.kind, packed.output) == ("2→4 3×3", (3, 4, 32, 64))
    assert (packed.parameters, packed.flops) == (4 * 2 * 9 + 4, 2 * 3 * 32 * 64 * 4 * 2 * 9)

    gate = layers["embedding.recurrence.gate_conv.2"]  # three times for one step
    assert (gate.output, gate.flops) == ((1, 4, 32, 64), 2 * 3 * 32 * 64 * 4 * 4 * 9)

    stem = layers["backbone.stem.conv"]  # once for all time steps
    assert (stem.kind, stem.output) == ("8→8 3×3, RepeatedBatchNorm2d, SiLU", (1, 8, 16, 32))
    assert stem.parameters == 8 * 8 * 9 + 2 * 8
    assert stem.flops == 2 * 8 * 16 * 32 * (8 * 9 + 4)

    down = layers["backbone.dark3.0"]  # in three time steps
    assert (down.kind, down.output) == ("16→32 3×3/2, BatchNorm2d, ParametricLIF", (3, 32, 4, 8))
    assert down.parameters == 16 * 32 * 9 + 2 * 32 + 1
    assert down.flops == 2 * 3 * 32 * 4 * 8 * (16 * 9 + 4)

    assert layers["neck.upsample"].flops == 2 * 3 * (64 * 2 * 4 + 32 * 4 * 8)  # twice
    assert layers["head.levels.0.box_out"].flops == 2 * 3 * 4 * 4 * 8 * 32


@pytest.mark.parametrize("embedding", ["arsnn", "rsnn", "snn", "count"])
@pytest.mark.parametrize("mode", [SpikeMode.NONE, SpikeMode.BACKBONE])
def test_layers_add_up_to_the_network(embedding: str, mode: SpikeMode) -> None:
    model = build_detector(TINY.replace(use_spike=mode, embedding=embedding))
    summary = summarize(model, SHAPE)
    assert summary.parameters == sum(parameter.numel() for parameter in model.parameters())
    assert summary.parameters == sum(layer.parameters for layer in summary.layers)
    assert summary.flops == sum(layer.flops for layer in summary.layers)


def test_operations_grow_with_the_area() -> None:
    model = build_detector(TINY)
    for shape in (SHAPE, (1, 1, 4, 2, 96, 64)):
        assert size_line(model, shape) == summarize(model, shape).line()


def test_the_line_of_yolox_s() -> None:
    """YOLOX prints 9.0 M and 26.8 GFLOPs for its S with three input channels and 80 classes."""
    config = DetectorConfig(num_classes=80, depth=0.33, width=0.5, in_channels=3)
    line = size_line(build_detector(config), (1, 1, 4, 3, 640, 640))
    assert line == "8.97 M parameters, 26.93 GFLOPs at 640×640, 4 slices"
    assert size_line(build_detector(TINY), SHAPE).endswith(" GFLOPs at 32×64, 3 slices, T 3")


@pytest.mark.parametrize(
    ("config", "shape", "flops"),
    [
        (
            DetectorConfig(num_classes=80, depth=0.33, width=0.5, in_channels=3),
            (1, 1, 4, 3, 640, 640),
            26_926_796_800,
        ),
        (
            DetectorConfig(
                num_classes=2,
                depth=0.33,
                width=0.25,
                depthwise=True,
                use_spike=SpikeMode.FULL,
                T=3,
                embedding="snn",
            ),
            (1, 1, 4, 2, 256, 320),
            1_302_845_440,
        ),
    ],
)
def test_operations_are_those_of_thop(
    config: DetectorConfig, shape: tuple[int, ...], flops: int
) -> None:
    """The numbers are twice the MACs of thop 0.1.1, with packed convolutions counted by pixel."""
    assert summarize(build_detector(config), shape).flops == flops


def test_a_linear_layer() -> None:
    """Experiment files may build networks with layers that ours do not have."""
    summary = summarize(nn.Sequential(nn.Flatten(), nn.Linear(3 * 2 * 32 * 64, 5)), SHAPE)
    [layer] = summary.layers
    assert (layer.kind, layer.output) == ("Linear", (1, 5))
    assert summary.flops == layer.flops == 2 * 5 * 3 * 2 * 32 * 64
    assert summary.parameters == 5 * 3 * 2 * 32 * 64 + 5


def test_the_model_stays_as_it_is() -> None:
    model = build_detector(TINY)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    summarize(model, SHAPE)
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert model.training
    assert not any(
        layer._forward_hooks for layer in model.modules() if isinstance(layer, nn.Module)
    )


def test_the_table_ends_with_the_parts() -> None:
    summary = summarize(build_detector(TINY), SHAPE)
    rows = [line.split() for line in summary.table().splitlines()]
    assert [row[0] for row in rows[-5:]] == ["embedding", "backbone", "neck", "head", "all"]
    of_embedding = 2 * (4 * 2 * 9 + 4 + 4 * 4 * 9 + 4)  # two branches of two convolutions
    assert rows[-5][1] == f"{of_embedding}"
    assert rows[-1][1:] == [f"{summary.parameters}", f"{summary.flops / 1e9:.2f}"]
