"""Which kernels a network uses: the plain ones, of torch's operations, or the native ones."""

from __future__ import annotations

import ctypes
from enum import Enum
from functools import cache

import torch
from loguru import logger
from torch import Tensor, nn
from torch.nn.modules import module as modules
from torch.utils._python_dispatch import is_in_torch_dispatch_mode

from easnn.native import (
    AGAIN,
    DECODERS,
    KERNELS,
    VARIABLE,
    NativeLibrary,
    call,
    choice,
    decoders,
    libraries,
    load,
    problem,
)
from easnn.utils.errors import ConfigError

NOT_THERE = (
    "there are no native kernels for this machine: they need an x86-64 processor with AVX2, and "
    "Linux."
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
    """Return the kernels for this processor; None if there are none or they cannot be used."""
    library = _for_this_processor()
    return None if library is None else load(library)


def loaded_library() -> ctypes.CDLL:
    """Return the kernels for this processor; only where :func:`computes_natively` holds."""
    library = native_library()
    assert library is not None, "Ask `computes_natively` first."
    return library


@cache
def has_matrix_unit() -> bool:
    """Return whether the native kernels for this processor use a matrix unit (AMX)."""
    library = native_library()
    return library is not None and bool(call(library, "easnn_amx_supported"))


@cache
def default_kernels() -> Kernels:
    """Return the choice of the environment, or else the fastest kernels; logged once.

    Raises:
        ConfigError: if the choice is unknown, or it is native and there are no native kernels or
            decoders that can be used.
    """
    chosen = choice()
    if chosen == "native":
        missing = _missing_kernels() or _missing(DECODERS)
        if missing is not None:
            raise ConfigError(f"{VARIABLE} is native, but {missing}")
    available = chosen != "plain" and native_library() is not None
    kernels = Kernels.NATIVE if available else Kernels.PLAIN
    processor = torch.backends.cpu.get_cpu_capability()
    logger.info(
        "CPU kernels: {} ({}); decoders of recordings: {}.",
        kernels.value,
        f"{processor}, AMX" if available and has_matrix_unit() else processor,
        (Kernels.PLAIN if decoders() is None else Kernels.NATIVE).value,
    )
    return kernels


def use_kernels(model: nn.Module, kernels: Kernels) -> None:
    """Let all parts of ``model`` use ``kernels`` on a CPU.

    Raises:
        ConfigError: if there are no native kernels that can be used.
    """
    missing = _missing_kernels() if kernels is Kernels.NATIVE else None
    if missing is not None:
        raise ConfigError(f"The kernels cannot be native: {missing}")
    for module in model.modules():
        if isinstance(getattr(module, "kernels", None), Kernels):
            module.kernels = kernels  # type: ignore[assignment]


def _for_this_processor() -> NativeLibrary | None:
    library = KERNELS.get(torch.backends.cpu.get_cpu_capability())
    return library if library in libraries() else None


def _missing_kernels() -> str | None:
    """Return why there are no native kernels, as the rest of a sentence; None if there are."""
    library = _for_this_processor()
    return NOT_THERE if library is None else _missing(library)


def _missing(library: NativeLibrary) -> str | None:
    text = problem(library)
    return None if text is None else f"the native library {library.file} {text}. {AGAIN}"


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
        or modules._global_forward_hooks
        or modules._global_forward_pre_hooks
        or modules._global_backward_hooks
        or modules._global_backward_pre_hooks
    )
