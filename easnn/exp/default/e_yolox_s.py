"""The small detector of the EAS-SNN paper."""

from easnn.exp import EventExp


class Exp(EventExp):
    """Small: 8.9 M parameters with two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0.33
        self.width = 0.50
        self.max_epoch = 60
