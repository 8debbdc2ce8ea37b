from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from small_parts import sampler_view

from easnn.analysis import SamplerView, sampler_sheet
from easnn.analysis.palette import NEGATIVE, OFF, ON, POSITIVE, step_colours
from easnn.models import DetectorConfig, SamplerTrace, SpikeMode
from easnn.models.embedding import build_embedding
from easnn.representations import FrameSpec


def make_view(
    sensor_hw: tuple[int, int] = (24, 40),
    *,
    steps: int = 4,
    channels: int = 2,
    sequence: str = "recording",
    **changes: object,
) -> SamplerView:
    torch.manual_seed(0)
    config = DetectorConfig(embedding="arsnn", embedding_ksize=3, in_channels=channels, thresh=0.4)
    spiking = config.replace(use_spike=SpikeMode.FULL, T=changes.get("Ts", 1))
    embedding = build_embedding(spiking.replace(**changes))
    events = torch.poisson(torch.full((1, 1, steps, channels, *sensor_hw), 0.3))
    with torch.no_grad():
        trace: SamplerTrace | None = embedding.trace(events)
        output = embedding(events).flatten(0, -4)
    assert trace is not None
    return SamplerView(
        sequence=sequence,
        time_us=1_000_000,
        counts=events[0].numpy(),
        active=events.flatten(0, 3).ne(0).any(0).numpy(),
        trace=trace.apply(lambda values: values[..., 0, :, :, :]),
        output=output.numpy(),
        spec=FrameSpec(aggregation="voxel_cube" if channels == 4 else "micro_sum"),
    )


@pytest.mark.parametrize(
    ("view", "columns", "rows"),
    [
        (make_view(), 4, 4),  # events; spikes; step and potential; residue and output
        (make_view(steps=2), 4, 3),  # events and spikes
        (make_view(Ts=3), 4, 7),  # step and potential thrice; residue; output
        (make_view(steps=6), 6, 4),
        (make_view(steps=10), 5, 6),  # two rows of events, and of spikes
        (make_view(channels=1), 4, 3),  # events; spikes; step, potential, residue and output
        (make_view(channels=4), 4, 6),
        (make_view(embedding="rsnn"), 4, 3),
        (make_view(embedding="snn", steps=1), 4, 1),
    ],
)
def test_groups_fill_rows(view: SamplerView, columns: int, rows: int) -> None:
    height, width, _ = sampler_sheet(view).shape
    panel_height, panel_width = 24 * 8, 40 * 8  # 320 / 40
    assert columns * panel_width < width < (columns + 0.5) * panel_width
    per_row = (height - 80) / rows
    assert panel_height < per_row < panel_height + 80


@pytest.mark.parametrize(
    ("sensor_hw", "panel_width"),
    [((240, 304), 304), ((180, 240), 240), ((8, 8), 320), ((360, 640), 320)],
)
def test_panels_are_about_equally_wide_whatever_the_sensor(
    sensor_hw: tuple[int, int], panel_width: int
) -> None:
    view = replace(make_view(), counts=np.zeros((1, 4, 2, *sensor_hw), np.uint8))
    assert sampler_sheet(view).shape[1] == 4 * (panel_width + 16) + 16


def colours_on(sheet: np.ndarray) -> set[tuple[int, ...]]:
    return {colour for _, colour in Image.fromarray(sheet).getcolors(sheet.size)}


def test_the_sheet_shows_steps_signs_and_channels() -> None:
    seen = colours_on(sampler_sheet(make_view()))
    assert {*step_colours(4), ON, OFF, POSITIVE, NEGATIVE} <= seen


def test_only_what_a_spike_ended_has_a_step() -> None:
    # In the row of five pixels, one of 64 × 64 each: steps 0, 1, 2, none, 0; the legends are
    # patches of 13 × 13.
    sheet = sampler_sheet(sampler_view())
    areas = [(sheet == colour).all(axis=2).sum() for colour in step_colours(3)]
    assert [round(area / 64**2) for area in areas] == [2, 1, 1]


def test_what_rpd_drops_is_shown_and_not_written() -> None:
    view = sampler_view()
    kept = sampler_view(rpd=False)
    assert view.output[0, 0, 0].tolist() == [6, 2, -1, 0, 100]
    assert kept.output[0, 0, 0].tolist() == [6, 2, -1, -4, 100]
    assert NEGATIVE in colours_on(sampler_sheet(view))
    assert not np.array_equal(sampler_sheet(view), sampler_sheet(kept))


def test_times_of_the_steps() -> None:
    view = sampler_view()
    assert view.steps == 3
    assert view.steps_ms == [(-100.0, 0.0), (-200.0, -100.0), (-300.0, -200.0)]
    unknown = replace(view, slice_bounds_us=None)
    assert unknown.steps_ms is None
    assert not np.array_equal(sampler_sheet(unknown), sampler_sheet(view))


def test_a_long_name_does_not_widen_the_sheet() -> None:
    assert sampler_sheet(make_view(sequence="x" * 500)).shape == sampler_sheet(make_view()).shape
