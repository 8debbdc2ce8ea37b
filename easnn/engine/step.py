"""One training step: forward, backward, check, update."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from easnn.engine.freezing import named_parts
from easnn.models import Clips, MemoryState
from easnn.utils.cuda_graphs import GraphedFunction
from easnn.utils.distributed import (
    average_in_place,
    is_distributed,
    max_across_ranks,
    waiting,
)
from easnn.utils.precision import Precision

TOTAL = "total_loss"
"""Name of the loss that is minimised."""

Part = tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Clips]
"""Events and targets of a part of a batch; with clips, the targets are of the labelled windows."""

Differentiated = tuple[dict[str, Tensor], list[Tensor | None], MemoryState | None]
"""Losses, gradients of the parameters, and the state of the memory, if any."""

TARGET_SLOTS = 16
"""With CUDA graphs, the number of boxes of a batch is padded to multiples of this."""


@dataclass(frozen=True)
class StepReport:
    """The result of a step.

    Attributes:
        losses: the losses of this process by name.
        grad_norm: L2 norm over all parameters of the gradient averaged over the processes, before
            it is clipped; the same on all processes.
        finite: whether every loss is finite on every process. If not, the weights are unchanged.
        updated: whether the weights were updated. A step with a non-finite gradient is skipped; in
            mixed precision it lowers the loss scale.
        stop_signal: the largest stop signal over all processes; 0 if none received one.
        state: of the memory after the clips of the last part; None without clips.
    """

    losses: dict[str, float]
    grad_norm: float
    finite: bool
    updated: bool
    stop_signal: int
    state: MemoryState | None = None


class TrainingStep:
    """Runs training steps; weights and batch-norm statistics stay equal on all processes.

    Args:
        model: in training mode it returns a dict of scalar losses with ``total_loss``. With several
            processes it must come from :func:`average_gradients`.
        optimizer: the optimizer of its parameters.
        precision: full or mixed precision.
        clip_grad: largest L2 norm of the gradient of an update; 0: any. A gradient with a larger
            norm is multiplied by clip_grad/(norm + 10⁻⁶) (Pascanu et al., "On the difficulty of
            training recurrent neural networks", 2013).
        cuda_graphs: whether a GPU replays the forward and backward pass as a CUDA graph. What the
            model does in Python is then not repeated in each step.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        precision: Precision,
        *,
        clip_grad: float = 0.0,
        cuda_graphs: bool = False,
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._precision = precision
        self._clip_grad = clip_grad
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self._pass = GraphedFunction(self._differentiate) if cuda_graphs else self._differentiate
        self._slots = TARGET_SLOTS if cuda_graphs else 1

    def __call__(self, events: Tensor, targets: Tensor, *, stop_signal: int = 0) -> StepReport:
        """Run one step.

        Args:
            events: ``[B,Tl,Tm,C,h,w]``.
            targets: ``[B,N,5]`` (class, cx, cy, w, h in network pixels; zero rows are padding).
            stop_signal: number of the signal that this process received, 0 if none.
        """
        return self.update([(events, targets)], stop_signal=stop_signal)

    def update(self, parts: Iterable[Part], *, stop_signal: int = 0) -> StepReport:
        """Run one step with a batch that is computed in parts, one after the other.

        Losses and gradients are the means of those of the parts. Batch norms normalise each part
        with its own statistics, and follow them part by part.

        Args:
            parts: events and targets of each part, as for a whole batch, and how its windows divide
                into clips, if they do; every process gives the same number.
            stop_signal: number of the signal that this process received, 0 if none.
        """
        scaler = self._precision.scaler
        losses, gradients, state = self._mean_over(parts)
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        scaler.unscale_(self._optimizer)
        report = self._report(losses, stop_signal)
        if report.finite:
            if report.updated:
                self._clip(report.grad_norm)
            # An enabled scaler skips non-finite gradients itself, and lowers the loss scale.
            if report.updated or scaler.is_enabled():
                scaler.step(self._optimizer)
                scaler.update()
            average_in_place(running_statistics(self._model))
        return replace(report, state=state)

    def _mean_over(self, parts: Iterable[Part]) -> Differentiated:
        """Return the means over the parts of what :meth:`_differentiate` returns, and the state."""
        losses: dict[str, Tensor] = {}
        gradients: list[Tensor | None] = []
        state: MemoryState | None = None
        count = 0
        for events, targets, *clips in parts:
            if count == 1:  # the next pass may overwrite what the first one returned
                losses = {name: loss.clone() for name, loss in losses.items()}
                gradients = [None if g is None else g.clone() for g in gradients]
            scale = self._precision.scaler.scale(torch.ones((), device=events.device))
            padded = self._padded(targets)
            if clips:  # a recorded pass takes tensors only
                result = self._differentiate(events, padded, scale, *clips)
            else:
                result = self._pass(events, padded, scale)
            more_losses, more_gradients, state = result
            if count:
                losses = {name: loss + more_losses[name] for name, loss in losses.items()}
                gradients = _added(gradients, more_gradients)
            else:
                losses, gradients = more_losses, more_gradients
            count += 1
        if count > 1:
            losses = {name: loss / count for name, loss in losses.items()}
            torch._foreach_div_([g for g in gradients if g is not None], count)
        return losses, gradients, state

    def _differentiate(
        self, events: Tensor, targets: Tensor, scale: Tensor, clips: Clips | None = None
    ) -> Differentiated:
        """Return the losses, the gradients of the parameters times ``scale``, and the state."""
        self._optimizer.zero_grad(set_to_none=True)
        state: MemoryState | None = None
        with self._precision.autocast():
            if clips is None:
                losses = self._model(events, targets)
            else:
                losses, state = self._model(events, targets, clips)
        total = losses[TOTAL]
        with waiting():  # for the gradients of the other processes
            total.backward(scale.to(total.dtype))
        detached = {name: loss.detach() for name, loss in losses.items()}
        return detached, [parameter.grad for parameter in self._parameters], state

    def _clip(self, norm: float) -> None:
        """Scale down the gradients, whose norm is ``norm``, if that is above ``clip_grad``."""
        if self._clip_grad and norm > self._clip_grad:
            gradients = [p.grad for p in self._parameters if p.grad is not None]
            torch._foreach_mul_(gradients, self._clip_grad / (norm + 1e-6))

    def _padded(self, targets: Tensor) -> Tensor:
        """Return the targets with more rows of zeros, so that few shapes occur."""
        return functional.pad(targets, (0, 0, 0, -targets.shape[1] % self._slots))

    def _report(self, losses: dict[str, Tensor], stop_signal: int) -> StepReport:
        """Copy all numbers to the host at once: the only device synchronisation of a step."""
        values = torch.stack([loss.double() for loss in losses.values()])
        gradients = [p.grad for p in self._parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients).double()
        # Filled on the device: a copy from the host would wait for it.
        signal = torch.full((), stop_signal, dtype=torch.double, device=values.device)
        # Machines may round the norm of equal gradients differently, but what follows from it must
        # be the same everywhere.
        verdict = torch.stack([norm, (~values.isfinite().all()).double(), signal])
        if is_distributed():
            verdict = max_across_ranks(verdict)
        with waiting():  # for the device, which waits for the other processes
            *numbers, grad_norm, bad_loss, any_signal = torch.cat([values, verdict]).tolist()
        return StepReport(
            losses=dict(zip(losses, numbers, strict=True)),
            grad_norm=grad_norm,
            finite=not bad_loss,
            updated=not bad_loss and math.isfinite(grad_norm),
            stop_signal=int(any_signal),
        )


def _added(sums: Sequence[Tensor | None], values: Sequence[Tensor | None]) -> list[Tensor | None]:
    """Add each of ``values`` to its partner in ``sums``, in place; return the sums.

    A parameter without a gradient has None. ``values`` are not modified and may be overwritten.
    """
    both = [(a, b) for a, b in zip(sums, values, strict=True) if a is not None and b is not None]
    if both:
        torch._foreach_add_([a for a, _ in both], [b for _, b in both])
    return [
        b.clone() if a is None and b is not None else a for a, b in zip(sums, values, strict=True)
    ]


def average_gradients(model: nn.Module, device: torch.device, *, sync_bn: bool) -> nn.Module:
    """Wrap ``model`` so that ``backward`` averages the gradients over all processes.

    All processes start from the weights of rank 0. Buffers are not broadcast from rank 0, because
    :class:`TrainingStep` averages the batch-norm statistics.

    Args:
        model: the model on ``device``; returned unchanged if there is only one process.
        device: this process's device.
        sync_bn: whether batch norms compute their statistics over all processes (CUDA only).
    """
    if not is_distributed():
        return model
    if sync_bn:
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
    with warnings.catch_warnings():
        # torch 2.13 renames `broadcast_buffers`; earlier versions do not know the new name.
        warnings.filterwarnings("ignore", message=".*broadcast_buffers", category=FutureWarning)
        return DistributedDataParallel(
            model,
            device_ids=[device] if device.type == "cuda" else None,
            broadcast_buffers=False,
            static_graph=True,  # the keys, not the data, decide which parameters get gradients
            gradient_as_bucket_view=True,
        )


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Return the batch-norm layers of ``model``."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def train_mode(model: nn.Module, *, freeze_bn: bool, freeze: Sequence[str] = ()) -> None:
    """Set ``model`` to training mode, except for frozen batch norms: they stay in evaluation mode.

    Args:
        model: the model.
        freeze_bn: whether all batch norms are frozen.
        freeze: names of the parts whose batch norms are frozen.
    """
    model.train()
    for part in [model] if freeze_bn else named_parts(model, freeze):
        for layer in batch_norms(part):
            layer.eval()


def running_statistics(model: nn.Module) -> list[Tensor]:
    """Return the running means and variances of every batch norm in training mode."""
    return [
        statistic
        for layer in batch_norms(model)
        if layer.training
        for statistic in (layer.running_mean, layer.running_var)
        if statistic is not None
    ]
