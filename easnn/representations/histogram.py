"""Event histograms over pixel, polarity and time, as in RVT (Gehrig and Scaramuzza, CVPR 2023)."""

from __future__ import annotations

import numpy as np

from easnn.representations.functions import check_sensor_size, compact_integers

BINS = 10
MAX_COUNT = 10
HISTOGRAM_CHANNELS = 2 * BINS


def stacked_histogram(
    events: np.ndarray, sensor_hw: tuple[int, int], *, every_other: bool = False
) -> np.ndarray:
    """Count events per polarity, bin and pixel, at most 10: uint8 [20, H, W].

    The channel is polarity·10 + bin. The time from the first to the last event is divided into ten
    bins: an event at t is in bin ⌊10·(t − t_first)/(t_last − t_first)⌋, the last one in bin 9. If
    all events have the same time, they are in bin 0.

    Args:
        events: events (EVENT_DTYPE) inside the sensor, sorted by time; there may be none.
        sensor_hw: height H and width W of the sensor in pixels.
        every_other: whether to keep only the pixels with odd x and y, moved to (x − 1)/2 and (y −
            1)/2; the result is [20, H // 2, W // 2]. RVT halves 1Mpx histograms this way
            (``nearest-exact``).

    Raises:
        DataError: if the sensor is larger than any that exists.
    """
    check_sensor_size(sensor_hw)
    step = 2 if every_other else 1
    height, width = (side // step for side in sensor_hw)
    histogram = np.zeros((2, BINS, height * width), np.uint8)
    if len(events):
        first_us, last_us = int(events["t_us"][0]), int(events["t_us"][-1])
        if every_other:
            events = events[(events["x"] % 2 == 1) & (events["y"] % 2 == 1)]
        row = events["p"].astype(np.intp) * height + events["y"] // step
        pixel = row * width + events["x"] // step
        position = BINS * (events["t_us"] - first_us) // max(last_us - first_us, 1)
        edges = np.searchsorted(position, np.arange(BINS))
        for number, start, stop in zip(range(BINS), edges, [*edges[1:], len(events)], strict=True):
            counts = np.bincount(pixel[start:stop], minlength=2 * height * width)
            histogram[:, number] = np.minimum(counts, MAX_COUNT).reshape(2, -1)
    return histogram.reshape(HISTOGRAM_CHANNELS, height, width)


def event_sum(histograms: np.ndarray) -> np.ndarray:
    """Sum the ten bins of each polarity of histograms uint8 [S, 20, H, W].

    Returns:
        Counts [S, 2, H, W], channel 0 OFF, 1 ON: uint8 if they fit, else int16.
    """
    slices, _, height, width = histograms.shape
    bins = histograms.reshape(slices, 2, BINS, -1)
    if bins.max(initial=0) <= np.iinfo(np.uint8).max // BINS:
        sums: np.ndarray = bins.sum(axis=2, dtype=np.uint8)
    else:
        sums = compact_integers(bins.sum(axis=2, dtype=np.int64))
    return sums.reshape(slices, 2, height, width)
