"""The names of the runtimes, and what each of them builds."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

import torch
from loguru import logger
from torch import Tensor

from easnn.inference.forward import GROUP, single_thread
from easnn.inference.runtimes.inference import Inference, Pass
from easnn.models import EventDetector
from easnn.utils.errors import ConfigError, did_you_mean
from easnn.utils.options import RUNTIMES, PrecisionName, RuntimeName


def build_inference(
    runtime: RuntimeName,
    model: EventDetector,
    frame_shape: tuple[int, ...],
    device: torch.device,
    precision: PrecisionName,
) -> Inference:
    """Build the functions that compute ``model`` in a runtime.

    Compiled networks take batches of one size, that of :func:`~easnn.inference.forward.fixed_form`,
    and contain the weights that the model has now. On a CPU, a call computes in one thread.

    Args:
        runtime: the runtime.
        model: the detector, in evaluation mode.
        frame_shape: ``(Tl, Tm, C, h, w)`` of the network's input.
        device: device of the model.
        precision: what the network computes in.

    Raises:
        ConfigError: if the runtime is unknown, cannot compute the network, on the device or in the
            precision, or needs a package or a compiler that is missing.
    """
    if runtime == "torch":
        return Inference.of_modules(model, precision)
    if runtime not in RUNTIMES:
        raise ConfigError(
            f"`runtime` must be one of {', '.join(RUNTIMES)}, but is {runtime}."
            f"{did_you_mean(runtime, RUNTIMES)}"
        )
    if model.config.memory != "none":
        raise ConfigError(
            f"`runtime` must be torch for a network with `memory` {model.config.memory}, whose "
            f"state the others do not carry, but is {runtime}."
        )
    # Compilers are large imports, and some are packages that may be missing.
    module = import_module(f"easnn.inference.runtimes.{runtime}_runtime")
    check: Callable[[torch.device, PrecisionName], None] = module.check
    build: Callable[[EventDetector, Tensor, PrecisionName], Pass] = module.build
    check(device, precision)
    shape = (1 if device.type == "cpu" else GROUP, *frame_shape)
    logger.info(
        "The network is built for the runtime {} and inputs {}; it takes up to some minutes",
        runtime,
        "x".join(map(str, shape)),
    )
    with single_thread(device), torch.no_grad():
        return Inference.of_pass(build(model, torch.zeros(shape, device=device), precision))
