"""The medium detector of the EAS-SNN paper."""

from easnn.exp import EventExp


class Exp(EventExp):
    """Medium: 25.3 M parameters with two classes."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 0.67
        self.width = 0.75
