"""The published formulations that easnn replaces, as readable code: the first row of every ratio.

They compute the same results as easnn, which the tests check: a ratio of speeds says something only
where the results are equal. Modules are reused where the formulation is the same. Where the
description of the published code leaves a choice, the faster one is taken, so that a ratio is
rather too small than too large.
"""

from easnn.benchmark.reference.detector import PublishedDetector
from easnn.benchmark.reference.evaluation import (
    pycocotools_is_installed,
    pycocotools_precision_recall,
)
from easnn.benchmark.reference.loading import PublishedLoader, place_frame
from easnn.benchmark.reference.losses import published_losses
from easnn.benchmark.reference.neurons import PublishedNeurons
from easnn.benchmark.reference.postprocess import published_detections, torchvision_nms
from easnn.benchmark.reference.sampler import PublishedSampler
from easnn.benchmark.reference.training import PublishedEma, PublishedStep

__all__ = [
    "PublishedDetector",
    "PublishedEma",
    "PublishedLoader",
    "PublishedNeurons",
    "PublishedSampler",
    "PublishedStep",
    "place_frame",
    "published_detections",
    "published_losses",
    "pycocotools_is_installed",
    "pycocotools_precision_recall",
    "torchvision_nms",
]
