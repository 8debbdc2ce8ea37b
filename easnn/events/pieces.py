"""A whole recording, piece by piece."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from easnn.events.types import Recording

PIECE_EVENTS = 1_000_000


def event_pieces(recording: Recording) -> Iterator[np.ndarray]:
    """Yield all events of a recording in order, about PIECE_EVENTS at a time if they come evenly.

    Each piece is an array of EVENT_DTYPE and lasts equally long; one may be empty.

    Raises:
        DataError: if an event lies outside the sensor.
    """
    count = math.ceil(len(recording) / PIECE_EVENTS)
    duration_us = recording.last_us + 1 - recording.first_us
    bounds = [recording.first_us + duration_us * number // count for number in range(count + 1)]
    for start_us, end_us in pairwise(bounds):
        yield recording.window(start_us, end_us)
