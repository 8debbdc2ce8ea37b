from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from easnn.kernels import Kernels, native_norm_silu
from easnn.kernels.choice import native_library
from easnn.models.blocks import ConvUnit, UnitSpec
from easnn.models.norm import batch_norm, native_statistics

pytestmark = pytest.mark.skipif(native_library() is None, reason="no native kernels here")

FORMAT = torch.channels_last


def run(
    kernels: Kernels,
    *,
    shape: tuple[int, int, int, int] = (2, 19, 7, 5),
    dtype: torch.dtype = torch.float64,
    norm: str = "batch",
) -> dict[str, Tensor]:
    """Return output, gradients and statistics of a norm and SiLU, forward and backward."""
    torch.manual_seed(1)
    of_weights = torch.promote_types(dtype, torch.float32)
    layer: nn.Module = nn.Identity()
    if norm != "none":
        layer = batch_norm(shape[1]).to(of_weights)
        nn.init.normal_(layer.running_mean)
        nn.init.uniform_(layer.running_var, 0.5, 2)
        nn.init.uniform_(layer.weight, -1, 2)
        nn.init.normal_(layer.bias)
        layer.train(norm == "batch")
    x = (3 * torch.randn(shape, dtype=torch.float64) + 1).to(dtype)
    x = x.contiguous(memory_format=FORMAT).requires_grad_()
    if kernels is Kernels.PLAIN:
        out = nn.functional.silu(layer(x))
    elif norm == "none":
        out = native_norm_silu(x)
    else:
        values = native_statistics(layer, x)
        out = native_norm_silu(x, norm=(layer.weight, layer.bias), statistics=values)
    out.backward(torch.randn(shape, dtype=torch.float64).to(dtype))
    gradients = {f"grad of {name}": p.grad for name, p in layer.named_parameters()}
    return {"out": out.detach(), "grad of x": x.grad, **gradients, **dict(layer.named_buffers())}


def assert_agree(*, rtol: float, atol: float, **case: object) -> None:
    plain, native = (run(kernels, **case) for kernels in (Kernels.PLAIN, Kernels.NATIVE))
    torch.testing.assert_close(native, plain, rtol=rtol, atol=atol)


@pytest.mark.parametrize("norm", ["batch", "running", "none"])
@pytest.mark.parametrize(
    "shape", [(1, 1, 2, 1), (1, 3, 1, 33), (2, 64, 3, 3), (1, 65, 2, 2), (2, 8, 90, 71)]
)
def test_agrees_with_torch(norm, shape):
    assert_agree(norm=norm, shape=shape, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("norm", ["batch", "running", "none"])
def test_float32_agrees_up_to_rounding(norm):
    assert_agree(norm=norm, dtype=torch.float32, rtol=1e-4, atol=1e-5)


def test_bfloat16_is_computed_in_float32():
    exact = run(Kernels.PLAIN, dtype=torch.float32, norm="running")
    rounded = run(Kernels.NATIVE, dtype=torch.bfloat16, norm="running")
    assert rounded["out"].dtype is rounded["grad of x"].dtype is torch.bfloat16
    torch.testing.assert_close(rounded["out"].float(), exact["out"], rtol=0.02, atol=0.05)


def test_the_number_of_threads_changes_nothing():
    results = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        results.append(run(Kernels.NATIVE, shape=(2, 24, 90, 71), dtype=torch.float32))
    for result in results[1:]:
        for name, value in result.items():
            assert torch.equal(value, results[0][name]), name


def test_large_values_do_not_overflow_and_nan_stays():
    x = torch.tensor([-1e30, -200.0, -90.0, 0.0, 90.0, 1e30, float("nan")])
    found = native_norm_silu(x.view(1, 7, 1, 1)).flatten()
    assert torch.equal(found[3:6], x[3:6])
    assert (found[:3] <= 0).all()
    assert found[1].abs() < 1e-30
    assert found[6].isnan()


def unit_of() -> tuple[ConvUnit, Tensor]:
    torch.manual_seed(4)
    unit = ConvUnit(16, 32, 1, UnitSpec(lambda: nn.SiLU(inplace=True))).eval()
    unit = unit.to(memory_format=FORMAT)
    unit.kernels = Kernels.NATIVE
    return unit, torch.randn(2, 16, 9, 8).contiguous(memory_format=FORMAT)


def test_a_unit_computes_the_same_with_and_without_gradients():
    unit, x = unit_of()
    with torch.inference_mode():
        found = unit(x)
    assert torch.equal(found, unit(x))
    unit.kernels = Kernels.PLAIN
    torch.testing.assert_close(found, unit(x))


def test_what_a_hook_of_the_convolution_has_seen_is_not_overwritten():
    unit, x = unit_of()
    seen = []
    unit.conv.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.inference_mode():
        unit(x)
        assert torch.equal(seen[0], torch.conv2d(x, unit.conv.weight))


def test_a_norm_or_activation_with_hooks_runs_itself():
    unit, x = unit_of()
    with torch.inference_mode():
        expected, seen = unit(x), []
        for layer in (unit.bn, unit.act):
            layer.register_forward_hook(lambda module, _inputs, _output: seen.append(module))
        torch.testing.assert_close(unit(x), expected)
    assert seen == [unit.bn, unit.act]
