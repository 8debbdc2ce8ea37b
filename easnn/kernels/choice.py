"""Which kernels a network uses: the plain ones, of torch's operations, or the native ones."""

from __future__ import annotations

import ctypes
import os
from enum import Enum
from functools import cache

import torch
from loguru import logger
from torch import Tensor, nn
from torch.nn.modules import module as modules
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from easnn.native import KERNELS, load
from easnn.utils.errors import ConfigError

VARIABLE = "EASNN_KERNELS"
"""Environment variable with the choice; unset: native kernels where they are available."""

NOT_THERE = (
    "there are no native kernels for this machine: they need an x86-64 processor with AVX2, Linux, "
    "and a C++ compiler when easnn is installed."
)


class Kernels(Enum):
    """How the parts of a network that have several implementations are computed on a CPU.

    Each implementation has the same signature. The results agree up to rounding, and where nothing
    is summed in another order, to the bit.
    """

    PLAIN = "plain"
    NATIVE = "native"


@cache
def native_library() -> ctypes.CDLL | None:
    """Return the kernels for this processor; None if there are none or they are not built."""
    library = KERNELS.get(torch.backends.cpu.get_cpu_capability())
    return None if library is None else load(library)


def loaded_library() -> ctypes.CDLL:
    """Return the kernels for this processor; only where :func:`computes_natively` holds."""
    library = native_library()
    assert library is not None, "Ask `computes_natively` first."
    return library


@cache
def default_kernels() -> Kernels:
    """Return the choice of the environment, or else the fastest kernels; logged once.

    Raises:
        ConfigError: if the choice is unknown, or native kernels are not available.
    """
    chosen = os.environ.get(VARIABLE) or None
    if chosen not in (None, *(kernels.value for kernels in Kernels)):
        raise ConfigError(f"{VARIABLE} must be plain or native, but is {chosen}.")
    if chosen == Kernels.NATIVE.value and native_library() is None:
        raise ConfigError(f"{VARIABLE} is native, but {NOT_THERE}")
    if chosen is None:
        kernels = Kernels.PLAIN if native_library() is None else Kernels.NATIVE
    else:
        kernels = Kernels(chosen)
    capability = torch.backends.cpu.get_cpu_capability()
    logger.info("CPU kernels: {} ({}).", kernels.value, capability)
    return kernels


def use_kernels(model: nn.Module, kernels: Kernels) -> None:
    """Let all parts of ``model`` use ``kernels`` on a CPU.

    Raises:
        ConfigError: if there are no native kernels for this machine.
    """
    if kernels is Kernels.NATIVE and native_library() is None:
        raise ConfigError(f"The kernels cannot be native: {NOT_THERE}")
    for module in model.modules():
        if isinstance(getattr(module, "kernels", None), Kernels):
            module.kernels = kernels  # type: ignore[assignment]


def computes_natively(kernels: Kernels, values: Tensor) -> bool:
    """Return whether the native kernels apply to ``values``: real numbers in a CPU's memory.

    They do not if the operations of torch are looked at: compiled, traced, counted or simulated.
    """
    return (
        kernels is Kernels.NATIVE
        and values.device.type == "cpu"
        and type(values) in (Tensor, nn.Parameter)  # neither fake nor functional
        and values.dtype in (torch.float32, torch.float64, torch.bfloat16)
        and values.numel() > 0
        and not torch.compiler.is_compiling()
        and not is_in_torch_dispatch_mode()
        and not torch.jit.is_tracing()  # type: ignore[attr-defined, no-untyped-call]
        and native_library() is not None  # a model can come from another machine
    )


def has_hooks(layer: nn.Module) -> bool:
    """Return whether calling ``layer`` calls hooks, too: its own or those of all modules."""
    return bool(
        layer._forward_hooks
        or layer._forward_pre_hooks
        or layer._backward_hooks
        or layer._backward_pre_hooks
        or modules._has_any_global_hook()  # type: ignore[no-untyped-call]
    )
