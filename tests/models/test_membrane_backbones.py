"""The backbones and the pyramid of blocks with membrane shortcuts."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from literal import KERNELS
from literal_layers import (
    check_against_scalars,
    convolved,
    fired,
    normed,
    pooled,
    unit,
)
from lively import TINY, event_counts, lively_detector
from torch import Tensor, nn

from easnn.analysis import binary_slots, measure_energy
from easnn.kernels import use_kernels
from easnn.models import (
    DetectorConfig,
    IntegerLIF,
    ParametricLIF,
    SpikeMode,
    SpikingNeurons,
    build_detector,
    fuse,
)
from easnn.models.backbone import MembraneBackbone
from easnn.models.blocks import ConvUnit, UnitSpec
from easnn.models.membrane_blocks import FactoredUnit, MDSBlock, MetaBlock
from easnn.models.neck import AdditiveFusion, FusionMix

T = 2
SPEC = UnitSpec(partial(ParametricLIF, T, "atan", 2.0), spikes_in=True, membrane=True)
MDS = TINY.replace(backbone="mds", residual="membrane")
META = TINY.replace(backbone="meta", residual="membrane")


def currents(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64) + 0.5


def run(images: np.ndarray, layers: nn.Sequential) -> np.ndarray:
    """Neurons, then units one after another."""
    images = fired(images, layers[0])
    for layer in layers[1:]:
        images = factored(images, layer) if isinstance(layer, FactoredUnit) else unit(images, layer)
    return images


def factored(images: np.ndarray, layer: FactoredUnit) -> np.ndarray:
    images = convolved(convolved(images, layer.conv), layer.depthwise)
    if isinstance(layer.pointwise, nn.Conv2d):
        images = convolved(images, layer.pointwise)
    images = normed(images, layer.bn)
    return fired(images, layer.act) if isinstance(layer.act, ParametricLIF) else images


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize(
    ("channels", "stride", "hw"), [((2, 4), 2, (4, 2)), ((3, 3), 1, (2, 3)), ((2, 2), 2, (4, 4))]
)
def test_an_mds_block_is_a_loop_over_pixels(channels, stride, hw, kernels) -> None:
    block = MDSBlock(*channels, SPEC, stride=stride).double()
    use_kernels(block, kernels)

    def literal(images: np.ndarray) -> np.ndarray:
        largest = pooled(images) if stride == 2 else images
        shortcut = run(largest, block.shortcut)
        if channels[1] > channels[0]:
            shortcut = np.concatenate((largest, shortcut), axis=1)
        return run(images, block.residual) + shortcut

    out = check_against_scalars(block, literal, currents(T, channels[0], *hw))
    assert out.shape == (T, channels[1], hw[0] // stride, hw[1] // stride)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("factors", [False, True])
def test_a_meta_block_is_a_loop_over_pixels(factors: bool, kernels) -> None:
    block = MetaBlock(2, 2, SPEC, factored=factors).double()
    use_kernels(block, kernels)

    def literal(images: np.ndarray) -> np.ndarray:
        images = images + run(images, block.pixels)
        return images + run(images, block.channels)

    check_against_scalars(block, literal, currents(T, 2, 2, 2))


def test_mixing_in_the_pyramid_is_a_loop_over_pixels() -> None:
    mix = FusionMix(2, SPEC).double()

    def literal(images: np.ndarray) -> np.ndarray:
        return run(images, mix.deep) + run(images, mix.separable)

    check_against_scalars(mix, literal, currents(T, 2, 2, 3))


def test_the_pyramid_adds_from_coarse_to_fine_and_back() -> None:
    neck = AdditiveFusion((2, 4, 8), SPEC).double()
    in3, in4, in5 = (currents(T, c, side, side) for c, side in ((2, 8), (4, 4), (8, 2)))

    def up(layers: nn.Sequential, x: Tensor) -> Tensor:
        # In the published order: the pixels are copied first.
        narrow = layers[0](x.repeat_interleave(2, -1).repeat_interleave(2, -2))
        assert isinstance(layers[1], nn.Upsample)
        return narrow

    top4 = neck.topdown4(in4 + up(neck.up5, in5))
    out3 = neck.topdown3(in3 + up(neck.up4, top4))
    out4 = neck.bottomup4(top4 + neck.down3[1](nn.MaxPool2d(2)(out3)))
    out5 = neck.bottomup5(in5 + neck.down4[1](nn.MaxPool2d(2)(out4)))
    expected = neck.leave3(out3), neck.leave4(out4), neck.leave5(out5)
    found = neck((in3, in4, in5))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert all(set(x.unique().tolist()) <= {0.0, 1.0} for x in found)


def test_initial_scales_of_the_norms() -> None:
    block, neck = MDSBlock(2, 4, SPEC, stride=2), AdditiveFusion((2, 4, 8), SPEC)
    scales = {n: p.unique().item() for n, p in block.named_parameters() if n.endswith("bn.weight")}
    assert scales == pytest.approx(
        {"residual.1.bn.weight": 1, "residual.2.bn.weight": 0.2, "shortcut.1.bn.weight": 1}
    )
    for layer in (neck.up5[0], neck.down3[1], neck.topdown4.deep):
        assert layer[-1].bn.weight.unique().item() == pytest.approx(0.2)
    assert neck.topdown4.separable[-1].bn.weight.unique().item() == 1


@pytest.mark.parametrize("pointwise", [False, True])
def test_the_product_of_the_factors_is_a_convolution(pointwise: bool) -> None:
    layer = FactoredUnit(3, 4, SPEC.currents, pointwise=pointwise).double()
    x = torch.bernoulli(torch.full((T, 3, 4, 5), 0.5, dtype=torch.float64))
    torch.testing.assert_close(
        nn.functional.conv2d(x, layer.product(), padding=1), layer._convolve(x)
    )
    assert layer.product().shape == (4, 3, 3, 3)


@pytest.mark.parametrize("config", [MDS, META], ids=["mds", "meta"])
@pytest.mark.parametrize("mode", list(SpikeMode)[1:])
@pytest.mark.parametrize("Ts", [1, 3])
def test_every_branch_sees_spikes_and_no_sums(config, mode: SpikeMode, Ts: int) -> None:
    events = event_counts()
    config = config.replace(use_spike=mode, Ts=Ts)
    model = lively_detector(config, events)
    report = measure_energy(model, [events])
    found = {layer.name: layer for layer in report.layers}
    spiking = {"backbone", *(["neck"] if mode.neck else []), *(["head"] if mode.head else [])}
    for name, layer in found.items():
        part, leaf = name.split(".")[0], name.split(".")[-1]
        if part == "embedding":
            continue
        # The stem sees the frame, and the later factors see real numbers. All else sees spikes.
        inner = isinstance(model.get_submodule(name.rpartition(".")[0]), FactoredUnit)
        analog = name.startswith("backbone.stem.") or (inner and leaf != "conv")
        assert layer.spikes == (part in spiking and not analog), name
        assert not layer.spikes or layer.input_most == 1, name
        if part == "backbone":
            assert layer.runs == (Ts if name.startswith("backbone.stem.") else 3), name
    assert len(found) == sum(isinstance(m, nn.Conv2d) for m in model.modules())


def test_in_a_fused_network_only_the_stem_multiplies() -> None:
    events = event_counts().double()
    model = lively_detector(META, events)
    fused = fuse(model)
    with torch.no_grad():
        torch.testing.assert_close(fused(events), model(events), rtol=1e-9, atol=1e-9)
    layers = [x for x in measure_energy(fused, [events]).layers if x.part != "embedding"]
    assert [layer.name for layer in layers if not layer.spikes] == ["backbone.stem.conv"]
    torch.testing.assert_close(fuse(fused).state_dict(), fused.state_dict(), rtol=0, atol=0)


@pytest.mark.parametrize("mode", list(SpikeMode)[1:])
@pytest.mark.parametrize(
    "config", [MDS, MDS.replace(stem="conv"), META], ids=["mds", "mds conv", "meta"]
)
def test_repeated_frames_are_computed_once(config, mode: SpikeMode) -> None:
    """A network of the same weights that sees T copies computes the same, norms included."""
    events = event_counts(frames=2).double()
    config = config.replace(use_spike=mode, embedding="count")
    model = lively_detector(config, events)
    other = build_detector(config.replace(embedding="arsnn", Ts=3)).double()
    other.load_state_dict(model.state_dict(), strict=False)
    for norm in norms(other):
        norm.momentum = 0.5  # as in the lively detector
    frames = model.embedding(events)
    targets = torch.tensor([[[0, 20.0, 14, 18, 12]], [[1, 40, 20, 10, 22]]]).double()
    for train in (False, True):
        found = model.train(train).detect(frames, targets if train else None)
        copies = torch.stack([frames] * 3)
        expected = other.train(train).detect(copies, targets if train else None)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    assert isinstance(model.backbone, MembraneBackbone)
    for key in ("backbone", "neck"):
        torch.testing.assert_close(
            getattr(model, key).state_dict(), getattr(other, key).state_dict(), rtol=1e-9, atol=1e-9
        )


@pytest.mark.parametrize("mode", list(SpikeMode)[1:])
@pytest.mark.parametrize("config", [MDS, META], ids=["mds", "meta"])
def test_everything_learns_and_can_be_computed_again(config, mode: SpikeMode) -> None:
    events = event_counts(frames=2)
    targets = torch.tensor([[[0, 20.0, 14, 18, 12]], [[1, 40, 20, 10, 22]]])
    gradients = []
    for again in (False, True):
        changed = config.replace(use_spike=mode, activation_checkpointing=again)
        model = lively_detector(changed, events).train()
        before = [norm.running_mean.clone() for norm in norms(model)]
        model(events, targets)["total_loss"].backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
        still = [n for n, p in model.named_parameters() if not p.grad.any()]
        assert not [n for n in still if n.startswith(("backbone.", "neck."))]
        gradients.append(
            (
                {n: p.grad for n, p in model.named_parameters()},
                [norm.running_mean - old for norm, old in zip(norms(model), before, strict=True)],
            )
        )
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


def norms(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]


def test_parameters_and_shapes_are_those_of_the_description() -> None:
    """Counted from the description, at width 0.5 and depth 1 of the published family."""
    base = 32
    settings = {"num_classes": 2, "use_spike": SpikeMode.FULL, "residual": "membrane"}
    config = DetectorConfig(width=0.5, backbone="meta", **settings)
    with torch.device("meta"):
        model = build_detector(config)
    stages = [model.backbone.get_submodule(f"stage{stride}") for stride in (4, 8, 16, 32)]
    blocks = [[m for m in stage if isinstance(m, MetaBlock)] for stage in stages]
    assert [len(stage) for stage in blocks] == [3, 6, 9, 1]

    def count(*modules: nn.Module) -> int:
        return sum(p.numel() for module in modules for p in module.parameters())

    for stage, (found, expansion) in enumerate(zip(blocks, (4, 4, 3, 2), strict=True)):
        c = base * 2 ** (stage + 1)
        norms = 2 * (2 * c + 2 * c + c + expansion * c + c)
        pixels = c * 2 * c + 2 * c * 49 + 2 * c * c + 9 * c
        dense = 2 * 9 * c * expansion * c
        factors = (c * c + 9 * c + expansion * c * c) + (
            (expansion * c) ** 2 + 9 * expansion * c + expansion * c * c
        )
        assert count(found[0]) == pixels + (dense if stage < 2 else factors) + norms + 5  # leaks

    config = DetectorConfig(width=0.5, depth=0.67, backbone="mds", **settings)
    with torch.device("meta"):
        model = build_detector(config)
    down, *equal = model.backbone.stage16
    assert len(equal) == 2
    c_in, c = 4 * base, 8 * base
    assert count(down) == (
        9 * c_in * c // 2 + 9 * c // 2 * c + c_in * (c - c_in) + 2 * (c // 2 + c + c - c_in) + 3
    )
    assert count(equal[0]) == 9 * c * c // 2 * 2 + c * c + 2 * (c // 2 + c + c) + 3


@pytest.mark.parametrize("backbone", ["mds", "meta"])
def test_analog_activations_keep_what_shortcuts_need(backbone: str) -> None:
    config = TINY.replace(backbone=backbone, residual="membrane", use_spike=SpikeMode.BACKBONE)
    neck = build_detector(config.replace(act="relu")).neck
    features = tuple(torch.randn(1, c, s, s) for c, s in ((32, 8), (64, 4), (128, 2)))
    before = [x.clone() for x in features]
    neck(features)
    torch.testing.assert_close(list(features), before, rtol=0, atol=0)
    assert all(isinstance(m, nn.ReLU) for m in (neck.leave3, neck.up5[0][0]))


def test_the_neurons_are_those_of_the_unit_settings() -> None:
    spec = replace(SPEC, activation=partial(ParametricLIF, 5, "sigmoid", 4.0))
    layers = (MDSBlock(2, 4, spec, 2), MetaBlock(2, 2, spec, factored=True), FusionMix(2, spec))
    for layer in layers:
        neurons = [m for m in layer.modules() if isinstance(m, ParametricLIF)]
        units = [m for m in layer.modules() if isinstance(m, ConvUnit)]
        assert {m.T for m in neurons} == {5}
        assert len(neurons) == len(units)


@pytest.mark.parametrize("config", [MDS, META], ids=["mds", "meta"])
def test_integer_neurons_go_everywhere_and_have_binary_slots(config) -> None:
    """All neurons come from one place, so the integer ones are in every block."""
    events = event_counts()
    config = config.replace(neuron="ilif", spike_levels=4, use_spike=SpikeMode.FULL)
    model = lively_detector(config, events.double())
    neurons = [m for m in model.modules() if isinstance(m, SpikingNeurons)]
    assert neurons
    assert all(isinstance(m, IntegerLIF) for m in neurons)
    found = {x.name: x for x in measure_energy(model, [events.double()]).layers if x.spikes}
    assert 1 < max(layer.input_most for layer in found.values()) <= 4  # numbers, and no sums
    with torch.no_grad():
        expected = model(events.double())
        binary = binary_slots(model, events.double())(events.double())
        fused = binary_slots(fuse(model), events.double())(events.double())
    torch.testing.assert_close(binary, expected, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(fused, expected, rtol=1e-8, atol=1e-8)
