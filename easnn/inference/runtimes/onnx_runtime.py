"""The runtime ``onnx``: ONNX Runtime on the CPU, in float32."""

from __future__ import annotations

import torch
from torch import Tensor

from easnn.inference.runtimes.export import check_on_cpu, check_packages, onnx_model
from easnn.inference.runtimes.inference import Pass
from easnn.models import EventDetector
from easnn.utils.errors import ConfigError
from easnn.utils.options import PrecisionName


def check(device: torch.device, precision: PrecisionName) -> None:
    """Check device, precision and packages.

    Raises:
        ConfigError: if one of them does not fit.
    """
    check_packages("onnx", "onnx", "onnxscript", "onnxruntime")
    check_on_cpu("onnx", device)
    if precision != "exact":
        raise ConfigError(
            f"The runtime `onnx` computes in float32 only, but `precision` is {precision}. Use "
            "exact, or another runtime: openvino or compiled."
        )


def build(model: EventDetector, example: Tensor, precision: PrecisionName) -> Pass:
    """Load ``model`` into ONNX Runtime for inputs like ``example``."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors; not each operator that is no constant
    session = onnxruntime.InferenceSession(
        onnx_model(model, example), options, providers=["CPUExecutionProvider"]
    )
    [argument] = [each.name for each in session.get_inputs()]

    def compute(events: Tensor) -> tuple[Tensor, Tensor]:
        written, outputs = session.run(None, {argument: events.contiguous().numpy()})
        return torch.from_numpy(written), torch.from_numpy(outputs)

    return compute
