"""The smallest detector of YOLOX, with separable convolutions."""

from easnn.exp import EventExp


class Exp(EventExp):
    """Nano: 0.9 M parameters with two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0.33
        self.width = 0.25
        self.depthwise = True
