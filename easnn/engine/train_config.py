"""The configuration of a training run: the keys of an experiment that the trainer reads."""

from __future__ import annotations

import torch

from easnn.exp.keys import EvaluationKeys, OutputKeys, TrainingKeys
from easnn.utils.errors import ConfigError
from easnn.utils.precision import check_precision


class TrainConfig(TrainingKeys, EvaluationKeys, OutputKeys):
    """The configuration of a training run: ``TrainConfig.of(experiment)``."""

    def check_device(self, device: torch.device) -> None:
        """Check that a device supports the configuration.

        Raises:
            ConfigError: if it does not.
        """
        check_precision(self.precision, device)
        if self.sync_bn and device.type != "cuda":
            raise ConfigError(
                "`sync_bn` needs GPUs, but this process uses the CPU. Use `freeze_bn` or neither."
            )
