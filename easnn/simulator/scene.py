"""A street with cars and pedestrians, seen by a panning camera: image and labels at any time."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from easnn.events import MOTION_BOX_DTYPE
from easnn.simulator.actors import Actor, View, choose_actors
from easnn.simulator.clock import STEADY
from easnn.simulator.scenario import STREET, Scenario
from easnn.simulator.stops import clock_at_crossing
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
DAYLIGHT, NIGHT_LIGHT = 1.0, 0.06
NIGHT_NOISE = 8.0
"""Factor of the noise at night: the photocurrent is smaller."""


class Scene:
    """The scene of one recording, a pure function of the arguments.

    Args:
        sensor_hw: height and width of the sensor in pixels.
        duration_s: time for which objects are generated.
        rng: source of all randomness.
        scenario: what happens.

    Attributes:
        noise: factor of the noise of the camera: 1 by day, more at night.
    """

    def __init__(
        self,
        sensor_hw: tuple[int, int],
        duration_s: float,
        rng: np.random.Generator,
        scenario: Scenario = STREET,
    ) -> None:
        self._height, self._width = height, width = sensor_hw
        self._focal_px = FOCAL_LENGTH * height
        self._horizon_px = rng.uniform(*HORIZON) * height
        restless = rng.choice(scenario.restlessness) * rng.uniform(0.3, 1.0)
        self._amplitude_px = restless * height * np.array([LARGEST_PAN, LARGEST_SHAKE])
        self._period_s = np.array([rng.uniform(*PAN_PERIOD_S), rng.uniform(*SHAKE_PERIOD_S)])
        self._phase = rng.uniform(0, 2 * np.pi, 2)
        margin_px = int(np.ceil(self._amplitude_px.max())) + 1
        street_hw = (height + 2 * margin_px, width + 2 * margin_px)
        self._street = draw_street(street_hw, self._horizon_px + margin_px, height, rng)
        half_angle = (width / 2 + self._amplitude_px[0]) / self._focal_px
        view = View(self._focal_px, height, half_angle)
        self._actors = choose_actors(view, duration_s, rng, scenario)
        self._clock = clock_at_crossing(0.0, np.inf, duration_s, rng) if scenario.stops else STEADY
        at_night = scenario.night > 0 and rng.random() < scenario.night
        self._light = NIGHT_LIGHT if at_night else DAYLIGHT
        self.noise = NIGHT_NOISE if at_night else 1.0

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
        return frame if self._light == DAYLIGHT else frame * np.float32(self._light)

    def labels(self, time_us: int) -> np.ndarray:
        """Return the boxes of the visible objects at a time, MOTION_BOX_DTYPE, sorted by track.

        A box tightly encloses the whole object, including occluded parts, and is clipped at
        ``LARGEST_OVERHANG`` beyond the frame. Objects that are less visible than ``LEAST_VISIBLE``,
        or whose box has a side below ``LEAST_SIDE``, have no box. The speed of an object is that of
        the fastest corner of its box, before clipping and without the change of its outline.
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
                actor = self._actors[appearance.track_id]
                box = (time_us, x, y, w, h, actor.sprite.class_id, appearance.track_id, 1.0)
                speed_px_s = self._speed_px_s(actor, outline, time_us)
                boxes.append(
                    (*box, self._still_s(actor, time_us / 1e6), speed_px_s, min(visible, 1.0))
                )
        return np.sort(np.array(boxes, MOTION_BOX_DTYPE), order="track_id")

    def _still_s(self, actor: Actor, time_s: float) -> float:
        """Return the time since the object or the camera moved."""
        camera_s = self._clock.moved_until_s(time_s) if self._amplitude_px.any() else 0.0
        return time_s - max(camera_s, actor.moved_until_s(time_s))

    def _speed_px_s(self, actor: Actor, outline: np.ndarray, time_us: int) -> float:
        """Return the speed of the fastest corner of the box around an outline."""
        x_m, depth_m = actor.position_m(time_us / 1e6)
        across_m_s, receding_m_s = actor.velocity_m_s(time_us / 1e6)
        foot_x, foot_y = actor.sprite.foot_px
        px_per_m = self._focal_px / depth_m
        right_m = x_m + (_extent(outline, axis=0) - foot_x) / actor.sprite.px_per_m
        down_m = CAMERA_HEIGHT_M + (_extent(outline, axis=1) - foot_y) / actor.sprite.px_per_m
        pan_x, pan_y = self._pan_px_s(time_us)
        x_px_s = px_per_m * (across_m_s - right_m * receding_m_s / depth_m) - pan_x
        y_px_s = px_per_m * (-down_m * receding_m_s / depth_m) - pan_y
        return float(np.hypot(np.abs(x_px_s).max(), np.abs(y_px_s).max()))

    def _box(
        self, appearance: _Appearance, outline: np.ndarray
    ) -> tuple[float, float, float, float]:
        """Return the box (x, y, w, h) around an outline."""
        overhang = LARGEST_OVERHANG * self._height
        edges_px = np.stack([_extent(outline, axis=0), _extent(outline, axis=1)], axis=1)
        corners = (appearance.left_px, appearance.top_px) + appearance.scale * edges_px
        corners = np.clip(corners, -overhang, (self._width + overhang, self._height + overhang))
        (left, top), (width, height) = corners[0], corners[1] - corners[0]
        return left, top, width, height

    def _pan_px(self, time_us: int) -> np.ndarray:
        """Return the rotation (x, y) of the camera in pixels; the image moves by the opposite."""
        return self._amplitude_px * np.sin(self._turn(time_us))

    def _pan_px_s(self, time_us: int) -> np.ndarray:
        """Return the derivative of the rotation."""
        rate = 2 * np.pi * self._clock.rate(time_us / 1e6) / self._period_s
        return self._amplitude_px * rate * np.cos(self._turn(time_us))

    def _turn(self, time_us: int) -> np.ndarray:
        """Return the phases of the pan and of the shaking."""
        stood_us = (time_us / 1e6 - self._clock.own_time_s(time_us / 1e6)) * 1e6
        return 2 * np.pi * (time_us - stood_us) / 1e6 / self._period_s + self._phase

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


def _extent(outline: np.ndarray, *, axis: int) -> np.ndarray:
    """Return the first column (axis 0) or row (1) of an outline and the one after the last, [2]."""
    places = np.flatnonzero(np.any(outline, axis=axis))
    return np.array([places[0], places[-1] + 1])


class _Appearance(NamedTuple):
    """An actor at a moment: its image, the position on the sensor and the part in the frame."""

    track_id: int
    image: np.ndarray  # [h, w, 2]
    scale: float  # sensor pixels per pixel of the image
    left_px: float
    top_px: float
    window: tuple[slice, slice]  # rows and columns of the sensor
    in_frame: np.ndarray  # the image resampled to the window
