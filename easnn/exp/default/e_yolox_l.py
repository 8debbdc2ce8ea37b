"""The large detector: the full depth and width."""

from easnn.exp import EventExp


class Exp(EventExp):
    """Large; `depth` and `width` are 1."""

    def __init__(self) -> None:
        super().__init__()
        self.depth = 1.0
        self.width = 1.0
