from __future__ import annotations

import pytest
import torch
from torch import nn

from easnn.kernels import Kernels, batch_moments
from easnn.kernels.choice import native_library
from easnn.models.neurons import IntegerLIF, ParametricLIF, SpikingNeurons
from easnn.models.norm import batch_norm

pytestmark = pytest.mark.skipif(native_library() is None, reason="no native kernels here")

CHANNELS_LAST = torch.channels_last


def run(
    kernels: Kernels,
    *,
    T: int = 3,
    steps_in: int | None = None,
    shape: tuple[int, int, int, int] = (2, 19, 7, 5),
    spike_fn: str = "atan",
    alpha: float = 2.0,
    dtype: torch.dtype = torch.float64,
    norm: str = "batch",
    levels: int | None = None,
) -> dict[str, torch.Tensor]:
    """Return spikes, gradients and statistics of a norm and neurons, forward and backward."""
    torch.manual_seed(1)
    steps_in = steps_in or T
    batch, channels, height, width = shape
    of_weights = torch.promote_types(dtype, torch.float32)
    layer: nn.Module = nn.Identity()
    if norm != "none":
        layer = batch_norm(channels, T // steps_in).to(of_weights)
        nn.init.normal_(layer.running_mean)
        nn.init.uniform_(layer.running_var, 0.5, 2)
        nn.init.uniform_(layer.weight, -1, 2)
        nn.init.normal_(layer.bias)
        layer.train(norm == "batch")
    if levels is not None:
        neurons: SpikingNeurons = IntegerLIF(T, levels, steps_in)
    else:
        neurons = ParametricLIF(T, spike_fn, alpha, steps_in).to(of_weights)
        nn.init.constant_(neurons.w, 0.3)
    neurons.kernels = kernels
    current = torch.randn(steps_in * batch, channels, height, width, dtype=torch.float64)
    current = (2 * current + 1).to(dtype)
    current = current.contiguous(memory_format=CHANNELS_LAST).requires_grad_()
    spikes = neurons(current, layer)
    spikes.backward(torch.randn(spikes.shape, dtype=torch.float64).to(dtype))
    gradients = {name: p.grad for name, p in layer.named_parameters()}
    return {
        "spikes": spikes.detach(),
        "grad of current": current.grad,
        **{f"grad of {name}": p.grad for name, p in neurons.named_parameters()},
        **{f"grad of {name}": gradient for name, gradient in gradients.items()},
        **dict(layer.named_buffers()),
    }


def assert_agree(*, rtol: float, atol: float, **case: object) -> None:
    plain, native = (run(kernels, **case) for kernels in (Kernels.PLAIN, Kernels.NATIVE))
    assert 0.02 < plain["spikes"].double().mean() < 0.98 * (case.get("levels") or 1)
    assert torch.equal(plain["spikes"], native["spikes"])
    torch.testing.assert_close(native, plain, rtol=rtol, atol=atol)


@pytest.mark.parametrize("norm", ["batch", "running", "none"])
@pytest.mark.parametrize("spike_fn", ["atan", "sigmoid", "rect"])
@pytest.mark.parametrize(("T", "steps_in"), [(3, 3), (3, 1)])
def test_agrees_with_the_plain_kernels(norm, spike_fn, T, steps_in):
    assert_agree(norm=norm, spike_fn=spike_fn, T=T, steps_in=steps_in, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("norm", ["batch", "running", "none"])
@pytest.mark.parametrize(("T", "steps_in"), [(1, 1), (2, 2), (3, 1), (4, 4)])
@pytest.mark.parametrize("levels", [1, 4, 255])
def test_integer_neurons_agree_with_the_plain_kernels(norm, T, steps_in, levels):
    assert_agree(norm=norm, T=T, steps_in=steps_in, levels=levels, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("shape", [(1, 1, 2, 1), (1, 3, 1, 33), (1, 65, 2, 2), (2, 8, 90, 71)])
def test_integer_neurons_in_float32_and_any_shape(shape):
    case = {"shape": shape, "levels": 4, "dtype": torch.float32, "norm": "running"}
    assert_agree(**case, rtol=1e-4, atol=2e-5)
    assert_agree(**{**case, "dtype": torch.float64, "norm": "batch"}, rtol=1e-9, atol=1e-11)


def test_bfloat16_holds_numbers_of_spikes():
    exact = run(Kernels.PLAIN, dtype=torch.float32, norm="none", levels=255)
    rounded = run(Kernels.NATIVE, dtype=torch.bfloat16, norm="none", levels=255)
    assert rounded["spikes"].dtype is torch.bfloat16
    assert (rounded["spikes"] != exact["spikes"]).double().mean() < 0.02
    assert torch.equal(rounded["spikes"], rounded["spikes"].round())


@pytest.mark.parametrize("T", range(1, 9))
def test_any_number_of_steps(T):
    assert_agree(T=T, rtol=1e-10, atol=1e-12)
    assert_agree(T=T, steps_in=1, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "shape",
    [(1, 1, 2, 1), (1, 3, 1, 33), (2, 64, 3, 3), (1, 65, 2, 2), (3, 512, 4, 5), (2, 8, 90, 71)],
)
def test_any_shape(shape):
    assert_agree(shape=shape, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("alpha", [0.5, 4.0])
@pytest.mark.parametrize("spike_fn", ["atan", "sigmoid", "rect"])
def test_float32_spikes_are_equal_and_gradients_agree(spike_fn, alpha):
    case = {"spike_fn": spike_fn, "alpha": alpha, "dtype": torch.float32, "norm": "running"}
    assert_agree(**case, rtol=1e-4, atol=2e-5)


def test_bfloat16_is_computed_in_float32():
    exact = run(Kernels.PLAIN, dtype=torch.float32, norm="none")
    rounded = run(Kernels.NATIVE, dtype=torch.bfloat16, norm="none")
    assert rounded["spikes"].dtype is torch.bfloat16
    assert (rounded["spikes"] != exact["spikes"]).double().mean() < 0.01
    torch.testing.assert_close(rounded["grad of w"], exact["grad of w"], rtol=0.05, atol=0.5)


@pytest.mark.parametrize("levels", [None, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_number_of_threads_changes_nothing(dtype, levels):
    results = []
    for threads in (1, 2, 5):
        torch.set_num_threads(threads)
        results.append(run(Kernels.NATIVE, shape=(2, 24, 90, 71), dtype=dtype, levels=levels))
    for result in results[1:]:
        for name, value in result.items():
            assert torch.equal(value, results[0][name]), name


def test_moments_do_not_cancel_for_a_large_mean():
    values = (torch.randn(4, 6, 30, 20) + 3000).contiguous(memory_format=CHANNELS_LAST)
    mean, variance = batch_moments(values)
    exact_variance, exact_mean = torch.var_mean(values.double(), (0, 2, 3), correction=0)
    torch.testing.assert_close(mean, exact_mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(variance, exact_variance, rtol=1e-9, atol=0)


def test_a_single_value_per_channel_has_no_variance():
    neurons, norm = ParametricLIF(1, "atan", 2.0), batch_norm(4)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        neurons(torch.zeros(1, 4, 1, 1).contiguous(memory_format=CHANNELS_LAST), norm)


def test_a_norm_with_hooks_runs_itself():
    neurons, norm = ParametricLIF(2, "atan", 2.0), batch_norm(4).eval()
    current = torch.full((2, 4, 3, 3), 2.0).contiguous(memory_format=CHANNELS_LAST)
    assert neurons(current, norm).any()
    norm.register_forward_hook(lambda _module, _inputs, output: torch.zeros_like(output))
    assert not neurons(current, norm).any()


def test_a_nan_is_no_spike():
    neurons = ParametricLIF(1, "atan", 2.0)
    current = torch.full((1, 4, 3, 3), torch.nan).contiguous(memory_format=CHANNELS_LAST)
    for kernels in Kernels:
        neurons.kernels = kernels
        assert not neurons(current).any()


def test_moments_of_values_that_are_not_finite():
    values = torch.ones(2, 3, 4, 5)
    values[1, 1, 2, 2] = torch.nan
    values[0, 2, 2, 2] = torch.inf
    mean, variance = batch_moments(values)
    assert variance[0] == 0
    assert not mean[1:].isfinite().any()
    assert variance[1:].isnan().all()
