"""One step of training: forward, backward, look, update."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from easnn.utils.distributed import average_in_place, is_distributed, max_across_ranks
from easnn.utils.precision import Precision

TOTAL = "total_loss"
"""The entry of the model's losses that is minimised."""


@dataclass(frozen=True)
class StepReport:
    """What happened in a step.

    Attributes:
        losses: The losses of this process by name.
        grad_norm: L2 norm of the gradient of all parameters, averaged over the processes before the
            norm is taken.
        finite: Whether every loss is finite on every process. If not, the weights were left as they
            are.
        updated: Whether the weights changed. A step whose gradient is not finite is left out; in
            mixed precision the loss is scaled up less from then on.
        stop_signal: The largest stop signal of any process; 0 if none wants to stop.
    """

    losses: dict[str, float]
    grad_norm: float
    finite: bool
    updated: bool
    stop_signal: int


class TrainingStep:
    """Makes training steps; afterwards every process holds the same weights and batch-norm statistics.

    Args:
        model: In training mode it returns a dict of scalar losses with ``total_loss``. With several
            processes, it is wrapped so that gradients are averaged.
        optimizer: The optimiser of its parameters.
        precision: How to compute.
    """

    def __init__(
        self, model: nn.Module, optimizer: torch.optim.Optimizer, precision: Precision
    ) -> None:
        self._model = model
        self._optimizer = optimizer
        self._precision = precision

    def __call__(self, events: Tensor, targets: Tensor, *, stop_signal: int = 0) -> StepReport:
        """Make one step.

        Args:
            events: ``[B,Tl,Tm,C,h,w]``.
            targets: ``[B,N,5]`` (class, cx, cy, w, h in network pixels; zero rows are padding).
            stop_signal: Number of the signal that this process received, 0 if none.
        """
        self._optimizer.zero_grad(set_to_none=True)
        with self._precision.autocast():
            losses = self._model(events, targets)
        scaler = self._precision.scaler
        scaler.scale(losses[TOTAL]).backward()
        scaler.unscale_(self._optimizer)
        report = self._look(losses, stop_signal)
        if report.finite:
            if (
                report.updated or scaler.is_enabled()
            ):  # a scaler looks itself, and learns from what it sees
                scaler.step(self._optimizer)
                scaler.update()
            average_in_place(running_statistics(self._model))
        return report

    def _look(self, losses: dict[str, Tensor], stop_signal: int) -> StepReport:
        """Fetch all numbers from the device at once, the only time in a step that the host waits for it."""
        values = torch.stack([loss.detach().double() for loss in losses.values()])
        norm = self._gradient_norm().double()
        signal = torch.as_tensor(stop_signal, dtype=torch.double, device=values.device)
        verdict = torch.stack([(~values.isfinite().all()).double(), signal])
        if is_distributed():
            verdict = max_across_ranks(verdict)
        *numbers, grad_norm, bad_loss, any_signal = torch.cat(
            [values, norm[None], verdict]
        ).tolist()
        return StepReport(
            losses=dict(zip(losses, numbers, strict=True)),
            grad_norm=grad_norm,
            finite=not bad_loss,
            updated=not bad_loss and math.isfinite(grad_norm),
            stop_signal=int(any_signal),
        )

    def _gradient_norm(self) -> Tensor:
        gradients = [
            p.grad
            for group in self._optimizer.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        return torch.nn.utils.get_total_norm(gradients)


def average_gradients(model: nn.Module, device: torch.device, *, sync_bn: bool) -> nn.Module:
    """Return ``model`` such that ``backward`` leaves the mean of all processes' gradients on each of them.

    The weights of rank 0 are given to all. Buffers are left to the training step: it averages the
    statistics of batch norms, which rank 0's would otherwise overwrite.

    Args:
        model: The model on ``device``; a single process gets it back as it is.
        device: This process's device.
        sync_bn: Whether batch norm takes its statistics over the batches of all processes (CUDA
            only).
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
            static_graph=True,  # which parameters get no gradient depends on the keys, not on the data
            gradient_as_bucket_view=True,
        )


def batch_norms(model: nn.Module) -> list[_BatchNorm]:
    """Return the batch-norm layers of ``model``."""
    return [module for module in model.modules() if isinstance(module, _BatchNorm)]


def train_mode(model: nn.Module, *, freeze_bn: bool) -> None:
    """Put ``model`` into training mode; with ``freeze_bn``, batch norms use and keep running statistics."""
    model.train()
    if freeze_bn:
        for layer in batch_norms(model):
            layer.eval()


def running_statistics(model: nn.Module) -> list[Tensor]:
    """Return the running means and variances of every batch norm that is learning them."""
    return [
        statistic
        for layer in batch_norms(model)
        if layer.training
        for statistic in (layer.running_mean, layer.running_var)
        if statistic is not None
    ]
