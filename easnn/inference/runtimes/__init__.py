"""Runtimes: what computes the network in inference. `torch` runs its modules, others compile it."""

from easnn.inference.runtimes.build import build_inference
from easnn.inference.runtimes.inference import Inference

__all__ = ["Inference", "build_inference"]
