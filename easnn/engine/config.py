"""What a training run needs to know besides its parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch

from easnn.utils.errors import ConfigError


class Position(NamedTuple):
    """Where a run stands: ``step`` steps of ``epoch`` are done, both counted from 0."""

    epoch: int = 0
    step: int = 0


@dataclass(frozen=True)
class TrainConfig:
    """The plan of a training run.

    Attributes:
        max_epoch: Number of epochs.
        ema: Evaluate and save an exponential moving average of the weights.
        fp16: Mixed precision: float16 on CUDA, bfloat16 on the CPU.
        sync_bn: Batch statistics over all processes (CUDA only).
        freeze_bn: Batch norm keeps its running statistics; its scale and shift are still learned.
        print_interval: Steps between two log lines.
        eval_interval: Epochs between two evaluations; the last epoch is always evaluated.
        eval_initial: Evaluate the untrained model, too, and keep it.
        save_history_ckpt: Keep a checkpoint of every epoch besides the latest and the best.
        ckpt_interval_steps: Steps between two checkpoints within an epoch; 0 saves at the end of epochs only.
        patience: Stop after this many evaluations in a row without a better AP; 0 never stops early.
    """

    max_epoch: int
    ema: bool = True
    fp16: bool = False
    sync_bn: bool = False
    freeze_bn: bool = False
    print_interval: int = 10
    eval_interval: int = 10
    eval_initial: bool = False
    save_history_ckpt: bool = False
    ckpt_interval_steps: int = 0
    patience: int = 0

    def check_device(self, device: torch.device) -> None:
        """Check that the plan can be followed on a device.

        Raises:
            ConfigError: if it cannot.
        """
        if self.sync_bn and device.type != "cuda":
            raise ConfigError(
                "`sync_bn` needs GPUs, but this process computes on the CPU. Use `freeze_bn` or neither."
            )
