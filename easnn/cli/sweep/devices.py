"""What the runs that go on at the same time share: the GPUs of a machine, or its cores."""

from __future__ import annotations

import os

import torch

from easnn.utils.device import available_cores
from easnn.utils.errors import ConfigError

Environment = dict[str, str]
"""What a device adds to the environment of the processes that use it."""


def sweep_devices(count: int) -> list[Environment]:
    """Return the environments of as many devices: a GPU each, or without GPUs an equal part of the cores.

    ``CUDA_VISIBLE_DEVICES`` and ``OMP_NUM_THREADS`` of this process are respected.

    Args:
        count: runs at the same time.

    Raises:
        ConfigError: if there are fewer GPUs.
    """
    if count < 1:
        raise ConfigError(f"`-d` must be at least 1, but is {count}.")
    gpus = torch.cuda.device_count()
    if not gpus:
        threads = os.environ.get("OMP_NUM_THREADS", str(max(1, available_cores() // count)))
        return [{"OMP_NUM_THREADS": threads}] * count
    if count > gpus:
        raise ConfigError(
            f"`-d` must be at most {gpus}, the number of GPUs of this machine (see CUDA_VISIBLE_DEVICES), "
            f"but is {count}."
        )
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(number) for number in range(gpus)]
    return [{"CUDA_VISIBLE_DEVICES": name.strip()} for name in names[:count]]
