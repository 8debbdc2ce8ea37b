"""The time window of a recording that belongs to a label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from easnn.events.dtypes import copied
from easnn.events.recording import Recording


@dataclass(frozen=True)
class EventWindow:
    """The events with ``start_us <= t_us < end_us``, sorted by time (EVENT_DTYPE)."""

    events: np.ndarray
    start_us: int
    end_us: int


def label_window(
    recording: Recording, label_us: int, duration_us: int, max_steps_back: int
) -> EventWindow:
    """Return the events from which the boxes of a label are to be predicted.

    This is the window ``[label_us - duration_us, label_us)``: events at or after the label are
    never included. A sensor sends no events while nothing moves. If the window is empty, the
    window before it is used instead, and so on, at most ``max_steps_back`` times (EAS-SNN:
    Tl + 1). If all are empty, the label's own window is returned.

    The published code shifts a window that would begin before time 0 to start at 0 and reads its
    full duration, past the label. Here no window ends after its label.

    Args:
        recording: source of the events.
        label_us: time of the label.
        duration_us: length of the window; 0 returns the whole recording, whatever the label's time.
        max_steps_back: how many earlier windows may be tried.
    """
    if duration_us == 0:
        return EventWindow(recording.events(), recording.first_us, recording.last_us + 1)
    for step in range(max_steps_back + 1):
        end_us = label_us - step * duration_us
        events = recording.window(end_us - duration_us, end_us)
        if len(events):
            return EventWindow(events, end_us - duration_us, end_us)
    return EventWindow(events, label_us - duration_us, label_us)


def play_at_speed(window: EventWindow, duration_us: int) -> EventWindow:
    """Return the window stretched or compressed in time to ``duration_us``; its end stays.

    An event at d µs before the end of a window of length D moves to ⌈d · ``duration_us`` / D⌉ µs
    before the end, so the order is kept and no event leaves the window.

    Args:
        window: the events; not modified.
        duration_us: the new length.
    """
    length_us = window.end_us - window.start_us
    before_us = np.ceil((window.end_us - window.events["t_us"]) * float(duration_us) / length_us)
    events = copied(window.events)
    events["t_us"] = window.end_us - before_us.clip(1, duration_us).astype(np.int64)
    return EventWindow(events, window.end_us - duration_us, window.end_us)
