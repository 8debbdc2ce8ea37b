"""Statistics of the sampler over some samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor

from easnn.analysis.views import SamplerView

NEARLY_ALL = 0.99
NEARLY_NONE = 0.001
"""Shares of active pixels from which, or up to which, the sampler counts as not working."""


@dataclass(frozen=True)
class SamplerNumbers:
    """Means over the active pixels of all samples, those with an event in the network's input.

    A pixel counts once per channel. Means are None if there are no active pixels.

    Attributes:
        samples: number of samples.
        adaptive: whether spikes end segments (``arsnn``).
        rpd: whether the residue without a spike is dropped (``write_zero``).
        segments: maximum number of segments per pixel, Ts.
        active: share of the pixels that are active.
        fires_at: share that fires in each step, newest slice first.
        samples_at: share with a written segment that ends with a spike in that step; with several
            segments these may add up to more than 1.
        never_fires: share that fires in no step.
        silent_fires: share of the inactive pixels that fires; None if there are none.
        segments_per_pixel: mean number of written segments that end with a spike.
        steps_per_segment: mean number of steps of such a segment; None if there are none.
        accumulated: mean potential A of such a segment; None if there are none.
        potential: shares of the absolute potential A: ``spike``, in segments that end with a spike;
            ``residue``, in those without a spike; ``surplus``, after segment Ts. None if there is
            no potential.
    """

    samples: int
    adaptive: bool
    rpd: bool
    segments: int
    active: float | None
    fires_at: list[float | None]
    samples_at: list[float | None]
    never_fires: float | None
    silent_fires: float | None
    segments_per_pixel: float | None
    steps_per_segment: float | None
    accumulated: float | None
    potential: dict[str, float] | None

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)

    def table(self) -> str:
        """Return the numbers as tables for a terminal."""
        steps = [
            (f"{n}, newest slice" if n == 1 else n, _percent(fires), _percent(samples))
            for n, (fires, samples) in enumerate(
                zip(self.fires_at, self.samples_at, strict=True), start=1
            )
        ]
        facts: list[tuple[str, str]] = [
            ("samples", str(self.samples)),
            ("active pixels, of all", _percent(self.active)),
            ("other pixels that fire", _percent(self.silent_fires)),
            ("never fire", _percent(self.never_fires)),
        ]
        if self.adaptive:
            shares = self.potential or dict.fromkeys(("spike", "residue", "surplus"))
            left = "dropped by RPD" if self.rpd else "written without a spike"
            facts += [
                (
                    "segments per pixel",
                    f"{_number(self.segments_per_pixel)} of at most {self.segments}",
                ),
                ("steps per segment", _number(self.steps_per_segment)),
                ("potential per segment", _number(self.accumulated)),
                ("potential written by spikes", _percent(shares["spike"])),
                (f"potential {left}", _percent(shares["residue"])),
                (f"potential after segment {self.segments}, lost", _percent(shares["surplus"])),
            ]
        headers = ["step", "fires", *(["writes a segment"] if self.adaptive else [])]
        of_steps = tabulate(
            [row[: len(headers)] for row in steps],
            headers=headers,
            colalign=("left", *["right"] * (len(headers) - 1)),
        )
        return f"{of_steps}\n\n{tabulate(facts, tablefmt='plain', disable_numparse=True)}"

    def warning(self) -> str | None:
        """Return what is wrong with the sampler and how to fix it; None if it seems to work."""
        if not self.adaptive or self.never_fires is None:
            return None
        fires_at = [share or 0.0 for share in self.fires_at]
        if self.never_fires >= 1 - NEARLY_NONE:
            empty = " With RPD (`write_zero`), the detector then sees nothing." if self.rpd else ""
            rest = ", or train without `write_zero` first" if self.rpd else ""
            return (
                f"The sampler is dead: {self.never_fires:.1%} of the active pixels never "
                f"fire.{empty} Lower `thresh`, give spikes a gradient (`spike_attach True`){rest}."
            )
        if min(fires_at) >= NEARLY_ALL:
            return (
                "The sampler chooses nothing: nearly all active pixels fire in every step. Raise "
                "`thresh`, or lower `emb_lr` if this was not so at the start of training."
            )
        if self.segments == 1 and len(fires_at) > 1 and fires_at[0] >= NEARLY_ALL:
            return (
                "The sampler only sees the newest slice: nearly all active pixels fire in the "
                "first step, and with `Ts` 1 what comes after it is lost. Raise `thresh`, or `Ts` "
                "to `T`."
            )
        return None


def sampler_numbers(views: Sequence[SamplerView]) -> SamplerNumbers:
    """Compute the statistics over all samples together.

    Args:
        views: samples of one model, at least one.
    """
    active = torch.cat([_of_channels(view) for view in views])
    traces = [view.trace for view in views]
    spikes = torch.cat([t.spikes.flatten(1) for t in traces], dim=1)
    end_step, by_spike, span, accumulated = (
        torch.cat([getattr(t, name).flatten(1) for t in traces], dim=1)
        for name in ("end_step", "by_spike", "span_steps", "accumulated")
    )
    surplus = torch.cat([t.surplus.flatten() for t in traces])
    fires = spikes.any(0)
    ended = by_spike[:, active]
    amounts = accumulated[:, active].double()
    samples_at = [(by_spike & (end_step == step)).any(0)[active] for step in range(len(spikes))]
    return SamplerNumbers(
        samples=len(views),
        adaptive=traces[0].adaptive,
        rpd=traces[0].drops_residue,
        segments=len(end_step),
        active=_mean(active),
        fires_at=[_mean(fired[active]) for fired in spikes],
        samples_at=[_mean(sampled) for sampled in samples_at],
        never_fires=_mean(~fires[active]),
        silent_fires=_mean(fires[~active]),
        segments_per_pixel=_mean(ended.sum(0)),
        steps_per_segment=_mean(span[:, active][ended]),
        accumulated=_mean(amounts[ended]),
        potential=_shares(
            spike=amounts[ended].abs().sum(),
            residue=amounts[~ended].abs().sum(),
            surplus=surplus[active].double().sum(),
        ),
    )


def _of_channels(view: SamplerView) -> Tensor:
    """Return the mask of active pixels, flattened in the order of the trace's [C,h,w]."""
    active = torch.from_numpy(view.active)
    return active.expand(view.trace.surplus.shape).flatten()


def _mean(values: Tensor) -> float | None:
    return float(values.double().mean()) if values.numel() else None


def _shares(**sums: Tensor) -> dict[str, float] | None:
    total = float(sum(sums.values()))
    return {name: float(value) / total for name, value in sums.items()} if total else None


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"
