from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from easnn.kernels import Kernels, is_spike_convolution, native_spike_conv
from easnn.kernels.choice import has_matrix_unit, native_library

pytestmark = pytest.mark.skipif(native_library() is None, reason="no native kernels here")

FORMAT = torch.channels_last


@pytest.fixture(params=[True, False], ids=["matrix unit", "vectors"], autouse=True)
def matrix_unit(request, monkeypatch):
    """Let the kernel use a matrix unit, where the processor has one, and not."""
    if request.param and not has_matrix_unit():
        pytest.skip("The processor has no matrix unit.")
    monkeypatch.setattr("easnn.kernels.spike_conv.has_matrix_unit", lambda: request.param)


def spikes_of(shape: tuple[int, ...], density: float, highest: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    values = torch.randint(1, highest + 1, shape, generator=generator).float()
    fires = torch.rand(shape, generator=generator) < density
    return (values * fires).contiguous(memory_format=FORMAT).requires_grad_()


def convolution(in_channels: int, out_channels: int, kernel: int, **options: object) -> nn.Conv2d:
    torch.manual_seed(2)
    conv = nn.Conv2d(in_channels, out_channels, kernel, **options)
    return conv.to(memory_format=FORMAT)


def results(conv: nn.Conv2d, spikes: Tensor, out: Tensor) -> list[Tensor]:
    """Return the output and the gradients of spikes, weight and bias."""
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(3)).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, (spikes, *conv.parameters()), grad)]


def assert_agrees(conv: nn.Conv2d, spikes: Tensor) -> None:
    assert is_spike_convolution(Kernels.NATIVE, conv, spikes)
    native = results(conv, spikes, native_spike_conv(conv, spikes))
    exact_spikes = spikes.detach().double().requires_grad_()
    exact_conv = convolution(
        conv.in_channels, conv.out_channels, conv.kernel_size[0], bias=conv.bias is not None
    ).double()
    exact_conv.stride, exact_conv.padding = conv.stride, conv.padding
    exact_conv.load_state_dict(conv.state_dict())
    exact = results(exact_conv, exact_spikes, exact_conv(exact_spikes))
    for found, expected in zip(native, exact, strict=True):
        scale = expected.abs().max().item()
        torch.testing.assert_close(found.double(), expected, rtol=0, atol=3e-6 * scale)


@pytest.mark.parametrize(
    ("in_channels", "out_channels"),
    [(16, 16), (48, 32), (80, 48), (64, 64), (112, 96), (144, 128), (64, 208), (16, 272)],
)
@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (3, 1), (3, 2)])
def test_agrees_with_the_dense_convolution(in_channels, out_channels, kernel, stride):
    conv = convolution(
        in_channels, out_channels, kernel, stride=stride, padding=kernel // 2, bias=False
    )
    assert_agrees(conv, spikes_of((3, in_channels, 7, 5), 0.05))


@pytest.mark.parametrize("density", [0.0, 0.02, 0.2, 0.29, 0.5, 1.0])
def test_any_density(density):
    assert_agrees(convolution(64, 64, 3, padding=1), spikes_of((2, 64, 9, 11), density))


def test_values_up_to_255():
    assert_agrees(convolution(32, 64, 3, padding=1), spikes_of((2, 32, 6, 6), 0.1, highest=255))


def test_an_image_smaller_than_the_kernel():
    assert_agrees(convolution(16, 64, 5, padding=2), spikes_of((2, 16, 1, 2), 0.1))


def test_a_large_image():
    assert_agrees(convolution(16, 64, 3, padding=1), spikes_of((2, 16, 80, 96), 0.1))


def test_the_number_of_threads_changes_nothing():
    conv, spikes = convolution(80, 96, 3, padding=1), spikes_of((3, 80, 20, 30), 0.1)
    found = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        out = native_spike_conv(conv, spikes)
        grad = torch.ones_like(out)
        found.append((out.detach(), torch.autograd.grad(out, conv.weight, grad)[0]))
    for out, grad_weight in found[1:]:
        assert torch.equal(out, found[0][0])
        assert torch.equal(grad_weight, found[0][1])


def test_without_gradients():
    conv, spikes = convolution(32, 64, 1, bias=False), spikes_of((1, 32, 4, 4), 0.1)
    with torch.inference_mode():
        torch.testing.assert_close(native_spike_conv(conv, spikes), conv(spikes))
    out = native_spike_conv(conv.requires_grad_(False), spikes)
    (grad,) = torch.autograd.grad(out.sum(), spikes)
    (expected,) = torch.autograd.grad(conv(spikes).sum(), spikes)
    torch.testing.assert_close(grad, expected)


def test_what_it_is_not_for():
    conv, spikes = convolution(32, 64, 3), spikes_of((1, 32, 4, 4), 0.1)
    assert is_spike_convolution(Kernels.NATIVE, conv, spikes)
    assert not is_spike_convolution(Kernels.PLAIN, conv, spikes)
    assert not is_spike_convolution(Kernels.NATIVE, conv, spikes.contiguous())
    assert not is_spike_convolution(Kernels.NATIVE, conv, spikes.double())
    assert not is_spike_convolution(Kernels.NATIVE, convolution(32, 24, 3), spikes)
    assert not is_spike_convolution(Kernels.NATIVE, convolution(32, 64, 3, groups=2), spikes)
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_spike_convolution(Kernels.NATIVE, conv, spikes)
    conv.register_forward_hook(lambda _module, _inputs, output: output)
    assert not is_spike_convolution(Kernels.NATIVE, conv, spikes)


@pytest.mark.parametrize(
    "options", [{"dilation": 2}, {"padding_mode": "reflect", "padding": 1}, {"padding": (1, 0)}]
)
def test_other_convolutions_are_refused(options):
    conv = convolution(32, 64, 3, **options)
    assert not is_spike_convolution(Kernels.NATIVE, conv, spikes_of((1, 32, 8, 8), 0.1))


def test_a_backward_hook_keeps_the_module_running():
    conv = convolution(32, 64, 3)
    conv.register_full_backward_hook(lambda _module, _inputs, _outputs: None)
    assert not is_spike_convolution(Kernels.NATIVE, conv, spikes_of((1, 32, 4, 4), 0.1))


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("size", [(7, 9), (40, 40)])  # the dense kernel is torch's, or ours
def test_a_weight_that_is_not_finite_is_not_skipped(value, size):
    """Its products with zeros are NaN in a dense convolution, and hide nothing here."""
    conv, spikes = convolution(64, 64, 3, padding=1), spikes_of((2, 64, *size), 0.05).detach()
    spikes[:, 5] = 0
    with torch.no_grad():
        conv.weight[7, 5, 1, 1] = value
        dense = conv(spikes).isfinite()
        found = native_spike_conv(conv, spikes).isfinite()
    assert not dense[:, 7].any()
    assert torch.equal(found, dense)


def test_a_gradient_that_is_not_finite_is_not_skipped():
    conv, spikes = convolution(64, 64, 3, padding=1), spikes_of((2, 64, 7, 9), 0.05)
    grad = torch.ones(2, 64, 7, 9).contiguous(memory_format=FORMAT)
    grad[1, 3, 2, 2] = torch.nan
    spikes.detach()[1, :, 1:4, 1:4] = 0
    (dense,) = torch.autograd.grad(conv(spikes), conv.weight, grad)
    (found,) = torch.autograd.grad(native_spike_conv(conv, spikes), conv.weight, grad)
    assert not dense[3].isfinite().any()
    assert torch.equal(found.isfinite(), dense.isfinite())
