"""A detector of SpikeYOLO's blocks, with additive fusion."""

from easnn.exp import EventExp
from easnn.models import SpikeMode


class Exp(EventExp):
    """22.0 M parameters with two classes; backbone and fusion spike in two time steps."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = "meta"
        self.residual = "membrane"
        self.use_spike = SpikeMode.FULL
        self.depth = 0.33
        self.width = 0.50
        self.T = 2
        self.max_epoch = 60
