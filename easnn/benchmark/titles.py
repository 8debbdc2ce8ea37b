"""The sections of the benchmark: what the command line says about them, without slow imports."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

TITLES: Mapping[str, str] = MappingProxyType(
    {
        "decode": "Reading of whole recordings",
        "load": "Loading of training samples, from files to network input",
        "augment": "Placement of frames in the network input",
        "sampler": "Adaptive sampler",
        "forward": "Inference",
        "step": "Training step",
        "memory": "Peak memory of a training step",
        "assignment": "Assignment and losses, with backward",
        "nms": "Non-maximum suppression",
        "evaluation": "Average precision",
        "latency": "From events to boxes in sensor pixels",
        "scaling": "Cost of a sample against settings",
    }
)
"""What heads the table of each section, by its name on the command line, in the order of a run."""

OPTIONAL = frozenset({"scaling"})
"""Sections that run only if they are named."""
