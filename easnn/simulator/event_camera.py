"""A model of an event camera: each pixel reports changes of the log intensity."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from easnn.events import pack_events
from easnn.simulator.config import CameraConfig

DARK_CURRENT = 0.02  # added to the intensity, so that the contrast of shadows is finite
SMALLEST_THRESHOLD = 0.3  # lower limit of a pixel's threshold, relative to the nominal one
SMALLEST_CHANGE = 1e-9  # lower limit of the change of log intensity in a step


class EventCamera:
    """An array of event pixels that converts a sequence of images to events.

    Between two images, the log intensity L of a pixel is interpolated linearly. A pixel triggers an
    event as soon as L differs from its reference R by its threshold θ: ON for L = R + θ, OFF for
    L = R - θ. It then ignores changes for the refractory period, and the L at the end of this
    period becomes its new R. So a pixel whose L changes by s per second triggers an event every
    θ/abs(s) seconds plus the refractory period, and several per step if the change is fast. Noise
    events also start a refractory period and reset the reference.
    """

    def __init__(
        self,
        config: CameraConfig,
        intensity: np.ndarray,
        *,
        start_us: int,
        rng: np.random.Generator,
    ) -> None:
        """Create the pixels; the first image gives their references.

        Args:
            config: parameters of the pixels.
            intensity: first image, float [H, W], at least 0.
            start_us: time of the image.
            rng: source of mismatch, hot pixels and background activity.
        """
        pixels = intensity.size
        self._rng = rng
        self._width_px = intensity.shape[1]
        self._refractory_us = config.refractory_us
        mismatched = rng.normal(config.threshold, config.mismatch, (2, pixels)).astype(np.float32)
        # [OFF | ON, pixel]
        self._thresholds = np.maximum(mismatched, SMALLEST_THRESHOLD * config.threshold)
        noise_hz = np.where(
            rng.random(pixels) < config.hot_fraction, config.hot_hz, config.noise_hz
        )
        self._cumulative_noise_hz = np.cumsum(noise_hz)
        self._level = _log_intensity(intensity)
        self._now_us = start_us
        self._reference = self._level.copy()  # NaN during the refractory period
        self._ready_us = np.full(pixels, float(start_us))  # end of the last refractory period
        self._refractory = np.empty(0, np.intp)  # the pixels in their refractory period

    def advance(self, intensity: np.ndarray, now_us: int) -> np.ndarray:
        """Process the next image.

        Args:
            intensity: the image, float [H, W], at least 0.
            now_us: time of the image, later than that of the previous one.

        Returns:
            The events since the previous image, ``EVENT_DTYPE``, sorted by time.
        """
        level = _log_intensity(intensity)
        self._end_refractory(level, now_us)
        changes = self._changes(level, now_us)
        self._start_refractory(changes)
        noise = self._noise(now_us)
        self._start_refractory(noise)
        self._end_refractory(level, now_us)
        self._level, self._now_us = level, now_us
        return self._events(_Bursts(*map(np.concatenate, zip(changes, noise, strict=True))))

    def _changes(self, level: np.ndarray, now_us: int) -> _Bursts:
        """Return the events caused by the change from ``self._level`` to ``level``."""
        change = level - self._reference
        pixel = np.flatnonzero((change >= self._thresholds[1]) | (-change >= self._thresholds[0]))
        polarity = change[pixel] > 0
        sign = np.where(polarity, 1.0, -1.0)
        threshold = self._thresholds[polarity.astype(np.intp), pixel]
        before = self._level[pixel]
        # Rounding or a late noise event may leave a pixel beyond its threshold without any change
        # in this direction; the lower limit of the slope makes it trigger once.
        slope = np.maximum(sign * (level[pixel] - before), SMALLEST_CHANGE) / (
            now_us - self._now_us
        )
        wait_us = (threshold - sign * (before - self._reference[pixel])) / slope
        first_us = self._now_us + np.clip(wait_us, 0.0, now_us - self._now_us)
        period_us = threshold / slope + self._refractory_us
        number = 1 + ((now_us - first_us) // period_us).astype(np.intp)
        return _Bursts(pixel, polarity, first_us, period_us, number)

    def _noise(self, now_us: int) -> _Bursts:
        """Return the noise events of a step: at most one per pixel, outside refractory periods."""
        total_hz = self._cumulative_noise_hz[-1]
        n = self._rng.poisson(total_hz * (now_us - self._now_us) / 1e6)
        pixel = np.searchsorted(
            self._cumulative_noise_hz, self._rng.uniform(0, total_hz, n), side="right"
        )
        time_us = self._rng.uniform(self._now_us, now_us, n)
        polarity = self._rng.random(n) < 0.5
        pixel, index = np.unique(pixel, return_index=True)
        sees = time_us[index] >= self._ready_us[pixel]
        pixel, index = pixel[sees], index[sees]
        ones = np.ones(len(pixel), np.intp)
        return _Bursts(pixel, polarity[index], time_us[index], ones.astype(float), ones)

    def _start_refractory(self, bursts: _Bursts) -> None:
        """Start the refractory period of the pixels at their last event."""
        last_us = bursts.first_us + (bursts.number - 1) * bursts.period_us
        self._ready_us[bursts.pixel] = last_us + self._refractory_us
        self._reference[bursts.pixel] = np.nan
        self._refractory = np.concatenate([self._refractory, bursts.pixel])

    def _end_refractory(self, level: np.ndarray, now_us: int) -> None:
        """Set the new reference of the pixels whose refractory period ends in this step."""
        ready_us = self._ready_us[self._refractory]
        over = ready_us <= now_us
        pixel, before = self._refractory[over], self._level[self._refractory[over]]
        part = (ready_us[over] - self._now_us) / (now_us - self._now_us)
        self._reference[pixel] = before + part * (level[pixel] - before)
        self._refractory = self._refractory[~over]

    def _events(self, bursts: _Bursts) -> np.ndarray:
        """Expand the bursts to single events, sorted by time."""
        burst = np.repeat(np.arange(len(bursts.number)), bursts.number)
        place = np.arange(len(burst)) - (np.cumsum(bursts.number) - bursts.number)[burst]
        time_us = (bursts.first_us[burst] + place * bursts.period_us[burst]).astype(np.int64)
        order = np.argsort(time_us, kind="stable")
        burst = burst[order]
        y, x = np.divmod(bursts.pixel[burst], self._width_px)
        return pack_events(time_us[order], x, y, bursts.polarity[burst])


class _Bursts(NamedTuple):
    """Equidistant events of the same polarity in one step, one entry per pixel."""

    pixel: np.ndarray  # index into the flattened image
    polarity: np.ndarray  # True is ON
    first_us: np.ndarray  # not rounded to whole µs
    period_us: np.ndarray
    number: np.ndarray  # of events


def _log_intensity(intensity: np.ndarray) -> np.ndarray:
    """Return the flattened log intensity, float32."""
    return np.log(intensity.astype(np.float32, copy=False).ravel() + np.float32(DARK_CURRENT))
