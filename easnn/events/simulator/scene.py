"""A street with cars and pedestrians before a camera that pans slowly: its picture and labels at any time."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from easnn.events.simulator.cast import Actor, View, choose_cast
from easnn.events.simulator.street import draw_street
from easnn.events.types import BOX_DTYPE

LEAST_VISIBLE = 0.25
"""Part of an object's area that must be in the frame and uncovered for a label."""
LEAST_SIDE = 0.03
"""Shortest side of a labelled box, in heights of the sensor."""
LARGEST_OVERHANG = 0.02
"""How far a box may leave the frame, in heights of the sensor: real labels do so a little, too."""

FOCAL_LENGTH = 1.1  # in heights of the sensor: a field of view of 60° across 304x240
CAMERA_HEIGHT_M = 1.4
HORIZON = (0.42, 0.5)  # row, in heights of the sensor
LARGEST_PAN, LARGEST_SHAKE = 0.12, 0.006  # amplitudes, in heights of the sensor
PAN_PERIOD_S, SHAKE_PERIOD_S = (3.0, 9.0), (0.4, 1.2)
RESTLESSNESS = (0.0, 0.3, 1.0)  # of a camera that stands, is held, and drives


class Scene:
    """Everything before the camera of one recording, a pure function of the generator that it is made with.

    Args:
        sensor_hw: height and width of the sensor in pixels.
        duration_s: time for which the scene is populated.
        rng: source of everything.
    """

    def __init__(self, sensor_hw: tuple[int, int], duration_s: float, rng: np.random.Generator) -> None:
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
        self._cast = choose_cast(View(self._focal_px, height, half_angle), duration_s, rng)

    def render(self, time_us: int) -> np.ndarray:
        """Return the picture on the sensor at a time: intensity, float32 [H, W]."""
        pan_x, pan_y = self._pan_px(time_us)
        street_height, street_width = self._street.shape
        centre = ((street_width - 1) / 2 + pan_x, (street_height - 1) / 2 + pan_y)
        frame: np.ndarray = cv2.getRectSubPix(self._street, (self._width, self._height), centre)
        for appearance in reversed(self._near_to_far(time_us)):
            intensity, opacity = cv2.split(appearance.in_frame)
            part = frame[appearance.window]
            part *= 1.0 - opacity
            part += intensity
        return frame

    def labels(self, time_us: int) -> np.ndarray:
        """Return the boxes of the objects that can be seen at a time, BOX_DTYPE, in the order of tracks.

        A box fits the whole object tightly, including what other objects cover, and is cut where it leaves
        the frame by more than ``LARGEST_OVERHANG``. Objects that are less visible than ``LEAST_VISIBLE``, or
        whose box has a side below ``LEAST_SIDE``, have none.
        """
        covered = np.zeros((self._height, self._width), bool)
        boxes = []
        for appearance in self._near_to_far(time_us):
            outline, seen = appearance.picture[..., 1] >= 0.5, appearance.in_frame[..., 1] >= 0.5
            visible_px = np.count_nonzero(seen & ~covered[appearance.window])
            covered[appearance.window] |= seen
            x, y, w, h = self._box(appearance, outline)
            visible = visible_px / (np.count_nonzero(outline) * appearance.scale**2)
            if visible >= LEAST_VISIBLE and min(w, h) >= LEAST_SIDE * self._height:
                class_id = self._cast[appearance.track_id].sprite.class_id
                boxes.append((time_us, x, y, w, h, class_id, appearance.track_id, 1.0))
        return np.sort(np.array(boxes, BOX_DTYPE), order="track_id")

    def _box(self, appearance: _Appearance, outline: np.ndarray) -> tuple[float, float, float, float]:
        """Return the box (x, y, w, h) around an outline."""
        columns, rows = np.flatnonzero(outline.any(axis=0)), np.flatnonzero(outline.any(axis=1))
        overhang = LARGEST_OVERHANG * self._height
        edges_px = np.array([[columns[0], rows[0]], [columns[-1] + 1, rows[-1] + 1]])
        corners = (appearance.left_px, appearance.top_px) + appearance.scale * edges_px
        corners = np.clip(corners, -overhang, (self._width + overhang, self._height + overhang))
        (left, top), (width, height) = corners[0], corners[1] - corners[0]
        return left, top, width, height

    def _pan_px(self, time_us: int) -> np.ndarray:
        """Return how far (x, y) the camera has turned: what it sees moves by as much the other way."""
        turn = 2 * np.pi * time_us / 1e6 / self._period_s
        pan_px: np.ndarray = self._amplitude_px * np.sin(turn + self._phase)
        return pan_px

    def _near_to_far(self, time_us: int) -> list[_Appearance]:
        """Return the actors that are in the frame, each covering those after it."""
        actors = sorted(enumerate(self._cast), key=lambda actor: actor[1].position_m(time_us / 1e6)[1])
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
        picture = actor.picture(time_s)
        # OpenCV counts from the centres of pixels, we from their edges: hence the halves.
        shift_x, shift_y = left_px - left + 0.5 * scale - 0.5, top_px - top + 0.5 * scale - 0.5
        to_frame = np.array([[scale, 0.0, shift_x], [0.0, scale, shift_y]])
        in_frame = cv2.warpAffine(picture, to_frame, (right - left, bottom - top), flags=cv2.INTER_LINEAR)
        window = (slice(top, bottom), slice(left, right))
        return _Appearance(track_id, picture, scale, left_px, top_px, window, in_frame)


class _Appearance(NamedTuple):
    """An actor at a moment: its picture, where that lies on the sensor, and its part in the frame."""

    track_id: int
    picture: np.ndarray  # [h, w, 2]
    scale: float  # sensor pixels per pixel of the picture
    left_px: float
    top_px: float
    window: tuple[slice, slice]  # rows and columns of the sensor
    in_frame: np.ndarray  # the picture resampled to the window
