"""The second smallest detector of YOLOX."""

from easnn.exp import EventExp


class Exp(EventExp):
    """Tiny: 5.0 M parameters with two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0.33
        self.width = 0.375
