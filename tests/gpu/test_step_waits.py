"""A training step, backward pass included, reads no value before its report.

The backward pass cannot run on a fake GPU, so the step runs on a CPU, with the shapes of a GPU.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fake_cuda import HostWaitError, NoHostWaits
from torch import Tensor, nn

from easnn.engine import ModelEma
from easnn.engine.step import TrainingStep
from easnn.models import DetectorConfig, SpikeMode, build_detector
from easnn.utils.precision import Precision

CPU = torch.device("cpu")


def run_step(model: nn.Module, *, mixed: bool = False) -> bool:
    """Run a step and the moving average, and return whether the weights were updated."""
    generator = torch.Generator().manual_seed(0)
    events = torch.poisson(torch.full((2, 1, 3, 2, 64, 64), 0.5), generator)
    targets = torch.zeros(2, 50, 5)
    targets[0, :2] = torch.tensor([[0, 20.0, 30, 16, 20], [1, 40.0, 20, 30, 10]])
    average = ModelEma(model)
    step = TrainingStep(
        model,
        torch.optim.SGD(model.parameters(), 1e-3),
        Precision(CPU, "bf16" if mixed else "exact"),
    )
    with NoHostWaits():
        report = step(events, targets)
        average.update(model)
    return report.updated


@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "mixed"])
@pytest.mark.parametrize(
    "changes",
    [
        {"use_spike": SpikeMode.NONE, "embedding": "snn"},
        {"use_spike": SpikeMode.BACKBONE, "embedding": "arsnn", "Ts": 2, "readout": "avg"},
        {"use_spike": SpikeMode.FULL, "embedding": "rsnn", "norm": "bn", "abs": True},
        {"use_spike": SpikeMode.FULL_V2, "embedding": "arsnn", "spike_fn": "patan"},
    ],
    ids=str,
)
def test_a_step_reads_no_value(
    changes: dict[str, Any], mixed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("easnn.models.assignment._values_at_hand", lambda tensor: False)
    torch.manual_seed(0)
    small = {"width": 0.125, "depth": 0.33, "T": 2, "num_classes": 2, "embedding_ksize": 3}
    assert run_step(build_detector(DetectorConfig(**small | changes)), mixed=mixed)


class _Reading(nn.Module):
    """Reads a value: in the forward or in the backward pass."""

    def __init__(self, when: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2))
        self.when = when

    def forward(self, events: Tensor, targets: Tensor) -> dict[str, Tensor]:
        loss = events.mean() * self.weight.sum()
        if self.when == "forward":
            loss = loss * float(events.detach().sum() > 0)
        else:
            loss.register_hook(lambda gradient: gradient * gradient.item())
        return {"total_loss": loss}


@pytest.mark.parametrize("when", ["forward", "backward"])
def test_a_read_value_is_noticed(when: str) -> None:
    with pytest.raises(HostWaitError):
        run_step(_Reading(when))
