"""The runtime ``compiled``: torch's own compiler, inductor, with the weights as constants.

The network is exported and compiled ahead of the first frame. ``torch.compile`` would check at each
call whether its code still fits, and might compile again, in a thread that computes frames; and it
could give a second network of the same shape the code of the first, with its constants. On a GPU,
the code is replayed as a CUDA graph.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from easnn.inference.runtimes.export import exported
from easnn.inference.runtimes.inference import Pass
from easnn.models import EventDetector, fuse
from easnn.utils.cuda_graphs import EAGER_CALLS, GraphedFunction
from easnn.utils.errors import ConfigError
from easnn.utils.options import PrecisionName

FREEZING: dict[str, Any] = {"freezing": True}
"""Weights are constants: layouts and casts are computed once, norms and products are folded."""

ON_CPU: dict[str, Any] = FREEZING | {"cpp.threads": 1, "cpp_wrapper": True}
"""One thread for each call; C++ from input to output, so that threads do not wait for each other
to run Python."""


def check(device: torch.device, precision: PrecisionName) -> None:
    """Check that there is a C++ compiler.

    Raises:
        ConfigError: if there is none.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        raise ConfigError(
            "The runtime `compiled` needs a C++ compiler, but there is neither g++ nor the one "
            "that the environment variable CXX names. Install g++, or use another runtime."
        ) from None


def build(model: EventDetector, example: Tensor, precision: PrecisionName) -> Pass:
    """Compile ``model``, fused, for inputs like ``example``."""
    from torch import _inductor as inductor

    on_gpu = example.device.type != "cpu"
    with _quiet_about_triton():
        graph = exported(fuse(model), example, precision=precision).module()
    options = {} if on_gpu else ON_CPU  # freezing fails for GPUs with torch 2.11
    compiled = inductor.compile(graph, [example], options=options)
    replayed = GraphedFunction(compiled) if on_gpu else None

    def compute(events: Tensor) -> tuple[Tensor, Tensor]:
        if replayed is None:
            written, outputs = compiled(events)
            return written, outputs
        written, outputs = replayed(events)
        return written.clone(), outputs.clone()

    with torch.inference_mode():
        for _ in range(EAGER_CALLS + 1 if on_gpu else 1):  # what is left to the first calls
            compute(example)
    return compute


@contextmanager
def _quiet_about_triton() -> Iterator[None]:
    """Silence torch's warnings that there is no Triton, which only GPUs need."""
    log = logging.getLogger("torch._library.triton")
    before = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(before)
