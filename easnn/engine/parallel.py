"""One model trained by several processes."""

from __future__ import annotations

import warnings

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from easnn.utils.distributed import is_distributed


def average_gradients(model: nn.Module, device: torch.device, *, sync_bn: bool) -> nn.Module:
    """Return ``model`` such that ``backward`` leaves the mean of all processes' gradients on each of them.

    The weights of rank 0 are given to all. Buffers are left to the training step: it averages the statistics
    of batch norms, which rank 0's would otherwise overwrite.

    Args:
        model: The model on ``device``; a single process gets it back as it is.
        device: This process's device.
        sync_bn: Whether batch norm takes its statistics over the batches of all processes (CUDA only).
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
