"""Does the device compute what a CPU computes?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from typing import get_args

import torch
from torch import Tensor

from easnn.engine.freezing import freeze_parts
from easnn.engine.step import TrainingStep, train_mode
from easnn.gpu_check.outcome import Outcome, Setting
from easnn.gpu_check.problem import EMBEDDINGS, SMALL, Problem, make_problem, relative_error
from easnn.models import IntegerLIF, ParametricLIF, SpikeMode, SpikingNeurons
from easnn.models.config import SurrogateName
from easnn.optim import build_optimizer
from easnn.optim.optimizer import OptimizerName
from easnn.utils.options import PrecisionName
from easnn.utils.precision import DTYPES, Precision

LIMITS = {torch.float64: 1e-8, torch.float32: 0.02}
"""Largest relative error. In float32 a rounding error may flip a spike, which changes much."""

GRAPH_STEPS = 24


@dataclass(frozen=True)
class Recipe:
    """The keys that change how a training step is computed.

    Attributes:
        optimizer: its name.
        clip_grad: largest norm of a gradient; 0: any.
        accumulate: number of parts of a batch.
        freeze: names of parts of the network that are not trained.
        activation_checkpointing: whether the backward pass computes activations again.
    """

    optimizer: OptimizerName = "ADAM"
    clip_grad: float = 0.0
    accumulate: int = 1
    freeze: tuple[str, ...] = ()
    activation_checkpointing: bool = False


RECIPES = {
    "defaults": Recipe(),
    "all keys": Recipe("ADAMW", 0.1, 2, ("backbone.stem",), True),
}

FLIPS = 1e-4
"""Largest share of spikes of a layer that rounding may flip."""


def exact_convolutions() -> AbstractContextManager[None]:
    """Return a context without TF32, the rounded float32 in which GPUs convolve by default."""
    return torch.backends.cudnn.flags(enabled=True, allow_tf32=False)


def check_network(setting: Setting, dtype: torch.dtype) -> Outcome:
    """Compare outputs, losses and gradients of small networks: embeddings × spiking parts.

    Args:
        setting: the device.
        dtype: precision of both.
    """
    errors = {}
    modes = [SpikeMode.BACKBONE] if setting.quick else list(SpikeMode)
    for mode in modes:
        for embedding in EMBEDDINGS:
            problem = make_problem(SMALL.replace(use_spike=mode, embedding=embedding), dtype=dtype)
            on_device = problem.on(setting.device)
            expected = _computed(problem)
            with exact_convolutions():
                found = _computed(on_device)
            for part, values in expected.items():
                name = f"{part}, {embedding}, use_spike {mode.value}"
                errors[name] = relative_error(found[part], values)
    precision = str(dtype).removeprefix("torch.")
    return Outcome.within(errors, LIMITS[dtype], f"{len(errors)} comparisons in {precision}")


def check_neurons(setting: Setting) -> Outcome:
    """Compare layers of neurons, which have a kernel of their own on a GPU, in both precisions.

    Gradients are compared where no spike is flipped.
    """
    dtypes = [DTYPES[precision] for precision in setting.precisions]
    outcomes = {dtype: _compare_neurons(setting.device, dtype) for dtype in dtypes}
    return Outcome(
        all(outcome.passed for outcome in outcomes.values()),
        "; ".join(outcome.detail for outcome in outcomes.values()),
        {name: n for outcome in outcomes.values() for name, n in outcome.numbers.items()},
    )


def _compare_neurons(device: torch.device, dtype: torch.dtype) -> Outcome:
    T, shape = 4, (2, 8, 32, 32)
    precision = str(dtype).removeprefix("torch.")
    generator = torch.Generator().manual_seed(0)
    current = (torch.randn(T * shape[0], *shape[1:], generator=generator) + 0.5).to(dtype)
    upstream = torch.randn(current.shape, generator=generator).to(dtype)
    flips: dict[str, float] = {}
    errors: dict[str, float] = {}
    layers: dict[str, SpikingNeurons] = {
        **{name: ParametricLIF(T, name, 2.0) for name in get_args(SurrogateName)},
        "ilif": IntegerLIF(T, 4),
    }
    for name, layer in layers.items():
        expected = _fired(layer, current, upstream)
        found = _fired(layer.to(device), current.to(device), upstream.to(device))
        flips[f"flips, {name}, {precision}"] = _share_of_flips(found.spikes, expected.spikes)
        same = (found.spikes == expected.spikes).view(T, *shape).all(0, keepdim=True)
        same = same.expand(T, *shape).flatten(0, 1)
        errors[f"gradient, {name}, {precision}"] = relative_error(
            [found.gradient[same]], [expected.gradient[same]]
        )
    limit = 1e-4 if dtype == torch.float32 else 2e-2
    compared = Outcome.within(errors, limit, f"{len(errors)} kinds in {precision}")
    most = max(flips.values())
    return Outcome(
        bool(compared.passed) and most <= FLIPS,
        f"{compared.detail}; flipped spikes {most:.1e}, limit {FLIPS:.0e}",
        {**compared.numbers, **flips},
    )


def check_training(setting: Setting) -> Outcome:
    """Compare the losses of training steps in float64 and the weights after them."""
    problem = make_problem(dtype=torch.float64)
    steps = 2 if setting.quick else 5
    on_device = problem.on(setting.device)
    expected_losses, expected = _trained(problem, steps)
    with exact_convolutions():
        losses, found = _trained(on_device, steps)
    errors = {
        "losses": relative_error([losses], [expected_losses]),
        "weights and statistics": relative_error(found, expected),
    }
    return Outcome.within(errors, 1e-7, f"{steps} steps of SGD in float64")


def check_cuda_graphs(setting: Setting) -> Outcome:
    """Compare training steps that are replayed as CUDA graphs with those that are not.

    The numbers of frames and boxes change from step to step, so that several graphs take turns.
    Once with the defaults of the keys, and once with all keys that change how a step is computed.
    """
    if not setting.on_gpu:
        return Outcome.not_here("only a GPU has them")
    errors = {}
    for kind, recipe in RECIPES.items():
        for name in setting.precisions:
            losses, weights = trained_by_recipe(recipe, setting.device, name, graphs=False)
            found_losses, found = trained_by_recipe(recipe, setting.device, name, graphs=True)
            errors[f"losses, {kind}, {name}"] = relative_error([found_losses], [losses])
            errors[f"weights, {kind}, {name}"] = relative_error(found, weights)
    limits = {name: 1e-9 if "exact" in name else 1e-2 for name in errors}
    worst = max(errors, key=lambda name: errors[name] / limits[name])
    return Outcome(
        all(errors[name] <= limits[name] for name in errors),
        f"{GRAPH_STEPS} steps: "
        + ", ".join(f"{name} {e:.1e}" for name, e in errors.items())
        + f"; limit {limits[worst]:.0e} ({worst})",
        dict(errors),
    )


def trained_by_recipe(
    recipe: Recipe, device: torch.device, precision: PrecisionName, *, graphs: bool
) -> tuple[Tensor, list[Tensor]]:
    """Return the losses of :data:`GRAPH_STEPS` steps, and the weights and statistics after them.

    Args:
        recipe: how to train.
        device: where to train.
        precision: ``exact`` is computed in float64.
        graphs: whether the steps are replayed as CUDA graphs.
    """
    config = SMALL.replace(activation_checkpointing=recipe.activation_checkpointing)
    dtype = torch.float64 if precision == "exact" else torch.float32
    problem = make_problem(config, frames=3, dtype=dtype).on(device)
    model = problem.model
    freeze_parts(model, recipe.freeze)
    train_mode(model, freeze_bn=False, freeze=recipe.freeze)
    step = TrainingStep(
        model,
        build_optimizer(model, name=recipe.optimizer, lr=1e-4),
        Precision(device, precision),
        clip_grad=recipe.clip_grad,
        cuda_graphs=graphs,
    )
    losses = []
    for number in range(GRAPH_STEPS):
        frames, boxes = 2 + number % 2, 50 if number % 3 else 20
        events, targets = problem.events[:frames], problem.targets[:frames, :boxes]
        parts = zip(events.chunk(recipe.accumulate), targets.chunk(recipe.accumulate), strict=True)
        losses += list(step.update(parts).losses.values())
    state = [value for value in model.state_dict().values() if value.is_floating_point()]
    return torch.tensor(losses, dtype=torch.double), state


def _computed(problem: Problem) -> Mapping[str, list[Tensor]]:
    model = problem.model.eval()
    with torch.no_grad():
        outputs = model(problem.events)
    losses = model.train()(problem.events, problem.targets)
    losses["total_loss"].backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return {"outputs": [outputs], "losses": list(losses.values()), "gradients": gradients}


@dataclass(frozen=True)
class _Fired:
    spikes: Tensor
    gradient: Tensor


def _fired(layer: SpikingNeurons, current: Tensor, upstream: Tensor) -> _Fired:
    """Return the spikes of a layer and the gradient of its input, on the CPU."""
    leaf = current.detach().clone().requires_grad_()
    spikes = layer(leaf)
    spikes.backward(upstream)
    assert leaf.grad is not None
    return _Fired(spikes.detach().cpu(), leaf.grad.cpu())


def _share_of_flips(found: Tensor, expected: Tensor) -> float:
    return float((found != expected).double().mean())


def _trained(problem: Problem, steps: int) -> tuple[Tensor, list[Tensor]]:
    model = problem.model.train()
    optimizer = build_optimizer(model, name="SGD", lr=1e-3)
    step = TrainingStep(model, optimizer, Precision(problem.events.device, "exact"))
    losses = [step(problem.events, problem.targets).losses["total_loss"] for _ in range(steps)]
    state = [value for value in model.state_dict().values() if value.is_floating_point()]
    return torch.tensor(losses, dtype=torch.double), state


NETWORK_CHECKS: dict[str, Callable[[Setting], Outcome]] = {
    "network in float64": partial(check_network, dtype=torch.float64),
    "network in float32": partial(check_network, dtype=torch.float32),
    "neurons": check_neurons,
    "training in float64": check_training,
    "CUDA graphs": check_cuda_graphs,
}
