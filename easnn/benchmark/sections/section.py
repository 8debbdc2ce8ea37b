"""What a section of the benchmark is."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from easnn.benchmark.settings import Settings
from easnn.benchmark.timing import Variant
from easnn.benchmark.titles import OPTIONAL, TITLES
from easnn.benchmark.work import Work

Quantity = Literal["time", "memory", "events"]

Cases = Generator["Case"]
"""Cases one by one; closing it removes what a section has written."""


@dataclass(frozen=True)
class Case:
    """Variants that compute the same result; the first one is what the others are compared with.

    Attributes:
        labels: what distinguishes it from the other cases of the section, by column.
        variants: one or more.
        work: least work for a sample, if it is known.
        notes: sentences below the table.
        close: called when the case has been measured.
    """

    labels: dict[str, str]
    variants: Sequence[Variant]
    work: Work | None = None
    notes: tuple[str, ...] = ()
    close: Callable[[], object] = field(default=lambda: None)


@dataclass(frozen=True)
class Section:
    """A part of the benchmark.

    Attributes:
        name: as on the command line, a key of ``TITLES``.
        cases: builds the cases of some settings one by one.
        quantity: whether time per sample is measured, or memory, or time per event.
        has_work: whether its cases know their work, so that the ceilings have to be measured.
    """

    name: str
    cases: Callable[[Settings], Cases]
    quantity: Quantity = "time"
    has_work: bool = False

    @property
    def title(self) -> str:
        """What heads its table."""
        return TITLES[self.name]

    @property
    def by_default(self) -> bool:
        """Whether it runs if no section is named."""
        return self.name not in OPTIONAL


def networks(settings: Settings) -> Iterator[tuple[str, tuple[int, int], str]]:
    """Yield every combination of model, size and spiking parts."""
    for model in settings.models:
        for hw in settings.sizes:
            for spike in settings.spikes:
                yield model, hw, spike
