"""What property tests draw: sizes, placements, boxes and events."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from easnn.events import pack_events
from easnn.ops import Placement, Warp

seeds = st.integers(0, 2**32 - 1)
"""Seeds of generators, where the numbers themselves need no search."""


def sizes_hw(largest: int) -> SearchStrategy[tuple[int, int]]:
    """Heights and widths from 1 pixel on."""
    side = st.integers(1, largest)
    return st.tuples(side, side)


def placements(largest: int) -> SearchStrategy[Placement]:
    """All placements up to a size, inside of the input, across its border and outside of it."""
    side, offset = st.integers(1, largest), st.integers(-largest, largest)
    return st.builds(Placement, side, side, offset, offset, st.booleans())


def warps(largest: int) -> SearchStrategy[Warp]:
    """Rotations by any angle and shears up to 60°, about a point in an input of this size."""
    point = st.tuples(*[st.floats(0, largest)] * 2)
    return st.builds(Warp, point, st.floats(-180, 180), st.floats(-60, 60))


@st.composite
def events(
    draw: st.DrawFn,
    *,
    sensor_hw: tuple[int, int],
    first_us: SearchStrategy[int],
    gaps_us: SearchStrategy[int],
    fewest: int = 0,
    most: int = 40,
) -> np.ndarray:
    """Events [N] (EVENT_DTYPE) in order of time; several may share a time or a pixel."""
    height, width = sensor_hw
    event = st.tuples(
        gaps_us, st.integers(0, width - 1), st.integers(0, height - 1), st.integers(0, 1)
    )
    rows = np.array(draw(st.lists(event, min_size=fewest, max_size=most)), dtype=np.int64).reshape(
        -1, 4
    )
    start_us = draw(first_us)
    times_us = start_us + np.cumsum(rows[:, 0]) - rows[:1, 0].sum()
    return pack_events(times_us, *rows[:, 1:].T)
