"""The checks in their order, the machine they ran on, and their table."""

from __future__ import annotations

import platform
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

import torch
from tabulate import tabulate

from easnn.gpu_check.evaluation import (
    check_compiled,
    check_compiled_runtime,
    check_groups,
    check_input,
    check_suppression,
)
from easnn.gpu_check.outcome import Number, Outcome, Setting
from easnn.gpu_check.parity import NETWORK_CHECKS
from easnn.gpu_check.processes import check_many_processes, check_one_process
from easnn.gpu_check.speed import check_profile, check_speed, check_transfer
from easnn.gpu_check.training import check_mixed_precision, check_waits
from easnn.utils.device import available_cores

CHECKS: dict[str, Callable[[Setting], Outcome]] = {
    **NETWORK_CHECKS,
    "mixed precision": check_mixed_precision,
    "host waits": check_waits,
    "input": check_input,
    "suppression": check_suppression,
    "evaluation in groups": check_groups,
    "one process": check_one_process,
    "many processes": check_many_processes,
    "transfer": check_transfer,
    "speed": check_speed,
    "profile": check_profile,
    "compiled": check_compiled,
    "runtime compiled": check_compiled_runtime,
}
"""The checks by name."""

PACKAGES = ("torchvision", "spikingjelly", "triton", "numpy")

TITLES = {True: "passed", False: "FAILED", None: "–"}


def run_checks(
    setting: Setting, names: Sequence[str], limit_s: float
) -> Iterator[tuple[str, Outcome, float]]:
    """Run checks and yield the name, the outcome and the seconds of each.

    A check that raises an exception has failed; its outcome contains the traceback. After the time
    limit, no further check begins.

    Args:
        setting: the device.
        names: keys of :data:`CHECKS`.
        limit_s: time for all of them.
    """
    begin = time.monotonic()
    for name in names:
        start = time.monotonic()
        if start - begin > limit_s:
            yield name, Outcome.not_here(f"not begun within {limit_s:g} s"), 0.0
            continue
        try:
            outcome = CHECKS[name](setting)
        except Exception as error:
            lines = str(error).strip().splitlines()
            reason = f"{type(error).__name__}: {lines[0] if lines else 'no message'}"
            outcome = Outcome(False, reason, {"traceback": traceback.format_exc()})
        yield name, outcome, time.monotonic() - start


def machine(device: torch.device) -> dict[str, Number]:
    """Return the hardware, the versions, and settings of torch that change results or speed."""
    about: dict[str, Number] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "CPU cores": available_cores(),
        "torch threads": torch.get_num_threads(),
        "TF32 convolutions": str(torch.backends.cudnn.allow_tf32),
        "float32 matrix products": torch.get_float32_matmul_precision(),
        **{name: _version(name) for name in PACKAGES},
    }
    if device.type == "cuda":
        card = torch.cuda.get_device_properties(device)
        about |= {
            "card": card.name,
            "cards": torch.cuda.device_count(),
            "compute capability": f"{card.major}.{card.minor}",
            "memory GiB": round(card.total_memory / 2**30, 1),
            "CUDA": torch.version.cuda,
            "cuDNN": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        }
    return about


def table(done: Mapping[str, tuple[Outcome, float]]) -> str:
    """Return the outcomes and the measured speeds as tables.

    Args:
        done: outcome and seconds by name.
    """
    rows = [
        (name, TITLES[outcome.passed], f"{seconds:.1f}", outcome.detail)
        for name, (outcome, seconds) in done.items()
    ]
    parts = [
        tabulate(
            rows,
            headers=("check", "result", "seconds", "found"),
            colalign=("left", "left", "right", "left"),
            maxcolwidths=[None, None, None, 80],
            disable_numparse=True,
        )
    ]
    for name in ("speed", "profile", "runtime compiled"):
        numbers = done[name][0].numbers if name in done else {}
        measured = [
            (what, f"{value:.3g}") for what, value in numbers.items() if isinstance(value, float)
        ]
        if measured:
            alignment = ("left", "right")
            parts.append(tabulate(measured, (name, ""), disable_numparse=True, colalign=alignment))
    return "\n\n".join(parts)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
