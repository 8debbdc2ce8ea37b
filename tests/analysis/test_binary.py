"""Integer neurons in binary slots: the same outputs from convolutions that see only 0 and 1."""

from __future__ import annotations

import copy
from dataclasses import replace

import pytest
import torch
from lively import TINY, event_counts, lively_detector
from torch import Tensor, nn

from easnn.analysis import SlotConv2d, binary_slots, measure_energy
from easnn.analysis.energy import spike_driven
from easnn.models import IntegerLIF, SpikeMode, fuse
from easnn.models.blocks import SPP, CSPLayer, UnitSpec, spatial_unit
from easnn.utils.errors import ConfigError

EVENTS = event_counts(frames=2).double()
INTEGER = TINY.replace(neuron="ilif", embedding="count", T=2)


class Seen:
    """The values that the convolutions of a network are given, slot by slot."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.values: set[float] = set()
        original = SlotConv2d._conv_forward

        def forward(layer: SlotConv2d, slot: Tensor, *args: Tensor | None) -> Tensor:
            self.values |= set(slot.unique().tolist())
            return original(layer, slot, *args)

        monkeypatch.setattr(SlotConv2d, "_conv_forward", forward)


@pytest.mark.parametrize(
    ("mode", "depthwise", "stem", "fused"),
    [
        (SpikeMode.BACKBONE, False, "focus", False),
        (SpikeMode.FULL, True, "focus", True),
        (SpikeMode.FULL, False, "conv", True),
        (SpikeMode.FULL_V2, True, "conv", False),
        (SpikeMode.FULL_V2, False, "focus", True),  # every kind of convolution has a bias
    ],
)
@pytest.mark.parametrize("T", [1, 2])
def test_the_same_boxes(
    mode: SpikeMode,
    depthwise: bool,
    stem: str,
    fused: bool,
    T: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = INTEGER.replace(use_spike=mode, depthwise=depthwise, stem=stem, T=T)
    model = lively_detector(config, EVENTS)
    model = fuse(model) if fused else model
    before = copy.deepcopy(model.state_dict())
    binary, seen = binary_slots(model, EVENTS[:1]), Seen(monkeypatch)
    with torch.no_grad():
        expected = model(EVENTS)
        found = binary(EVENTS)
    assert expected.std(dim=1).min() > 1e-4  # what is in the image does matter
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert seen.values == {0, 1}
    assert {
        name for name, layer in binary.named_modules() if isinstance(layer, SlotConv2d)
    } == spike_driven(model, EVENTS[:1])
    torch.testing.assert_close(model.state_dict(), before, rtol=0, atol=0)
    assert not any(isinstance(layer, SlotConv2d) for layer in model.modules())


@pytest.mark.parametrize(
    ("backbone", "mode"),
    [
        *(("csp", mode) for mode in list(SpikeMode)[1:]),
        ("mds", SpikeMode.FULL_V2),
        ("meta", SpikeMode.FULL),
    ],
)
def test_with_membrane_shortcuts_there_are_no_more_slots_than_levels(
    backbone: str, mode: SpikeMode
) -> None:
    config = INTEGER.replace(use_spike=mode, residual="membrane", backbone=backbone)
    model = lively_detector(config, EVENTS)
    layers = [layer for layer in measure_energy(model, [EVENTS[:1]]).layers if layer.spikes]
    assert max(layer.input_most for layer in layers) == 4
    with torch.no_grad():
        found = binary_slots(model, EVENTS[:1])(EVENTS)
        torch.testing.assert_close(found, model(EVENTS), rtol=1e-9, atol=1e-9)


def test_the_spikes_of_the_sampler_stay_as_they_are() -> None:
    model = lively_detector(INTEGER.replace(embedding="arsnn", embedding_depth=1), EVENTS)
    binary = binary_slots(model, EVENTS[:1])
    assert not any(isinstance(layer, SlotConv2d) for layer in binary.embedding.modules())
    with torch.no_grad():
        torch.testing.assert_close(binary(EVENTS), model(EVENTS), rtol=1e-9, atol=1e-9)


class Parts(nn.Module):
    """A part of the network between neurons and what counts, in place of a detector."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.neurons, self.part = IntegerLIF(2, 4), part

    def forward(self, current: Tensor) -> Tensor:
        out: Tensor = self.part(self.neurons(current))
        return out


SPIKING = UnitSpec(lambda: IntegerLIF(2, 4), spikes_in=True)
PARTS = {
    "pointwise": lambda: nn.Conv2d(8, 6, 1, bias=False),
    "3×3": lambda: nn.Conv2d(8, 6, 3, padding=1, bias=False),
    "bias": lambda: nn.Conv2d(8, 6, 3, padding=1),
    "stride": lambda: nn.Conv2d(8, 6, 3, stride=2, padding=1),
    "6×6": lambda: nn.Conv2d(8, 6, 6, stride=2, padding=2),
    "dilation": lambda: nn.Conv2d(8, 6, 3, dilation=2),
    "groups": lambda: nn.Conv2d(8, 6, 3, groups=2),
    "depthwise": lambda: nn.Conv2d(8, 8, 3, padding=1, groups=8),
    "separable": lambda: spatial_unit(
        8, 6, UnitSpec(SPIKING.activation, spikes_in=True, separable=True)
    ),
    "pooling": lambda: SPP(8, SPIKING),
    "residual sums and concatenation": lambda: CSPLayer(8, 8, 3, SPIKING),
    "membrane shortcuts": lambda: CSPLayer(8, 8, 3, replace(SPIKING, membrane=True)),
    "upsampling": lambda: nn.Sequential(nn.Upsample(scale_factor=2), nn.Conv2d(8, 6, 3)),
}


@pytest.mark.parametrize("kind", PARTS)
def test_every_kind_of_layer(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    model = Parts(PARTS[kind]()).double().eval()
    for norm in (layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)):
        nn.init.constant_(norm.weight, 4.0)
        nn.init.constant_(norm.bias, 1.0)
    current = 3 * torch.randn(4, 8, 14, 15, dtype=torch.float64) + 1
    seen = Seen(monkeypatch)
    with torch.no_grad():
        expected = model(current)
        found = binary_slots(model, current)(current)
    assert expected.unique().numel() > 1
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert seen.values == {0, 1}


def test_a_bias_counts_once() -> None:
    conv = nn.Conv2d(1, 1, 1)
    nn.init.constant_(conv.weight, 2.0)
    nn.init.constant_(conv.bias, 0.5)
    counts = torch.tensor([0.0, 1, 4, 9]).view(1, 1, 2, 2)
    assert SlotConv2d.of(conv)(counts).flatten().tolist() == [0.5, 2.5, 8.5, 18.5]
    assert SlotConv2d.of(conv)(torch.zeros(1, 1, 2, 2)).unique().tolist() == [0.5]


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        ({"neuron": "plif"}, "those of this network (`neuron` plif) are binary already."),
        (
            {"neuron": "plif", "use_spike": SpikeMode.NONE},
            "this network does not spike (`use_spike` False).",
        ),
    ],
)
def test_networks_without_integer_neurons_are_refused(keys: dict[str, object], reason: str) -> None:
    model = lively_detector(INTEGER.replace(**keys), EVENTS)
    with pytest.raises(ConfigError) as error:
        binary_slots(model, EVENTS[:1])
    assert str(error.value) == f"Binary slots (`--binary`) need integer neurons, but {reason}"
