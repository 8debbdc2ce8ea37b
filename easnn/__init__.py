"""easnn: object detection on event-camera recordings with spiking neural networks."""

__version__ = "0.1.0"
