"""A detector small enough to be trained on a CPU in minutes, on the synthetic dataset."""

from easnn.exp import EventExp
from easnn.models import SpikeMode


class Exp(EventExp):
    """The method of the paper (adaptive sampling, spiking backbone) with a quarter of the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.num_classes = 2
        self.depth = 0.33
        self.width = 0.25
        self.use_spike = SpikeMode.BACKBONE
        self.T = 3

        self.embedding = "arsnn"
        self.embedding_depth = 2
        self.embedding_ksize = 5
        self.spike_attach = True
        self.write_zero = True

        self.data_name = "synthetic"
        self.data_dir = "datasets/synthetic"
        self.Tm = 4
        self.input_size = (128, 160)
        self.test_size = (128, 160)
        self.data_num_workers = 1

        self.seed = 80
        self.max_epoch = 10
        self.eval_interval = 2
        self.eval_initial = True
        self.scheduler = "fixed"
