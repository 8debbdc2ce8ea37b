"""The runtime ``openvino``: OpenVINO on the CPU, in float32 or bfloat16."""

from __future__ import annotations

from queue import Empty, SimpleQueue
from typing import Any

import torch
from torch import Tensor

from easnn.inference.runtimes.export import check_on_cpu, check_packages, onnx_model
from easnn.inference.runtimes.inference import Pass
from easnn.models import EventDetector
from easnn.utils.device import available_cores
from easnn.utils.options import PrecisionName


def check(device: torch.device, precision: PrecisionName) -> None:
    """Check device and packages.

    Raises:
        ConfigError: if one of them does not fit.
    """
    check_packages("openvino", "onnx", "onnxscript", "openvino")
    check_on_cpu("openvino", device)


def build(model: EventDetector, example: Tensor, precision: PrecisionName) -> Pass:
    """Compile ``model`` by OpenVINO for inputs like ``example``."""
    import openvino

    # One thread for each stream: a frame is computed by one thread, whatever their number.
    streams = available_cores()
    settings = {
        "INFERENCE_PRECISION_HINT": "f32" if precision == "exact" else "bf16",
        "NUM_STREAMS": streams,
        "INFERENCE_NUM_THREADS": streams,
        "ENABLE_CPU_PINNING": False,  # processes would all pin their threads to the same cores
    }
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(onnx_model(model, example)), "CPU", settings)
    idle: SimpleQueue[Any] = SimpleQueue()  # requests that no thread uses

    def compute(events: Tensor) -> tuple[Tensor, Tensor]:
        try:
            request = idle.get_nowait()
        except Empty:
            request = compiled.create_infer_request()
        request.infer([events.contiguous().numpy()])
        written, outputs = (
            torch.from_numpy(request.get_output_tensor(n).data.copy()) for n in range(2)
        )
        idle.put(request)
        return written, outputs

    return compute
