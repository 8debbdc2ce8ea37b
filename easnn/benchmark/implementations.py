"""The implementations of the network that are compared, each a row of a table."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from easnn.benchmark.reference import PublishedDetector, PublishedStep
from easnn.engine.ema import ModelEma
from easnn.engine.step import TrainingStep
from easnn.exp import EventExp
from easnn.kernels import Kernels, use_kernels
from easnn.models import EventDetector, fuse
from easnn.utils.options import PrecisionName
from easnn.utils.precision import Precision

VALUE_BYTES: dict[PrecisionName, int] = {"exact": 4, "bf16": 2}

M = TypeVar("M", bound=nn.Module)

Step = Callable[[Tensor, Tensor], object]
"""A training step, from events and targets."""


@dataclass(frozen=True)
class Implementation:
    """A way to run the network.

    Attributes:
        name: heads its rows.
        build: makes it from our detector, with the same weights; it may keep the detector.
        train: makes its training step; None if it is for inference only.
    """

    name: str
    build: Callable[[EventDetector], nn.Module]
    train: Callable[[EventDetector, EventExp, int, Precision], Step] | None = None


def _published_step(
    model: EventDetector, experiment: EventExp, batch: int, precision: Precision
) -> Step:
    lr = experiment.basic_lr_per_img * batch
    return PublishedStep(PublishedDetector(model).train(), lr, precision)


def _own_step(model: EventDetector, experiment: EventExp, batch: int, precision: Precision) -> Step:
    own = copy.deepcopy(model).train()
    step = TrainingStep(own, experiment.get_optimizer(own, batch_size=batch), precision)
    ema = ModelEma(own)

    def run(events: Tensor, targets: Tensor) -> object:
        report = step(events, targets)
        ema.update(own)
        return report

    return run


def with_plain_kernels(model: M) -> M:
    """Return a copy of a network, or of a part of it, that uses the plain kernels."""
    plain = copy.deepcopy(model)
    use_kernels(plain, Kernels.PLAIN)
    return plain


def _plain_step(
    model: EventDetector, experiment: EventExp, batch: int, precision: Precision
) -> Step:
    return _own_step(with_plain_kernels(model), experiment, batch, precision)


PUBLISHED, PLAIN, OWN = "published", "easnn, plain kernels", "easnn"
"""Names of rows."""

IMPLEMENTATIONS = (
    Implementation(PUBLISHED, PublishedDetector, _published_step),
    Implementation(PLAIN, with_plain_kernels, _plain_step),
    Implementation(OWN, lambda model: model, _own_step),
    Implementation("easnn, norms folded", fuse),
)
"""All implementations; ratios refer to the first one in float32."""


def network_of(experiment: EventExp, events: Tensor) -> EventDetector:
    """Return the detector of an experiment, in evaluation mode, with neurons that fire.

    With the statistics of new norms, hardly a spike gets past the first layers. So the norms take
    the statistics of ``events``, one after the other.

    Args:
        experiment: the experiment.
        events: ``[B, Tl, Tm, C, H, W]``; the first sample is used.
    """
    torch.manual_seed(0)
    model = experiment.get_model().eval()
    plain = PublishedDetector(model).eval()
    for norm in plain.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.register_forward_pre_hook(_take_statistics)
    with torch.no_grad():
        plain(events[:1])
    model.load_state_dict(plain.network.state_dict())
    return model


def _take_statistics(norm: nn.Module, args: tuple[Any, ...]) -> None:
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None and norm.running_var is not None
    variance, mean = torch.var_mean(args[0], dim=(0, 2, 3))
    norm.running_mean.copy_(mean)
    norm.running_var.copy_(variance)


def in_every_precision(
    implementations: Sequence[Implementation], precisions: Sequence[PrecisionName]
) -> list[tuple[Implementation, PrecisionName]]:
    """Return all combinations, first of all that to which the ratios refer."""
    reference: tuple[Implementation, PrecisionName] = (IMPLEMENTATIONS[0], "exact")
    wanted = [(each, precision) for each in implementations for precision in precisions]
    return [reference, *(pair for pair in wanted if pair != reference)]


def cpu_precision(precision: PrecisionName) -> Precision:
    """Return full or mixed precision on the CPU."""
    return Precision(torch.device("cpu"), precision)


def inference(model: nn.Module, events: Tensor, precision: PrecisionName) -> Callable[[], Tensor]:
    """Return a function that runs a model in evaluation mode on ``events``."""
    model.eval()
    autocast = cpu_precision(precision).autocast

    def run() -> Tensor:
        with torch.inference_mode(), autocast():
            return model(events)

    return run
