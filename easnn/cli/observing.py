"""Looking through the detector of an experiment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import cast

from loguru import logger
from torch import nn

from easnn.analysis import Observer, Picture, draw_gallery
from easnn.data import DetectionDataset
from easnn.exp import EventExp
from easnn.models import EventDetector


def build_observer(
    experiment: EventExp, model: EventDetector, *, confidence: float = 0.3, nms_iou: float | None = None
) -> Observer:
    """Return an observer that gives ``model`` its frames as the experiment does.

    Args:
        experiment: how frames become the network's input.
        model: its detector, on its device.
        confidence: least score of a detection.
        nms_iou: greatest IoU of two detections of a class; None: ``nmsthre``.
    """
    return Observer(
        model,
        input_hw=experiment.test_size,
        confidence=confidence,
        nms_iou=experiment.nmsthre if nms_iou is None else nms_iou,
        interpolation=experiment.dataset_kind.interpolation,
        aggregation=experiment.aggregation,
        measure=experiment.measure,
    )


def evaluation_pictures(experiment: EventExp) -> Callable[[nn.Module], Mapping[str, Picture]]:
    """Return the function that draws a few samples of ``eval_split``, the same ones in every evaluation.

    It warns of a sampler that does nothing useful with them. The main process alone may call it.
    """

    @cache
    def dataset() -> DetectionDataset:
        return experiment.get_dataset([experiment.eval_split])

    def draw(model: nn.Module) -> Mapping[str, Picture]:
        gallery = draw_gallery(build_observer(experiment, cast(EventDetector, model)), dataset())
        warning = gallery.sampler.warning() if gallery.sampler else None
        if warning:
            logger.warning(warning)
        return gallery.pictures

    return draw
