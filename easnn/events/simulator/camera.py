"""The event camera: pixels that report steps of the logarithm of the light they receive."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from easnn.events.types import pack_events
from easnn.utils.errors import ConfigError

DARK_CURRENT = 0.02  # intensity that a pixel reports in the dark: keeps the contrast of shadows finite
SMALLEST_THRESHOLD = 0.3  # of the nominal one, however bad the mismatch
SMALLEST_CHANGE = 1e-9  # of the log intensity in a step; it makes at most one event


@dataclass(frozen=True)
class CameraConfig:
    """What the pixels of an event camera are like.

    Attributes:
        threshold: change of the natural logarithm of the intensity that makes an event; 0.15 is a contrast of
            16 %.
        mismatch: standard deviation of the thresholds over the pixels, drawn for ON and OFF separately.
        refractory_us: time for which a pixel is blind after an event.
        noise_hz: background activity: events per pixel and second without any cause.
        hot_fraction: part of the pixels that are hot: they make ``hot_hz`` such events instead.
        hot_hz: events per second of a hot pixel.
    """

    threshold: float = 0.15
    mismatch: float = 0.03
    refractory_us: int = 500
    noise_hz: float = 0.1
    hot_fraction: float = 0.0
    hot_hz: float = 50.0

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ConfigError: if one of them makes no camera.
        """
        if not 0 < self.threshold < math.inf:
            raise ConfigError(f"`threshold` must be above 0, but is {self.threshold}.")
        for name in ("mismatch", "refractory_us", "noise_hz", "hot_hz"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"`{name}` must be 0 or above, but is {getattr(self, name)}.")
        if not 0 <= self.hot_fraction <= 1:
            raise ConfigError(f"`hot_fraction` must be from 0 to 1, but is {self.hot_fraction}.")


class EventCamera:
    """A grid of event pixels that watches a sequence of images.

    Between two images, the logarithm L of the light on a pixel changes linearly. A pixel makes an event as
    soon as L differs by its threshold θ from its reference R: ON for L = R + θ, OFF for L = R − θ. Then it is
    blind for the refractory time, and takes the L at the end of it as its new R. So a pixel whose L changes
    by s per second makes an event every θ/abs(s) seconds plus the refractory time, several in one step where
    the change is fast. Background activity makes a pixel blind and renews its reference, too.
    """

    def __init__(
        self, config: CameraConfig, intensity: np.ndarray, *, start_us: int, rng: np.random.Generator
    ) -> None:
        """Start to watch: every pixel takes the first image as its reference.

        Args:
            config: the pixels.
            intensity: first image, float [H, W], at least 0.
            start_us: its time.
            rng: source of mismatch, hot pixels and background activity.
        """
        pixels = intensity.size
        self._rng = rng
        self._width_px = intensity.shape[1]
        self._refractory_us = config.refractory_us
        mismatched = rng.normal(config.threshold, config.mismatch, (2, pixels)).astype(np.float32)
        self._thresholds = np.maximum(mismatched, SMALLEST_THRESHOLD * config.threshold)  # [OFF | ON, pixel]
        noise_hz = np.where(rng.random(pixels) < config.hot_fraction, config.hot_hz, config.noise_hz)
        self._cumulative_noise_hz = np.cumsum(noise_hz)
        self._level = _log_intensity(intensity)
        self._now_us = start_us
        self._reference = self._level.copy()  # NaN while a pixel is blind
        self._ready_us = np.full(pixels, float(start_us))  # end of each pixel's latest blind time
        self._blind = np.empty(0, np.intp)  # the pixels that are blind now

    def advance(self, intensity: np.ndarray, now_us: int) -> np.ndarray:
        """Watch the light change to a next image.

        Args:
            intensity: the image, float [H, W], at least 0.
            now_us: its time, after the one before.

        Returns:
            The events since the image before, ``EVENT_DTYPE``, sorted by time.
        """
        level = _log_intensity(intensity)
        self._wake(level, now_us)
        changes = self._changes(level, now_us)
        self._fall_blind(changes)
        noise = self._noise(now_us)
        self._fall_blind(noise)
        self._wake(level, now_us)
        self._level, self._now_us = level, now_us
        return self._events(_Bursts(*map(np.concatenate, zip(changes, noise, strict=True))))

    def _changes(self, level: np.ndarray, now_us: int) -> _Bursts:
        """Return the events that the step from ``self._level`` to ``level`` makes."""
        change = level - self._reference
        pixel = np.flatnonzero((change >= self._thresholds[1]) | (-change >= self._thresholds[0]))
        polarity = change[pixel] > 0
        sign = np.where(polarity, 1.0, -1.0)
        threshold = self._thresholds[polarity.astype(np.intp), pixel]
        before = self._level[pixel]
        # Not above 0 where rounding or late noise has left a pixel beyond its threshold: that one fires once
        slope = np.maximum(sign * (level[pixel] - before), SMALLEST_CHANGE) / (now_us - self._now_us)
        wait_us = (threshold - sign * (before - self._reference[pixel])) / slope
        first_us = self._now_us + np.clip(wait_us, 0.0, now_us - self._now_us)
        period_us = threshold / slope + self._refractory_us
        number = 1 + ((now_us - first_us) // period_us).astype(np.intp)
        return _Bursts(pixel, polarity, first_us, period_us, number)

    def _noise(self, now_us: int) -> _Bursts:
        """Return the background activity of the step: at most one event per pixel, after its blind time."""
        total_hz = self._cumulative_noise_hz[-1]
        n = self._rng.poisson(total_hz * (now_us - self._now_us) / 1e6)
        pixel = np.searchsorted(self._cumulative_noise_hz, self._rng.uniform(0, total_hz, n), side="right")
        time_us = self._rng.uniform(self._now_us, now_us, n)
        polarity = self._rng.random(n) < 0.5
        pixel, index = np.unique(pixel, return_index=True)
        sees = time_us[index] >= self._ready_us[pixel]
        pixel, index = pixel[sees], index[sees]
        ones = np.ones(len(pixel), np.intp)
        return _Bursts(pixel, polarity[index], time_us[index], ones.astype(float), ones)

    def _fall_blind(self, bursts: _Bursts) -> None:
        """Make the pixels blind from their last event on."""
        last_us = bursts.first_us + (bursts.number - 1) * bursts.period_us
        self._ready_us[bursts.pixel] = last_us + self._refractory_us
        self._reference[bursts.pixel] = np.nan
        self._blind = np.concatenate([self._blind, bursts.pixel])

    def _wake(self, level: np.ndarray, now_us: int) -> None:
        """Give the pixels whose blind time ends in this step their new reference."""
        ready_us = self._ready_us[self._blind]
        over = ready_us <= now_us
        pixel, before = self._blind[over], self._level[self._blind[over]]
        part = (ready_us[over] - self._now_us) / (now_us - self._now_us)
        self._reference[pixel] = before + part * (level[pixel] - before)
        self._blind = self._blind[~over]

    def _events(self, bursts: _Bursts) -> np.ndarray:
        """Write the bursts out as single events, sorted by time."""
        burst = np.repeat(np.arange(len(bursts.number)), bursts.number)
        place = np.arange(len(burst)) - (np.cumsum(bursts.number) - bursts.number)[burst]
        time_us = (bursts.first_us[burst] + place * bursts.period_us[burst]).astype(np.int64)
        order = np.argsort(time_us, kind="stable")
        burst = burst[order]
        y, x = np.divmod(bursts.pixel[burst], self._width_px)
        return pack_events(time_us[order], x, y, bursts.polarity[burst])


class _Bursts(NamedTuple):
    """Events of equal distance and polarity of some pixels in one step, one entry per pixel."""

    pixel: np.ndarray  # index into the flattened image
    polarity: np.ndarray  # True is ON
    first_us: np.ndarray  # fractions of a microsecond matter here
    period_us: np.ndarray
    number: np.ndarray  # of events


def _log_intensity(intensity: np.ndarray) -> np.ndarray:
    """Return the flattened log intensity, float32."""
    level: np.ndarray = np.log(intensity.astype(np.float32, copy=False).ravel() + np.float32(DARK_CURRENT))
    return level
