"""Building an evaluator from the name of a protocol."""

from __future__ import annotations

from collections.abc import Sequence

from easnn.evaluation.coco import CocoEvaluator
from easnn.evaluation.frame import Evaluator
from easnn.evaluation.prophesee import PropheseeEvaluator
from easnn.evaluation.strata import StrataRequest
from easnn.utils.errors import ConfigError, did_you_mean

PROTOCOLS = ("coco", "prophesee")

_MEGAPIXEL_HEIGHT_PX = 720


def build_evaluator(
    protocol: str,
    class_names: Sequence[str],
    *,
    split: str,
    sensor_hw: tuple[int, int],
    strata: StrataRequest | None = None,
) -> Evaluator:
    """Return the evaluator of a protocol.

    The minimum box size of the Prophesee protocol depends on the sensor: diagonal 60 px and side 20
    px for the 1 Mpx sensor (720 rows or more); 30 px and 10 px for all others, including Gen1 and 1
    Mpx at half resolution.

    Args:
        protocol: ``coco`` or ``prophesee``.
        class_names: names of the classes 0, 1, ….
        split: name of the evaluated split, for the result.
        sensor_hw: height and width of the frames, in the pixels of the boxes.
        strata: what the results by strata need; None for no such results.

    Raises:
        ConfigError: if the protocol is unknown.
    """
    if protocol == "coco":
        return CocoEvaluator(class_names, split=split, strata=strata)
    if protocol == "prophesee":
        scale = 2 if sensor_hw[0] >= _MEGAPIXEL_HEIGHT_PX else 1
        return PropheseeEvaluator(
            class_names,
            split=split,
            min_diagonal_px=30 * scale,
            min_side_px=10 * scale,
            strata=strata,
        )
    raise ConfigError(
        f"The protocol must be one of {', '.join(PROTOCOLS)}, but is `{protocol}`."
        f"{did_you_mean(protocol, PROTOCOLS)}"
    )
