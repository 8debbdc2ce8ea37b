"""A detector of SpikSSD's blocks: membrane shortcuts that are changed, too, and additive fusion."""

from easnn.exp import EventExp
from easnn.models import SpikeMode


class Exp(EventExp):
    """16.0 M parameters with two classes; backbone and fusion spike."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = "mds"
        self.residual = "membrane"
        self.use_spike = SpikeMode.FULL
        self.depth = 0.33
        self.width = 0.50
        self.T = 3
        self.max_epoch = 60
