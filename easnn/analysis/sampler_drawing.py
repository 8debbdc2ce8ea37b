"""A sheet that shows what the sampler does with one sample."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from easnn.analysis.canvas import Picture, enlargement, resize
from easnn.analysis.frames import draw_embedding, draw_frame, written_share
from easnn.analysis.grid import Group, Panel, panel_grid
from easnn.analysis.maps import draw_signed, draw_spikes, draw_steps, full_strength
from easnn.analysis.palette import NEGATIVE, OFF, ON, POSITIVE, Colour, step_colours
from easnn.analysis.views import SamplerView

PANEL_WIDTH_PX = 320
FEWEST_COLUMNS, MOST_COLUMNS = 4, 6
FINE_MS = 10.0
"""Slices shorter than this have times with one decimal."""


def sampler_sheet(view: SamplerView) -> Picture:
    """Draw what the sampler does with a sample.

    The sheet shows the events of each slice and the spikes in each step. If spikes end segments, it
    also shows the step at which each pixel sampled, the potential accumulated until then, and the
    residue without a spike. The output of the embedding comes last.

    Returns:
        The sheet [H,W,3].
    """
    steps = view.steps
    rows = math.ceil(steps / MOST_COLUMNS)
    columns = max(FEWEST_COLUMNS, math.ceil(steps / rows))
    hw = panel_hw((view.counts.shape[-2], view.counts.shape[-1]))
    title = f"Sampler · {view.sequence} · {view.time_us / 1e6:.3f} s"
    return panel_grid(title, list(_groups(view, hw)), columns, _legend(view))


def panel_hw(sensor_hw: tuple[int, int]) -> tuple[int, int]:
    """Return the panel size: near :data:`PANEL_WIDTH_PX`, an integer multiple or fraction of it."""
    scale = enlargement(sensor_hw, PANEL_WIDTH_PX)
    part = max(1, sensor_hw[1] // PANEL_WIDTH_PX)
    return max(1, sensor_hw[0] * scale // part), max(1, sensor_hw[1] * scale // part)


def _groups(view: SamplerView, hw: tuple[int, int]) -> Iterator[Group]:
    yield from _steps(view, hw)
    if view.trace.adaptive:
        yield from _segments(view, hw)
        yield _residue(view, hw)
    yield Group(
        "Output of the embedding",
        [
            Panel(
                _of(n, len(view.output), f"{written_share(segment):.1%} of the pixels"),
                resize(draw_embedding(segment), hw),
            )
            for n, segment in enumerate(view.output)
        ],
    )


def _steps(view: SamplerView, hw: tuple[int, int]) -> Iterator[Group]:
    """Yield the events and the spikes of each step."""
    names = [f"Step {n}" for n in range(1, view.steps + 1)]
    colours = step_colours(view.steps)
    slices = view.counts.reshape(-1, *view.counts.shape[-3:])[::-1]
    yield Group(
        "Events in each step, newest slice first",
        [
            Panel(f"{name} · {when}", resize(draw_frame(events, view.spec), hw), colour)
            for name, when, events, colour in zip(names, _times(view), slices, colours, strict=True)
        ],
    )
    yield Group(
        "Spikes in each step",
        [
            Panel(
                f"{name} · {fired.mean():.1%} of the pixels", resize(draw_spikes(fired), hw), colour
            )
            for name, fired, colour in zip(names, view.trace.spikes.numpy(), colours, strict=True)
        ],
    )


def _segments(view: SamplerView, hw: tuple[int, int]) -> Iterator[Group]:
    """Yield the sampling step and the accumulated potential of each segment, by channel."""
    trace = view.trace
    by_spike = trace.by_spike.numpy()
    steps = np.where(by_spike, trace.end_step.numpy(), -1)
    accumulated = np.where(by_spike, trace.accumulated.numpy(), 0)
    full = full_strength(accumulated)
    for n, step in enumerate(steps):
        yield Group(
            _of(n, len(steps), "When each pixel sampled"),
            [
                Panel(
                    f"Channel {c} · {(of_channel >= 0).mean():.1%} of the pixels",
                    resize(draw_steps(of_channel, view.steps), hw),
                )
                for c, of_channel in enumerate(step)
            ],
        )
        yield _signed(
            _of(n, len(steps), "Potential accumulated until then"), accumulated[n], full, hw
        )


def _residue(view: SamplerView, hw: tuple[int, int]) -> Group:
    """Return the residue without a spike, of which a pixel has at most one, in any segment."""
    trace = view.trace
    residue = np.where(trace.residue.numpy(), trace.value.numpy(), 0).sum(axis=0)
    fate = "dropped (RPD)" if trace.drops_residue else "written after the last step"
    return _signed(f"Left without a spike and {fate}", residue, full_strength(residue), hw)


def _signed(title: str, values: npt.NDArray[Any], full: float, hw: tuple[int, int]) -> Group:
    """Return signed values [C,H,W] by channel, at full strength from a magnitude of ``full``."""
    scale = f"full colour at ±{full:.3g}" if full else "nothing"
    return Group(
        title,
        [
            Panel(f"Channel {c} · {scale}", resize(draw_signed(of_channel, full), hw))
            for c, of_channel in enumerate(values)
        ],
    )


def _of(n: int, segments: int, text: str) -> str:
    """Prefix ``text`` with the number of the segment, if there are several."""
    return f"Segment {n + 1} of {segments} · {text}" if segments > 1 else text


def _times(view: SamplerView) -> list[str]:
    """Return the time range of each step's slice as text, with a precision that fits its length."""
    if view.steps_ms is None:
        return ["newest", *([f"{n} before" for n in range(1, view.steps)])]
    digits = 0 if all(end - begin >= FINE_MS for begin, end in view.steps_ms) else 1
    return [f"{_ms(begin, digits)} to {_ms(end, digits)} ms" for begin, end in view.steps_ms]


def _ms(time: float, digits: int) -> str:
    rounded = round(time, digits) + 0.0  # turns −0 into 0
    return f"{rounded:.{digits}f}".replace("-", "−")


def _legend(view: SamplerView) -> list[tuple[str, Colour]]:
    channels = view.trace.spikes.shape[1]
    entries = (
        [("ON, or channel 1", ON), ("OFF, or channel 0", OFF)]
        if channels == 2
        else [("ON", ON), ("OFF", OFF)]
    )
    if not view.trace.adaptive:
        return entries
    return [*entries, ("above 0", POSITIVE), ("below 0", NEGATIVE)]
