"""Layers that are computed again in the backward pass instead of keeping their activations.

Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint


def computed_again(layer: nn.Module, x: Tensor) -> Tensor:
    """Return ``layer(x)``; in training, keep only ``x`` for the backward pass.

    The backward pass calls the layer again, with the same result: in the same precision and with
    the statistics of the same batch. Running statistics are updated only once. The layer must not
    draw random numbers.
    """
    if not (layer.training and torch.is_grad_enabled()) or torch.compiler.is_compiling():
        return layer(x)

    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), running_statistics_kept(layer)

    again: Tensor = checkpoint(
        layer, x, use_reentrant=False, preserve_rng_state=False, context_fn=contexts
    )
    return again


@contextmanager
def running_statistics_kept(layer: nn.Module) -> Iterator[None]:
    """Let the batch norms in ``layer`` that are in training mode update copies within the block.

    The buffers themselves are not written, because operations may have saved them.
    """
    originals = [
        (norm, dict(norm._buffers))
        for norm in layer.modules()
        if isinstance(norm, _BatchNorm) and norm.training
    ]
    for norm, buffers in originals:
        for name, value in buffers.items():
            norm._buffers[name] = None if value is None else value.clone()
    try:
        yield
    finally:
        for norm, buffers in originals:
            norm._buffers.update(buffers)
