"""A detector small enough to be trained on a CPU in minutes, on the synthetic dataset."""

from easnn.exp import EventExp
from easnn.models import SpikeMode


class Exp(EventExp):
    """The method of the paper (adaptive sampling, spiking backbone) with fewer channels.

    It differs from the published settings where these need more than a few minutes of training: the
    residual potential after the last spike is kept (no RPD), and the augmentation is mild.
    """

    def __init__(self) -> None:
        super().__init__()
        self.num_classes = 2
        self.depth = 0.33
        self.width = 0.1875
        self.use_spike = SpikeMode.BACKBONE
        self.T = 3

        self.embedding = "arsnn"
        self.embedding_depth = 1
        self.embedding_ksize = 3
        self.spike_attach = True

        self.data_name = "synthetic"
        self.data_dir = "datasets/synthetic"
        self.Tm = 4
        self.input_size = (128, 160)
        self.test_size = (128, 160)
        self.jitter = 0.1
        self.scale_range = (0.8, 1.0)
        self.data_num_workers = 1

        self.seed = 80
        self.max_epoch = 8
        self.warmup_epochs = 1
        self.basic_lr_per_img = 0.002 / 8
        self.eval_interval = 8
        self.eval_initial = True
