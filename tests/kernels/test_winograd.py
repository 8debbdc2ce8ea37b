from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from easnn.kernels import Kernels, is_winograd_convolution, native_winograd_conv, use_kernels
from easnn.kernels import winograd as kernel
from easnn.kernels.choice import native_library
from easnn.models.blocks import ConvUnit, UnitSpec

pytestmark = pytest.mark.skipif(native_library() is None, reason="no native kernels here")

FORMAT = torch.channels_last


def dense_of(*shape: int) -> Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    return values.contiguous(memory_format=FORMAT).requires_grad_()


def convolution(in_channels: int, out_channels: int, size: int = 3, **options: object) -> nn.Conv2d:
    torch.manual_seed(2)
    conv = nn.Conv2d(in_channels, out_channels, size, **{"padding": 1, **options})
    return conv.to(memory_format=FORMAT)


def results(conv: nn.Conv2d, x: Tensor, out: Tensor) -> list[Tensor]:
    """Return the output and the gradients of input, weight and bias."""
    grad = torch.randn(out.shape, generator=torch.Generator().manual_seed(3)).to(out.dtype)
    return [out.detach(), *torch.autograd.grad(out, (x, *conv.parameters()), grad)]


def exact_results(conv: nn.Conv2d, x: Tensor) -> list[Tensor]:
    options = {"bias": conv.bias is not None}
    exact = convolution(conv.in_channels, conv.out_channels, **options).double()
    exact.load_state_dict(conv.state_dict())
    values = x.detach().double().requires_grad_()
    return results(exact, values, exact(values))


def assert_agrees(conv: nn.Conv2d, x: Tensor) -> None:
    """Check the kernel against float64.

    It computes the output and the gradient of the input. Those of weight and bias are torch's,
    whose long sums can exceed the bound on some processors: they may err as much as torch's.
    """
    native = results(conv, x, native_winograd_conv(conv, x))
    direct = results(conv, x, conv(x))
    for index, expected in enumerate(exact_results(conv, x)):
        limit = 3e-6 * expected.abs().max().item()
        if index > 1:
            limit = max(limit, 1.1 * (direct[index] - expected).abs().max().item())
        torch.testing.assert_close(native[index].double(), expected, rtol=0, atol=limit)


@pytest.fixture
def any_size(monkeypatch):
    """Few tiles are left to torch, because it is faster; the kernel can compute them."""
    monkeypatch.setattr(kernel, "MIN_TILES", 0)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("in_channels", "out_channels"),
    [(16, 16), (48, 32), (80, 48), (64, 64), (112, 96), (144, 128), (16, 272), (512, 64)],
)
def test_agrees_with_float64(in_channels, out_channels, bias, any_size):
    assert_agrees(convolution(in_channels, out_channels, bias=bias), dense_of(3, in_channels, 7, 5))


@pytest.mark.parametrize(
    "size", [(1, 1), (1, 2), (2, 1), (1, 9), (3, 5), (4, 4), (7, 9), (31, 2), (33, 47)]
)
@pytest.mark.parametrize("images", [1, 3])
def test_any_image(size, images, any_size):
    assert_agrees(convolution(32, 48), dense_of(images, 32, *size))


def test_a_large_image():
    conv, x = convolution(64, 64, bias=False), dense_of(2, 64, 80, 96)
    assert is_winograd_convolution(Kernels.NATIVE, conv, x)
    assert_agrees(conv, x)


@pytest.mark.parametrize("channels", [32, 128, 512])
def test_errors_are_not_larger_than_those_of_a_direct_convolution(channels):
    conv, x = convolution(channels, channels, bias=False), dense_of(1, channels, 20, 20)
    exact = exact_results(conv, x)[:2]
    native = results(conv, x, native_winograd_conv(conv, x))[:2]
    direct = results(conv, x, conv(x))[:2]
    for expected, ours, theirs in zip(exact, native, direct, strict=True):
        error, usual = ((found - expected).square().mean().sqrt() for found in (ours, theirs))
        assert error <= 3 * usual


def test_the_number_of_threads_changes_nothing():
    conv, x = convolution(80, 96), dense_of(3, 80, 21, 30)
    found = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        out = native_winograd_conv(conv, x)
        found.append((out.detach(), torch.autograd.grad(out.sum(), x)[0]))
    for out, grad in found[1:]:
        assert torch.equal(out, found[0][0])
        assert torch.equal(grad, found[0][1])


def test_a_frame_has_the_same_result_in_any_batch(any_size):
    conv, x = convolution(32, 32), dense_of(4, 32, 9, 11).detach()
    whole = native_winograd_conv(conv, x)
    for i, image in enumerate(torch.split(x, 1)):
        assert torch.equal(native_winograd_conv(conv, image), whole[i : i + 1])


def test_infinite_values_stay_where_they_are_seen():
    conv, x = convolution(16, 16, bias=False), dense_of(1, 16, 32, 32).detach()
    x[0, 3, 8, 8] = torch.nan
    finite = torch.isfinite(native_winograd_conv(conv, x)).all(dim=1)[0]
    assert not finite[7:10, 7:10].any()
    assert finite.sum() >= 32 * 32 - 16  # the tiles that see the pixel


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
@pytest.mark.parametrize("tap", [(1, 1), (0, 2)])
def test_infinite_weights_spoil_their_channel(value, tap):
    conv, x = convolution(16, 16, bias=False), dense_of(1, 16, 32, 32).detach()
    x[:, 3] = 0
    with torch.no_grad():
        conv.weight[5, 3, *tap] = value
        dense = conv(x).isfinite()
        found = native_winograd_conv(conv, x).isfinite()
    assert not dense[:, 5, 1:-1, 1:-1].any()
    assert not found[:, 5].any()
    assert (found | ~dense)[:, [c for c in range(16) if c != 5]].all()


def test_gradients_of_a_layout_other_than_channels_last():
    conv, x = convolution(32, 32), dense_of(2, 32, 16, 16)
    grad = torch.randn(2, 32, 16, 16, generator=torch.Generator().manual_seed(4))
    assert not grad.is_contiguous(memory_format=FORMAT)
    wanted = (x, conv.weight, conv.bias)
    found = torch.autograd.grad(native_winograd_conv(conv, x), wanted, grad)
    expected = torch.autograd.grad(conv(x), wanted, grad)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_without_gradients():
    conv, x = convolution(32, 64, bias=False), dense_of(1, 32, 24, 24)
    with torch.inference_mode():
        torch.testing.assert_close(native_winograd_conv(conv, x), conv(x), rtol=1e-5, atol=1e-5)
    out = native_winograd_conv(conv.requires_grad_(False), x)
    (grad,) = torch.autograd.grad(out.sum(), x)
    (expected,) = torch.autograd.grad(conv(x).sum(), x)
    torch.testing.assert_close(grad, expected, rtol=1e-5, atol=1e-5)


def test_a_second_derivative_is_refused():
    conv, x = convolution(16, 16), dense_of(1, 16, 20, 20)
    out = native_winograd_conv(conv, x)
    (grad,) = torch.autograd.grad(out.square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        grad.sum().backward()


def test_what_it_is_not_for():
    conv, x = convolution(32, 64), dense_of(1, 32, 20, 20)
    assert is_winograd_convolution(Kernels.NATIVE, conv, x)
    assert not is_winograd_convolution(Kernels.PLAIN, conv, x)
    assert not is_winograd_convolution(Kernels.NATIVE, conv, x.contiguous())
    assert not is_winograd_convolution(Kernels.NATIVE, conv, x[..., :18])  # not contiguous
    assert not is_winograd_convolution(Kernels.NATIVE, conv, x.double())
    assert not is_winograd_convolution(Kernels.NATIVE, conv, dense_of(1, 32, 18, 20))  # few tiles
    with torch.autocast("cpu", torch.bfloat16):
        assert not is_winograd_convolution(Kernels.NATIVE, conv, x)
    conv.register_forward_hook(lambda _module, _inputs, output: output)
    assert not is_winograd_convolution(Kernels.NATIVE, conv, x)


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 2},
        {"padding": 0},
        {"padding": 2, "dilation": 2},
        {"groups": 2},
        {"padding_mode": "reflect"},
        {"size": 5, "padding": 2},
        {"size": 1},
        {"out_channels": 24},
    ],
)
def test_other_convolutions_are_refused(options):
    conv = convolution(32, **{"out_channels": 64, **options})
    assert not is_winograd_convolution(Kernels.NATIVE, conv, dense_of(1, 32, 40, 40))


def test_a_unit_uses_it(monkeypatch):
    unit = ConvUnit(32, 32, 3, UnitSpec(nn.SiLU)).to(memory_format=FORMAT).eval()
    x = dense_of(1, 32, 24, 24)
    used = []
    run = kernel._run
    monkeypatch.setattr(kernel, "_run", lambda *args, **how: used.append(1) or run(*args, **how))
    use_kernels(unit, Kernels.NATIVE)
    native = unit(x)
    assert used == [1]
    use_kernels(unit, Kernels.PLAIN)
    plain = unit(x)
    assert used == [1]
    torch.testing.assert_close(native, plain, rtol=1e-5, atol=1e-5)


def test_a_traced_unit_has_torch_s_convolution():
    unit = ConvUnit(32, 32, 3, UnitSpec(nn.SiLU)).to(memory_format=FORMAT).eval()
    use_kernels(unit, Kernels.NATIVE)
    x = dense_of(1, 32, 24, 24).detach()
    names = {str(node.target) for node in torch.export.export(unit, (x,)).graph.nodes}
    assert "aten.conv2d.default" in names
