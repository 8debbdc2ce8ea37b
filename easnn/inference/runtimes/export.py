"""The network as a graph, from which runtimes compile."""

from __future__ import annotations

import warnings
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram

from easnn.models import EventDetector
from easnn.utils.errors import ConfigError
from easnn.utils.options import PrecisionName
from easnn.utils.precision import Precision


class _Observed(nn.Module):
    """The network with a second output: what the embedding wrote."""

    def __init__(self, model: EventDetector) -> None:
        super().__init__()
        self.model = model

    def forward(self, events: Tensor) -> tuple[Tensor, Tensor]:
        """Map ``[b,Tl,Tm,C,h,w]`` to the outputs of the embedding and of the network."""
        written = self.model.embedding(events)
        outputs = self.model.detect(written)
        assert isinstance(outputs, Tensor)  # without targets
        return written, outputs


class _Mixed(nn.Module):
    """The network in mixed precision; the graph contains the casts."""

    def __init__(self, observed: _Observed, precision: Precision) -> None:
        super().__init__()
        self.observed, self.precision = observed, precision

    def forward(self, events: Tensor) -> tuple[Tensor, Tensor]:
        """Do as :class:`_Observed`."""
        with self.precision.autocast():
            return self.observed(events)


def exported(model: EventDetector, example: Tensor, *, precision: PrecisionName) -> ExportedProgram:
    """Return the graph of ``model`` for inputs of one shape, with two outputs.

    Args:
        model: the detector, in evaluation mode.
        example: an input ``[b,Tl,Tm,C,h,w]``.
        precision: what it computes in; the graph contains the casts of mixed precision.

    Returns:
        A graph that returns the outputs of the embedding and of the network.
    """
    observed = _Observed(model)
    exact = precision == "exact"
    network = observed if exact else _Mixed(observed, Precision(example.device, precision))
    return torch.export.export(network.eval(), (example,), strict=False)


def onnx_model(model: EventDetector, example: Tensor) -> bytes:
    """Return the graph of :func:`exported` in float32 as the contents of an ONNX file."""
    program = exported(model, example, precision="exact")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch about its own code
        # The runtimes optimise the graph themselves, and much faster.
        in_onnx = torch.onnx.export(program, dynamo=True, verbose=False, optimize=False)
    assert in_onnx is not None
    return in_onnx.model_proto.SerializeToString()


def check_packages(runtime: str, *packages: str) -> None:
    """Check that the packages of a runtime, an extra of easnn, are installed.

    Raises:
        ConfigError: if one is missing.
    """
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        raise ConfigError(
            f"The runtime `{runtime}` needs the packages {', '.join(packages)}, but not installed: "
            f"{', '.join(missing)}. Run `pip install 'easnn[{runtime}]'`."
        )


def check_on_cpu(runtime: str, device: torch.device) -> None:
    """Check that the model of a runtime for CPUs is on the CPU.

    Raises:
        ConfigError: if it is on another device.
    """
    if device.type != "cpu":
        raise ConfigError(
            f"The runtime `{runtime}` computes on the CPU, but the network is on {device}. Use "
            "torch or compiled, or hide the GPU: `CUDA_VISIBLE_DEVICES= easnn …`."
        )
