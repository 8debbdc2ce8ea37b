"""What there is in a recording, found by reading all of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from easnn.events import StoredRecording

EVENTS_AT_ONCE = 250_000
LONG_AGO_US = np.iinfo(np.int64).min // 2


@dataclass(frozen=True)
class Contents:
    """What there is in a recording.

    Attributes:
        events: number of events.
        duration_us: time from the first event to the last.
        digest: the same for the same events.
        silence_us: for each label, the time since the last event before it, [L].
        histograms: number of histograms, if the events were made into such.
        late_events: number of events that come after one that is later than them.
    """

    events: int
    duration_us: int
    digest: str
    silence_us: npt.NDArray[np.int64]
    histograms: int = 0
    late_events: int = 0


def walk_events(recording: StoredRecording, label_times_us: np.ndarray) -> Contents:
    """Read all events of a recording whose labels have the times ``label_times_us`` [L].

    Raises:
        DataError: if they cannot be read.
    """
    digest = hashlib.sha256()
    last_event_us = np.full(len(label_times_us), LONG_AGO_US)
    parts = len(recording) // EVENTS_AT_ONCE + 1
    step_us = (recording.last_us - recording.first_us) // parts + 1
    for part in range(parts):
        start_us = recording.first_us + part * step_us
        events = recording.window(start_us, start_us + step_us)
        digest.update(events.tobytes())
        before = np.searchsorted(events["t_us"], label_times_us)
        last_event_us[before > 0] = events["t_us"][before[before > 0] - 1]
    return Contents(
        events=len(recording),
        duration_us=recording.last_us - recording.first_us,
        digest=digest.hexdigest(),
        silence_us=label_times_us - last_event_us,
        late_events=recording.late_events(),
    )
