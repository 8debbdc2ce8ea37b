"""An experiment file whose network takes milliseconds and follows every key of a training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from easnn.exp import EventExp
from easnn.models import Clips

BOXES_PX = torch.tensor(
    [[x, y, size, size] for size in (12.0, 20.0, 26.0) for y in (10.0, 16.0) for x in (20.0, 26.0)]
)
"""Its detections [boxes,4], as center and size, in network pixels; it learns their scores."""


class SmallDetector(nn.Module):
    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.embedding = nn.Conv2d(2, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.head = nn.Linear(3, len(BOXES_PX) * (1 + num_classes))

    def forward(
        self, events: Tensor, targets: Tensor | None = None, clips: Clips | None = None
    ) -> Any:
        weights = torch.linspace(1, 2, events.shape[2], device=events.device)
        frames = (events * weights[:, None, None, None]).sum(dim=(1, 2))
        features = self.norm(self.embedding(frames)).square().mean(dim=(-2, -1))
        raw = self.head(features).reshape(len(events), len(BOXES_PX), -1)
        if targets is None:
            boxes = BOXES_PX.expand(len(events), -1, -1)
            return torch.cat((boxes, raw.float().sigmoid()), dim=-1)
        if clips is not None:
            assert clips.labelled is not None
            raw = raw[clips.labelled]
        loss = (raw.mean(dim=(1, 2)) - targets[..., 1:].sum(dim=(1, 2)) / 100).square().mean()
        losses = {"total_loss": loss, "num_fg": loss.detach()}
        return losses if clips is None else (losses, None)


class Exp(EventExp):
    def __init__(self) -> None:
        super().__init__()
        self.num_classes = 2
        self.depth = 0.33
        self.width = 0.125
        self.use_spike = True
        self.T = 2
        self.embedding = "arsnn"
        self.Tm = 3
        self.input_size = self.test_size = (32, 64)
        self.data_name = "synthetic"
        self.data_num_workers = 0
        self.seed = 5
        self.basic_lr_per_img = 0.01
        self.max_epoch = 2
        self.eval_interval = 1
        self.test_conf = 0.0001
        self.pictures = False

    def get_model(self) -> nn.Module:
        return SmallDetector(self.num_classes)
