"""The machine that is measured, and what it can do at most."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from easnn import __version__
from easnn.utils.device import available_cores

PACKAGES = (
    *("torch", "torchvision", "spikingjelly", "numpy", "faster-coco-eval", "pycocotools"),
    *("openvino", "onnxruntime"),
)

ROUNDS = 5
COPIED_BYTES = 256 * 2**20  # much more than a cache holds

CONVOLUTION = (8, 128, 64, 64)
"""Shape of the input of the measured convolution, 3×3 with as many outputs as inputs."""


@dataclass(frozen=True)
class Ceilings:
    """The best of several measurements with the threads of the benchmark.

    Attributes:
        fp32_flops: floating-point operations per second of a convolution in float32.
        bf16_flops: the same in bfloat16.
        copy_bytes_per_s: bytes read and written per second by a copy.
    """

    fp32_flops: float
    bf16_flops: float
    copy_bytes_per_s: float

    def flops(self, precision: str) -> float:
        """Return the operations per second of a convolution in ``exact`` or ``bf16``."""
        return self.bf16_flops if precision == "bf16" else self.fp32_flops

    def to_dict(self) -> dict[str, float]:
        """Return plain values for JSON."""
        return asdict(self)


def measure_ceilings() -> Ceilings:
    """Measure what convolutions and copies reach on this machine."""
    source = torch.zeros(COPIED_BYTES, dtype=torch.uint8)
    target = torch.empty_like(source)
    return Ceilings(
        fp32_flops=_convolution_flops(torch.float32),
        bf16_flops=_convolution_flops(torch.bfloat16),
        copy_bytes_per_s=2 * COPIED_BYTES / _best_seconds(lambda: target.copy_(source)),
    )


def describe_machine() -> dict[str, Any]:
    """Return processor, cores, torch's use of it, and versions, for JSON."""
    return {
        "processor": _processor(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "cores": available_cores(),
        "cores_of_machine": os.cpu_count(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "threads": torch.get_num_threads(),
        "easnn_kernels": os.environ.get("EASNN_KERNELS", ""),
        "versions": {
            "easnn": __version__,
            "python": platform.python_version(),
            **{name: _version(name) for name in PACKAGES},
        },
    }


def _convolution_flops(dtype: torch.dtype) -> float:
    channels = CONVOLUTION[1]
    images = torch.rand(CONVOLUTION, dtype=dtype).contiguous(memory_format=torch.channels_last)
    kernel = torch.rand(channels, channels, 3, 3, dtype=dtype).contiguous(
        memory_format=torch.channels_last
    )
    operations = 2 * images.numel() * channels * 9
    with torch.inference_mode():
        return operations / _best_seconds(lambda: functional.conv2d(images, kernel, padding=1))


def _best_seconds(run: Callable[[], object]) -> float:
    run()
    seconds = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def _processor() -> str:
    """Return the processor's name, on Linux from the kernel's list."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
