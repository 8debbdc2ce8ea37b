"""The small detector of the EAS-SNN paper with a memory, trained on clips of windows."""

from easnn.exp.default.e_yolox_s import Exp as Memoryless


class Exp(Memoryless):
    """As `e-yolox-s`, and a convolutional LSTM for each feature map."""

    def __init__(self) -> None:
        super().__init__()
        self.memory = "lstm"
        self.clip = 10
        self.clip_grad = 5.0
