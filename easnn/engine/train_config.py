"""The configuration of a training run: the keys of an experiment that the trainer reads."""

from __future__ import annotations

import torch

from easnn.exp.keys import EvaluationKeys, OutputKeys, TrainingKeys
from easnn.utils.distributed import is_distributed
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
        if self.cuda_graphs and (device.type != "cuda" or is_distributed()):
            found = (
                "this process uses the CPU"
                if device.type != "cuda"
                else "there are several processes"
            )
            raise ConfigError(
                f"`cuda_graphs` needs one process with a GPU, but {found}. Leave it out."
            )
