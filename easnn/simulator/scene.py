"""A street with cars and pedestrians, seen by a panning camera: image and labels at any time."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from easnn.events import BOX_DTYPE
from easnn.simulator.actors import Actor, View, choose_actors
from easnn.simulator.street import draw_street

LEAST_VISIBLE = 0.25
"""Fraction of an object's area that must be in the frame and not occluded for a label."""
LEAST_SIDE = 0.03
"""Shortest side of a labelled box, in sensor heights."""
LARGEST_OVERHANG = 0.02
"""How far a box may extend beyond the frame, in sensor heights, as real labels do."""

FOCAL_LENGTH = 1.1  # in sensor heights: a field of view of 60° across 304x240
CAMERA_HEIGHT_M = 1.4
HORIZON = (0.42, 0.5)  # row, in sensor heights
LARGEST_PAN, LARGEST_SHAKE = 0.12, 0.006  # amplitudes, in sensor heights
PAN_PERIOD_S, SHAKE_PERIOD_S = (3.0, 9.0), (0.4, 1.2)
RESTLESSNESS = (0.0, 0.3, 1.0)  # of a fixed, a hand-held and a moving camera


class Scene:
    """The scene of one recording, a pure function of the arguments.

    Args:
        sensor_hw: height and width of the sensor in pixels.
        duration_s: time for which objects are generated.
        rng: source of all randomness.
    """

    def __init__(
        self, sensor_hw: tuple[int, int], duration_s: float, rng: np.random.Generator
    ) -> None:
        self._height, self._width = height, width = sensor_hw
        self._focal_px = FOCAL_LENGTH * height
        self._horizon_px = rng.uniform(*HORIZON) * height
        restless = rng.choice(RESTLESSNESS) * rng.uniform(0.3, 1.0)
        self._amplitude_px = restless * height * np.array([LARGEST_PAN, LARGEST_SHAKE])
        self._period_s = np.array([rng.uniform(*PAN_PERIOD_S), rng.uniform(*SHAKE_PERIOD_S)])
        self._phase = rng.uniform(0, 2 * np.pi, 2)
        margin_px = int(np.ceil(self._amplitude_px.max())) + 1
        street_hw = (height + 2 * margin_px, width + 2 * margin_px)
        self._street = draw_street(street_hw, self._horizon_px + margin_px, height, rng)
        half_angle = (width / 2 + self._amplitude_px[0]) / self._focal_px
        self._actors = choose_actors(View(self._focal_px, height, half_angle), duration_s, rng)

    def render(self, time_us: int) -> np.ndarray:
        """Return the intensity on the sensor at a time, float32 [H, W]."""
        pan_x, pan_y = self._pan_px(time_us)
        street_height, street_width = self._street.shape
        centre = ((street_width - 1) / 2 + pan_x, (street_height - 1) / 2 + pan_y)
        frame = cv2.getRectSubPix(self._street, (self._width, self._height), centre)
        for appearance in reversed(self._near_to_far(time_us)):
            intensity, opacity = cv2.split(appearance.in_frame)
            part = frame[appearance.window]
            part *= 1.0 - opacity
            part += intensity
        return frame

    def labels(self, time_us: int) -> np.ndarray:
        """Return the boxes of the visible objects at a time, BOX_DTYPE, sorted by track.

        A box tightly encloses the whole object, including occluded parts, and is clipped at
        ``LARGEST_OVERHANG`` beyond the frame. Objects that are less visible than ``LEAST_VISIBLE``,
        or whose box has a side below ``LEAST_SIDE``, have no box.
        """
        covered = np.zeros((self._height, self._width), bool)
        boxes = []
        for appearance in self._near_to_far(time_us):
            outline, seen = appearance.image[..., 1] >= 0.5, appearance.in_frame[..., 1] >= 0.5
            visible_px = np.count_nonzero(seen & ~covered[appearance.window])
            covered[appearance.window] |= seen
            x, y, w, h = self._box(appearance, outline)
            visible = visible_px / (np.count_nonzero(outline) * appearance.scale**2)
            if visible >= LEAST_VISIBLE and min(w, h) >= LEAST_SIDE * self._height:
                class_id = self._actors[appearance.track_id].sprite.class_id
                boxes.append((time_us, x, y, w, h, class_id, appearance.track_id, 1.0))
        return np.sort(np.array(boxes, BOX_DTYPE), order="track_id")

    def _box(
        self, appearance: _Appearance, outline: np.ndarray
    ) -> tuple[float, float, float, float]:
        """Return the box (x, y, w, h) around an outline."""
        columns, rows = np.flatnonzero(outline.any(axis=0)), np.flatnonzero(outline.any(axis=1))
        overhang = LARGEST_OVERHANG * self._height
        edges_px = np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]])
        corners = (appearance.left_px, appearance.top_px) + appearance.scale * edges_px
        corners = np.clip(corners, -overhang, (self._width + overhang, self._height + overhang))
        (left, top), (width, height) = corners[0], corners[1] - corners[0]
        return left, top, width, height

    def _pan_px(self, time_us: int) -> np.ndarray:
        """Return the rotation (x, y) of the camera in pixels; the image moves by the opposite."""
        turn = 2 * np.pi * time_us / 1e6 / self._period_s
        return self._amplitude_px * np.sin(turn + self._phase)

    def _near_to_far(self, time_us: int) -> list[_Appearance]:
        """Return the actors in the frame, nearest first."""
        actors = sorted(
            enumerate(self._actors), key=lambda actor: actor[1].position_m(time_us / 1e6)[1]
        )
        appearances = (self._appearance(track_id, actor, time_us) for track_id, actor in actors)
        return [appearance for appearance in appearances if appearance is not None]

    def _appearance(self, track_id: int, actor: Actor, time_us: int) -> _Appearance | None:
        """Project an actor to the sensor; None if it is outside the frame."""
        sprite, time_s = actor.sprite, time_us / 1e6
        x_m, depth_m = actor.position_m(time_s)
        px_per_m = self._focal_px / depth_m
        scale = px_per_m / sprite.px_per_m
        pan_x, pan_y = self._pan_px(time_us)
        left_px = self._width / 2 + px_per_m * x_m - pan_x - scale * sprite.foot_px[0]
        top_px = self._horizon_px + px_per_m * CAMERA_HEIGHT_M - pan_y - scale * sprite.foot_px[1]

        height, width = sprite.sheet.shape[1:3]
        left, right = max(0, int(left_px)), min(self._width, int(np.ceil(left_px + scale * width)))
        top, bottom = max(0, int(top_px)), min(self._height, int(np.ceil(top_px + scale * height)))
        if left >= right or top >= bottom:
            return None
        image = actor.image(time_s)
        # OpenCV's coordinates refer to pixel centres, ours to pixel edges; hence the halves.
        shift_x, shift_y = left_px - left + 0.5 * scale - 0.5, top_px - top + 0.5 * scale - 0.5
        to_frame = np.array([[scale, 0.0, shift_x], [0.0, scale, shift_y]])
        in_frame = cv2.warpAffine(
            image, to_frame, (right - left, bottom - top), flags=cv2.INTER_LINEAR
        )
        window = (slice(top, bottom), slice(left, right))
        return _Appearance(track_id, image, scale, left_px, top_px, window, in_frame)


class _Appearance(NamedTuple):
    """An actor at a moment: its image, the position on the sensor and the part in the frame."""

    track_id: int
    image: np.ndarray  # [h, w, 2]
    scale: float  # sensor pixels per pixel of the image
    left_px: float
    top_px: float
    window: tuple[slice, slice]  # rows and columns of the sensor
    in_frame: np.ndarray  # the image resampled to the window
