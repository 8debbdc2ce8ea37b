"""Parameter names of the published EAS-SNN code, and loading its weights.

The weights are the same; only the names differ. The substitutions below, in this order, turn our
names into published ones. Where the published network wraps a layer for its time steps, ``.0``
follows the name.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from torch import Tensor

from easnn.models.config import DetectorConfig
from easnn.models.detector import EventDetector
from easnn.utils.errors import CheckpointError
from easnn.utils.state_dicts import check_finite, unwrapped

RENAMED = (
    # Feature pyramid and backbone are one module there.
    (r"^backbone\.", "backbone.backbone."),
    (r"^neck\.lateral5\.", "backbone.lateral_conv0."),
    (r"^neck\.topdown4\.", "backbone.C3_p4."),
    (r"^neck\.lateral4\.", "backbone.reduce_conv1."),
    (r"^neck\.topdown3\.", "backbone.C3_p3."),
    (r"^neck\.down3\.", "backbone.bu_conv2."),
    (r"^neck\.bottomup4\.", "backbone.C3_n3."),
    (r"^neck\.down4\.", "backbone.bu_conv1."),
    (r"^neck\.bottomup5\.", "backbone.C3_n4."),
    # CSP layers, then spatial pyramid pooling.
    (r"\.deep\.", ".conv1."),
    (r"\.skip\.", ".conv2."),
    (r"dark5\.1\.reduce\.", "dark5.1.conv1."),
    (r"dark5\.1\.merge\.", "dark5.1.conv2."),
    (r"\.merge\.", ".conv3."),
    (r"\.blocks\.", ".m."),
    # Separable units, and the learned slope of a surrogate.
    (r"\.depthwise\.", ".dconv."),
    (r"\.pointwise\.", ".pconv."),
    (r"\.act\.surrogate\.slope$", ".act.surrogate_function.alpha"),
    # The head is listed by kind of layer there, by feature map here.
    (r"^head\.levels\.(\d)\.stem\.", r"head.stems.\1."),
    (r"^head\.levels\.(\d)\.class_tower\.", r"head.cls_convs.\1."),
    (r"^head\.levels\.(\d)\.box_tower\.", r"head.reg_convs.\1."),
    (r"^head\.levels\.(\d)\.class_out\.", r"head.cls_preds.\1."),
    (r"^head\.levels\.(\d)\.box_out\.", r"head.reg_preds.\1."),
    (r"^head\.levels\.(\d)\.object_out\.", r"head.obj_preds.\1."),
)
RENAMED_EMBEDDING = {
    "arsnn": ((r"^embedding\.recurrence\.", "embedding."),),
    "rsnn": (
        (r"^embedding\.recurrence\.input_conv\.", "embedding.input_conv.layer."),
        (r"^embedding\.recurrence\.", "embedding."),
    ),
    "snn": (
        (r"^embedding\.recurrence\.conv\.", "embedding.embedding_conv.layer."),
        (r"^embedding\.recurrence\.", "embedding.cell."),
    ),
    "count": (),
}


def published_names(model: EventDetector) -> dict[str, str]:
    """Return the published name of every parameter and buffer of ``model``, in our order."""
    rules = (*RENAMED_EMBEDDING[model.config.embedding], *RENAMED, *_time_wrappers(model.config))
    names = {}
    for ours in model.state_dict():
        published = ours
        for pattern, replacement in rules:
            published = re.sub(pattern, replacement, published)
        names[ours] = published
    return names


def load_published_state_dict(model: EventDetector, state_dict: Mapping[str, Tensor]) -> None:
    """Load weights with published names; all or nothing.

    Raises:
        CheckpointError: if a name is missing or unexpected, or a shape differs; lists all of them.
            Also if a weight is not finite.
    """
    check_finite(state_dict, "this state dict")
    state_dict = {unwrapped(name): weight for name, weight in state_dict.items()}
    names = published_names(model)
    problems = mismatches(model, state_dict)
    if problems:
        raise CheckpointError(
            "The checkpoint does not fit the model. Build the model with the keys of the "
            "checkpoint's own "
            "training (`use_spike`, `stem`, `embedding`, `depth`, `width`, `num_classes`, …).\n  "
            + "\n  ".join(problems)
        )
    model.load_state_dict({ours: state_dict[published] for ours, published in names.items()})


def mismatches(model: EventDetector, state_dict: Mapping[str, Tensor]) -> list[str]:
    """Return a line for each missing or unexpected published name, and for each wrong shape."""
    own = model.state_dict()
    shapes = {published: own[ours].shape for ours, published in published_names(model).items()}
    problems = [f"missing: {name}" for name in shapes if name not in state_dict]
    problems += [f"unexpected: {name}" for name in state_dict if name not in shapes]
    problems += [
        f"shape: {name} is {list(state_dict[name].shape)}, must be {list(shape)}"
        for name, shape in shapes.items()
        if name in state_dict and state_dict[name].shape != shape
    ]
    return problems


def _time_wrappers(config: DetectorConfig) -> list[tuple[str, str]]:
    """Return the rules that add ``.0`` where the published network wraps a layer."""
    mode = config.use_spike
    stem = r"(?!stem\.)" if config.stem == "focus" else ""
    wrapped = []
    if mode.backbone:
        wrapped += [(rf"^(backbone\.backbone\.{stem}.*)\.conv\.weight$", r"\1.conv.0.weight")]
        wrapped += [
            (r"^backbone\.backbone\.stem\.conv\.(conv|bn)\.", r"backbone.backbone.stem.0.conv.\1.")
        ]
    if mode.neck:
        wrapped += [(r"^(backbone\.(?!backbone\.).*)\.conv\.weight$", r"\1.conv.0.weight")]
    if mode.head:
        wrapped += [(r"^(head\..*)\.conv\.weight$", r"\1.conv.0.weight")]
        wrapped += [(r"^(head\.\w+_preds\.\d)\.", r"\1.0.")]
    return wrapped
