from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from easnn.kernels import Kernels, Statistics, amx_spiking_unit, is_one_pass_convolution, plain_plif
from easnn.kernels.amx import amx_spike_conv
from easnn.kernels.choice import has_matrix_unit
from easnn.models.blocks import SPP, ConvUnit, UnitSpec
from easnn.models.neurons import ParametricLIF

pytestmark = pytest.mark.skipif(not has_matrix_unit(), reason="no matrix unit here")

FORMAT = torch.channels_last


def spikes_of(shape: tuple[int, ...], highest: int = 3, density: float = 0.2) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    values = torch.randint(1, highest + 1, shape, generator=generator).float()
    fires = torch.rand(shape, generator=generator) < density
    return (values * fires).contiguous(memory_format=FORMAT)


def weight_of(out_channels: int, in_channels: int, kernel: int) -> Tensor:
    generator = torch.Generator().manual_seed(2)
    weight = torch.randn(out_channels, in_channels, kernel, kernel, generator=generator)
    return (weight / (in_channels**0.5 * kernel)).contiguous(memory_format=FORMAT)


@pytest.mark.parametrize("hw", [(1, 1), (5, 7), (20, 20), (33, 64), (9, 130)])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 6])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_any_kernel_stride_and_padding(hw, kernel, stride):
    for padding in {0, kernel // 2, kernel - 1}:
        if min(hw) + 2 * padding < kernel:
            continue
        spikes, weight = spikes_of((2, 48, *hw)), weight_of(32, 48, kernel)
        found = amx_spike_conv(spikes, weight, None, stride, padding)
        expected = torch.conv2d(spikes.double(), weight.double(), None, stride, padding)
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=4e-6)


def test_the_error_is_that_of_float32():
    spikes, weight = spikes_of((2, 256, 20, 20)), weight_of(64, 256, 3)
    exact = torch.conv2d(spikes.double(), weight.double(), None, 1, 1)
    error = (amx_spike_conv(spikes, weight, None, 1, 1) - exact).abs().max()
    assert error <= 1.5 * (torch.conv2d(spikes, weight, None, 1, 1) - exact).abs().max()


def test_a_weight_is_the_sum_of_its_parts():
    """One spike at a time reads single weights, of any size but the smallest, without error."""
    exponents = torch.randint(-80, 80, (16, 16, 3, 3)).float()
    weight = ((torch.rand(16, 16, 3, 3) - 0.5) * 2**exponents).contiguous(memory_format=FORMAT)
    spikes = torch.zeros(16, 16, 3, 3)
    for channel in range(16):
        spikes[channel, channel, 1, 1] = 1
    spikes = spikes.contiguous(memory_format=FORMAT)
    found = amx_spike_conv(spikes, weight, None, 1, 1)
    assert torch.equal(found, weight.permute(1, 0, 2, 3).flip(2, 3))


def test_narrow_spikes_give_the_same():
    spikes, weight, bias = spikes_of((2, 32, 9, 11), 255), weight_of(32, 32, 3), torch.rand(32)
    found = amx_spike_conv(spikes.bfloat16(), weight, bias, 1, 1)
    assert found.dtype is torch.float32
    assert torch.equal(found, amx_spike_conv(spikes, weight, bias, 1, 1))


@pytest.mark.parametrize("out_channels", [16, 32, 48])
@pytest.mark.parametrize("hw", [(1, 31), (1, 32), (4, 8), (7, 9), (23, 37), (40, 80)])
def test_pixels_that_are_read_as_they_are_give_the_same(hw, out_channels):
    """A 1×1 convolution of narrow spikes does not copy them, unless there are few pixels."""
    spikes, weight = spikes_of((6, 64, *hw)), weight_of(out_channels, 64, 1)
    conv = nn.Conv2d(64, out_channels, 1, bias=False)
    conv.weight = nn.Parameter(4 * weight)
    with torch.no_grad():
        for T in (1, 3):
            copied = amx_spiking_unit(conv, spikes, 0.4, T, dtype=torch.bfloat16)
            read = amx_spiking_unit(conv, spikes.bfloat16(), 0.4, T, dtype=torch.bfloat16)
            assert 0.02 < read.float().mean() < 0.98
            assert torch.equal(read, copied)


def test_the_number_of_threads_changes_nothing():
    spikes, weight = spikes_of((3, 80, 20, 30)), weight_of(96, 80, 3)
    found = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        found.append(amx_spike_conv(spikes, weight, None, 1, 1))
    assert all(torch.equal(one, found[0]) for one in found)


def test_the_other_images_of_a_batch_change_nothing():
    spikes, weight = spikes_of((3, 64, 13, 9)), weight_of(64, 64, 3)
    alone = amx_spike_conv(spikes[1:2].contiguous(memory_format=FORMAT), weight, None, 1, 1)
    assert torch.equal(amx_spike_conv(spikes, weight, None, 1, 1)[1:2], alone)


@pytest.mark.parametrize("T", [1, 2, 3, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm", [True, False])
def test_neurons_fire_as_those_of_the_plain_formulation(T, dtype, bias, norm):
    torch.manual_seed(3)
    conv = nn.Conv2d(48, 64, 3, stride=2, padding=1, bias=bias).to(memory_format=FORMAT)
    bn = nn.BatchNorm2d(64).eval()
    for values in (bn.running_mean, bn.weight, bn.bias):
        nn.init.normal_(values)
    spikes, w = spikes_of((2 * T, 48, 19, 12)), torch.tensor(0.3)
    with torch.no_grad():
        currents = conv.double()(spikes.double())
        if norm:
            currents = bn.double()(currents)
        expected = plain_plif(currents, w.double(), T, ParametricLIF(T, "atan", 2.0).surrogate)
        statistics = Statistics(
            bn.running_mean.float(), (bn.running_var.float() + bn.eps).rsqrt(), of_batch=False
        )
        found = amx_spiking_unit(
            conv.float(),
            spikes,
            w.sigmoid().item(),
            T,
            dtype=dtype,
            norm=(bn.float().weight, bn.bias) if norm else None,
            statistics=statistics if norm else None,
        )
    assert found.dtype is dtype
    assert 0.02 < expected.mean() < 0.98
    assert (found != expected).sum() <= 2  # a membrane next to the threshold


def unit_of(*, narrow: bool = False) -> tuple[ConvUnit, Tensor]:
    torch.manual_seed(4)
    spec = UnitSpec(lambda: ParametricLIF(3, "atan", 2.0), spikes_in=True, narrow=narrow)
    unit = ConvUnit(32, 32, 3, spec).to(memory_format=FORMAT).eval()
    unit.kernels = Kernels.NATIVE
    nn.init.constant_(unit.bn.bias, 0.8)
    return unit, spikes_of((6, 32, 9, 8))


def test_a_unit_in_evaluation_fires_as_in_several_passes():
    unit, spikes = unit_of()
    with torch.no_grad():
        found = unit(spikes)
    expected = unit(spikes)  # with gradients
    assert found.dtype is expected.dtype is torch.float32
    assert 0.05 < expected.mean() < 0.95
    assert torch.equal(found, expected)


def test_spikes_for_units_are_narrow_without_gradients_only():
    unit, spikes = unit_of(narrow=True)
    with torch.inference_mode():
        found = unit(spikes)
        assert found.dtype is torch.bfloat16
        assert torch.equal(unit(spikes.bfloat16()), found)
        unit.bn.register_forward_hook(lambda _module, _inputs, output: output)
        assert unit(spikes.bfloat16()).dtype is torch.float32
        assert torch.equal(unit(spikes.bfloat16()), found)
    assert unit(spikes).dtype is torch.float32
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        torch.testing.assert_close(unit(spikes).float(), found.float(), rtol=0, atol=1)


def test_what_it_is_not_for():
    conv = nn.Conv2d(32, 64, 3).to(memory_format=FORMAT)
    spikes = spikes_of((1, 32, 4, 4))
    assert is_one_pass_convolution(Kernels.NATIVE, conv, spikes)
    assert is_one_pass_convolution(Kernels.NATIVE, conv, spikes.bfloat16())
    assert not is_one_pass_convolution(Kernels.PLAIN, conv, spikes)
    assert not is_one_pass_convolution(Kernels.NATIVE, conv, spikes.contiguous())
    assert not is_one_pass_convolution(Kernels.NATIVE, conv, spikes.double())
    grouped = nn.Conv2d(32, 64, 3, groups=2).to(memory_format=FORMAT)
    assert not is_one_pass_convolution(Kernels.NATIVE, grouped, spikes)
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_one_pass_convolution(Kernels.NATIVE, conv, spikes)


def test_pooling_in_inference_is_that_of_training():
    spp = SPP(32, UnitSpec(nn.Identity)).eval()
    x = torch.randn(2, 16, 9, 14)
    with torch.no_grad():
        found = spp._maxima(x)
    for one, pool in zip(found, spp.pools, strict=True):
        assert torch.equal(one, pool(x))
