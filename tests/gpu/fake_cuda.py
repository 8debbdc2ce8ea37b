"""Tensors that claim to be on a GPU, and a mode that raises where the host would wait for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

CUDA = torch.device("cuda", 0)

READS_VALUES = (
    "_local_scalar_dense",
    "nonzero",
    "masked_select",
    "unique_dim",
    "_unique2",
    "unique_consecutive",
    "repeat_interleave",
    "equal",
    "is_nonzero",
    "bincount",
)
"""Operations whose result or its shape the host must know."""


class HostWaitError(AssertionError):
    """An operation for which the host waits until the device has finished all work."""


class NoHostWaits(TorchDispatchMode):
    """Raises :class:`HostWaitError` for operations that read values, and for blocking copies."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        if name in READS_VALUES and func._overloadname != "self_int":
            raise HostWaitError(f"{func} reads values")
        if name in ("index", "index_put_", "index_put", "_index_put_impl_") and any(
            isinstance(index, Tensor) and index.dtype in (torch.bool, torch.uint8)
            for index in args[1]
        ):
            raise HostWaitError(f"{func} with a mask reads values")
        if name == "_to_copy" and not kwargs.get("non_blocking"):
            target = torch.device(kwargs.get("device") or args[0].device)
            _refuse_copy(args[0].device, target, func)
        if name == "copy_" and not (kwargs.get("non_blocking") or args[2:3] == (True,)):
            _refuse_copy(args[1].device, args[0].device, func)
        return func(*args, **kwargs)


def _refuse_copy(source: torch.device, target: torch.device, func: Any) -> None:
    if source.type != target.type:
        raise HostWaitError(f"{func} from {source} to {target} blocks")


@contextmanager
def fake_cuda() -> Iterator[None]:
    """Make tensors without values, also on a GPU that is not there, and refuse host waits."""
    with pytest.MonkeyPatch.context() as patch:
        # Without a card, torch disables autocast, and spikingjelly cannot log its name.
        patch.setattr("torch.cuda.amp.common.amp_definitely_not_available", lambda: False)
        patch.setattr("torch.cuda.get_device_name", lambda device=None: "a fake card")
        with FakeTensorMode(), NoHostWaits():
            yield


def on_fake_cuda(model: nn.Module) -> nn.Module:
    """Replace all parameters and buffers of a model by fake ones on a GPU; call it in the mode."""
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            setattr(module, name, nn.Parameter(_like(parameter), parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, _like(buffer))
    return model


def _like(tensor: Tensor) -> Tensor:
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=CUDA)
