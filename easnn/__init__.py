"""easnn: object detection on event-camera recordings with spiking neural networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from easnn.inference import Detections, Predictor

__version__ = "0.2.0"

__all__ = ["Detections", "Predictor", "__version__"]


def __getattr__(name: str) -> object:
    """Import the public classes on first use, so that the package loads without torch."""
    if name in ("Detections", "Predictor"):
        from easnn import inference

        return getattr(inference, name)
    raise AttributeError(f"module 'easnn' has no attribute {name!r}")
