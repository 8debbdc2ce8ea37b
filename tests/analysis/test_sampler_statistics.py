from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from small_parts import sampler_view

from easnn.analysis import SamplerView, sampler_numbers


def firing(*steps: bool, segments: int = 1, rpd: bool = True) -> SamplerView:
    """Return a view in which all pixels fire in some steps and in no other."""
    view = sampler_view(rpd=rpd)
    spikes = torch.tensor(steps).view(-1, 1, 1, 1).expand(len(steps), 1, 1, 5)
    first = steps.index(True) if any(steps) else len(steps) - 1
    trace = replace(
        view.trace,
        spikes=spikes,
        end_step=torch.full((segments, 1, 1, 5), first),
        by_spike=torch.full((segments, 1, 1, 5), any(steps)),
        span_steps=torch.ones(segments, 1, 1, 5, dtype=torch.long),
        accumulated=torch.ones(segments, 1, 1, 5),
        value=torch.ones(segments, 1, 1, 5),
    )
    return replace(view, trace=trace)


def test_hand_counted_numbers() -> None:
    numbers = sampler_numbers([sampler_view()])
    assert (numbers.samples, numbers.segments, numbers.adaptive, numbers.rpd) == (1, 1, True, True)
    assert numbers.active == pytest.approx(4 / 5)
    assert numbers.fires_at == [0.25, 0.25, 0.25]
    assert numbers.samples_at == [0.25, 0.25, 0.25]
    assert numbers.never_fires == 0.25
    assert numbers.silent_fires == 1.0
    assert numbers.segments_per_pixel == 0.75
    assert numbers.steps_per_segment == 2.0
    assert numbers.accumulated == pytest.approx((6 + 2 - 1) / 3)
    assert numbers.potential == {"spike": 9 / 16, "residue": 4 / 16, "surplus": 3 / 16}
    assert numbers.warning() is None


def test_samples_are_counted_together() -> None:
    first = sampler_view()
    second = sampler_view(active=(False, False, False, True, False))
    numbers = sampler_numbers([first, second])
    assert numbers.samples == 2
    assert numbers.active == 0.5
    assert numbers.never_fires == 2 / 5
    assert numbers.silent_fires == 1.0
    assert numbers.potential == {"spike": 9 / 20, "residue": 8 / 20, "surplus": 3 / 20}


def test_each_channel_of_an_active_pixel_counts() -> None:
    view = sampler_view()
    trace = view.trace.apply(lambda values: torch.cat((values, torch.zeros_like(values)), dim=-3))
    numbers = sampler_numbers([replace(view, trace=trace)])
    assert numbers.active == pytest.approx(4 / 5)
    assert numbers.fires_at == [0.125, 0.125, 0.125]


def test_no_active_pixel_leaves_nothing_to_take_a_mean_of() -> None:
    numbers = sampler_numbers([sampler_view(active=(False,) * 5)])
    assert numbers.active == 0
    assert numbers.fires_at == [None] * 3
    assert (numbers.never_fires, numbers.segments_per_pixel, numbers.accumulated) == (
        None,
        None,
        None,
    )
    assert numbers.potential is None
    assert numbers.silent_fires == 0.8
    assert numbers.warning() is None
    assert ["never", "fire", "–"] in [line.split() for line in numbers.table().splitlines()]
    json.dumps(numbers.to_dict(), allow_nan=False)


def test_the_table_says_what_became_of_the_potential() -> None:
    assert sampler_numbers([sampler_view()]).table().splitlines() == [
        "step               fires    writes a segment",
        "---------------  -------  ------------------",
        "1, newest slice    25.0%               25.0%",
        "2                  25.0%               25.0%",
        "3                  25.0%               25.0%",
        "",
        "samples                          1",
        "active pixels, of all            80.0%",
        "other pixels that fire           100.0%",
        "never fire                       25.0%",
        "segments per pixel               0.75 of at most 1",
        "steps per segment                2.00",
        "potential per segment            2.33",
        "potential written by spikes      56.2%",
        "potential dropped by RPD         25.0%",
        "potential after segment 1, lost  18.8%",
    ]
    kept = sampler_numbers([sampler_view(rpd=False)]).table()
    assert "potential written without a spike  25.0%" in kept


def test_spikes_that_end_no_segment_are_only_counted() -> None:
    table = sampler_numbers([sampler_view(adaptive=False)]).table()
    assert table.splitlines()[0] == "step               fires"
    assert "segment" not in table


@pytest.mark.parametrize(
    ("view", "warning"),
    [
        (
            firing(False, False),
            "The sampler is dead: 100.0% of the active pixels never fire. With RPD (`write_zero`), "
            "the detector then sees nothing. Lower `thresh`, give spikes a gradient (`spike_attach "
            "True`), or train without `write_zero` first.",
        ),
        (
            firing(False, False, rpd=False),
            "The sampler is dead: 100.0% of the active pixels never fire. Lower `thresh`, give "
            "spikes a gradient (`spike_attach True`).",
        ),
        (
            firing(True, True, segments=2),
            "The sampler chooses nothing: nearly all active pixels fire in every step. Raise "
            "`thresh`, or lower `emb_lr` if this was not so at the start of training.",
        ),
        (
            firing(True, False),
            "The sampler only sees the newest slice: nearly all active pixels fire in the first "
            "step, and with `Ts` 1 what comes after it is lost. Raise `thresh`, or `Ts` to `T`.",
        ),
        (firing(True, False, segments=2), None),
        (firing(False, True), None),
        (firing(True), "The sampler chooses nothing"),
    ],
)
def test_a_sampler_that_does_nothing_useful(view: SamplerView, warning: str | None) -> None:
    found = sampler_numbers([view]).warning()
    assert found == warning or (
        found is not None and warning is not None and found.startswith(warning + ":")
    )
