"""Calls of the native functions for events, which are described in ``native/src/decoders.cpp``.

They compute the same as NumPy, several times faster. Where the library is not available or not
wanted (``EASNN_KERNELS=plain``), :func:`library` returns None, and callers use NumPy.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from easnn.events.dtypes import EVENT_DTYPE
from easnn.native import call, decoders

_ALLOWED = ContextVar("native functions are used", default=True)


def library() -> ctypes.CDLL | None:
    """Return the native decoders; None if they are not available or wanted, or in `numpy_only`."""
    return decoders() if _ALLOWED.get() else None


@contextmanager
def numpy_only() -> Iterator[None]:
    """Use NumPy within the block, in this thread, also for recordings that are opened in it."""
    token = _ALLOWED.set(False)
    try:
        yield
    finally:
        _ALLOWED.reset(token)


def is_packed(events: np.ndarray) -> bool:
    """Return whether native functions can read and write ``events``: EVENT_DTYPE, contiguous."""
    return events.dtype == EVENT_DTYPE and events.ndim == 1 and events.flags.carray


def restore_order(
    library: ctypes.CDLL, events: np.ndarray, *, latest_us: int, limit_us: int
) -> int | None:
    """Replace the times of packed events [N] by the running maximum, in place.

    Returns:
        How many events were late; None if one is more than ``limit_us`` late. That event and those
        after it are then unchanged.
    """
    late = call(
        library,
        "easnn_restore_order",
        address(events),
        ctypes.c_int64(len(events)),
        ctypes.c_int64(latest_us),
        ctypes.c_int64(limit_us),
    )
    return None if late < 0 else late


def are_inside(library: ctypes.CDLL, events: np.ndarray, sensor_hw: tuple[int, int]) -> bool:
    """Return whether all of the packed events [N] lie inside a sensor of this height and width."""
    sizes = map(ctypes.c_int64, (len(events), *sensor_hw))
    first = call(library, "easnn_first_outside", address(events), *sizes)
    return first == len(events)


def decode_dat(
    library: ctypes.CDLL,
    records: np.ndarray,
    events: np.ndarray,
    *,
    add_us: int,
    latest_us: int,
    limit_us: int,
    xy_bits: tuple[int, int],
) -> tuple[int, bool]:
    """Write the records [N] of a DAT file (8 bytes each, contiguous) to packed ``events`` [N].

    Args:
        library: the native decoders.
        records: counters and words.
        events: what is overwritten.
        add_us: added to the counters.
        latest_us: the least time of an event; the times are the running maximum.
        limit_us: how late an event may be.
        xy_bits: widths of x and y.

    Returns:
        The time of the last event, and whether an event is more than ``limit_us`` late.
    """
    assert len(records) == len(events)
    last_us = ctypes.c_int64(latest_us)
    is_late = call(
        library,
        "easnn_dat_decode",
        address(records),
        ctypes.c_int64(len(records)),
        ctypes.c_int64(add_us),
        ctypes.c_int64(limit_us),
        ctypes.byref(last_us),
        *map(ctypes.c_int, xy_bits),
        address(events),
    )
    return last_us.value, bool(is_late)


def decode_evt(
    library: ctypes.CDLL,
    encoding: int,
    words: np.ndarray,
    state: np.ndarray,
    events: np.ndarray,
) -> int:
    """Write the events of words [M] (contiguous) to packed ``events`` [N], as many as fit.

    Args:
        library: the native decoders.
        encoding: 2, 21 or 3.
        words: of the type that belongs to the encoding.
        state: the values of a ``DecoderState``, i8 [6]; overwritten by those after the words.
        events: what is overwritten.

    Returns:
        The number of events of the words.
    """
    return call(
        library,
        "easnn_evt_decode",
        ctypes.c_int(encoding),
        address(words),
        ctypes.c_int64(len(words)),
        address(state),
        address(events),
        ctypes.c_int64(len(events)),
    )


def survey_evt(
    library: ctypes.CDLL, encoding: int, words: np.ndarray, state: np.ndarray, latest_us: int
) -> tuple[int, ...]:
    """Count the events of words [M] without writing them; see :func:`decode_evt`.

    Returns:
        Number of events; time of the first one; the largest time, at least ``latest_us``; how many
        come after a later one; how many µs the latest of them is late.
    """
    report = np.zeros(5, np.int64)
    call(
        library,
        "easnn_evt_survey",
        ctypes.c_int(encoding),
        address(words),
        ctypes.c_int64(len(words)),
        address(state),
        ctypes.c_int64(latest_us),
        address(report),
    )
    return tuple(report.tolist())


def address(array: np.ndarray) -> ctypes.c_void_p:
    """Return a pointer to the first value of ``array``."""
    return ctypes.c_void_p(array.ctypes.data)
