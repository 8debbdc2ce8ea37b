"""Box formats, the letterbox and its exact inverse, resampling and non-maximum suppression."""

from easnn.ops.boxes import (
    box_areas,
    box_iou,
    clip_boxes,
    cxcywh_to_xywh,
    cxcywh_to_xyxy,
    xywh_to_cxcywh,
    xywh_to_xyxy,
    xyxy_to_cxcywh,
    xyxy_to_xywh,
)
from easnn.ops.letterbox import (
    Placement,
    Rectangle,
    letterbox_placement,
    place_boxes,
    unplace_boxes,
    unplace_detections,
)
from easnn.ops.nms import batched_nms, select_detections
from easnn.ops.resample import Interpolation, place_frames
from easnn.ops.warp import Warp, warp_boxes

__all__ = [
    "Interpolation",
    "Placement",
    "Rectangle",
    "Warp",
    "batched_nms",
    "box_areas",
    "box_iou",
    "clip_boxes",
    "cxcywh_to_xywh",
    "cxcywh_to_xyxy",
    "letterbox_placement",
    "place_boxes",
    "place_frames",
    "select_detections",
    "unplace_boxes",
    "unplace_detections",
    "warp_boxes",
    "xywh_to_cxcywh",
    "xywh_to_xyxy",
    "xyxy_to_cxcywh",
    "xyxy_to_xywh",
]
