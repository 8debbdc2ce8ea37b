"""The configuration of a training run: the keys of an experiment that the trainer reads."""

from __future__ import annotations

import torch

from easnn.config import key
from easnn.exp.keys import EvaluationKeys, OutputKeys, TrainingKeys
from easnn.utils.errors import ConfigError


class TrainConfig(TrainingKeys, EvaluationKeys, OutputKeys):
    """The configuration of a training run: ``TrainConfig.of(experiment, fp16=…)``."""

    fp16: bool = key(False, "mixed precision: float16 on CUDA, bfloat16 on the CPU")

    def check_device(self, device: torch.device) -> None:
        """Check that a device supports the configuration.

        Raises:
            ConfigError: if it does not.
        """
        if self.sync_bn and device.type != "cuda":
            raise ConfigError(
                "`sync_bn` needs GPUs, but this process uses the CPU. Use `freeze_bn` or neither."
            )
