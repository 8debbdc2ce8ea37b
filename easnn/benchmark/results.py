"""What was measured, as tables and as plain values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any

from tabulate import tabulate

from easnn.benchmark.machine import Ceilings
from easnn.benchmark.sections.section import Quantity, Section
from easnn.benchmark.timing import Spread

MS, GIGA, MEGA = 1e3, 1e-9, 1e-6

UNITS: Mapping[Quantity, str] = MappingProxyType(
    {"time": "seconds per sample", "memory": "bytes", "events": "seconds per event"}
)


@dataclass(frozen=True)
class Reached:
    """Work for a sample, and the share of the machine's ceilings that a variant reaches.

    Attributes:
        operations: multiplications and additions of convolutions.
        bytes: bytes that have to pass the memory.
        of_convolution: share of the operations per second of a convolution.
        of_copy: share of the bytes per second of a copy.
    """

    operations: float
    bytes: float
    of_convolution: float
    of_copy: float


@dataclass(frozen=True)
class VariantResult:
    """A row.

    Attributes:
        name: name of the variant.
        values: seconds per sample, or bytes, of each round.
        ratio: how many times less it needs than the first variant of its case.
        reached: its work and speed; None if the work is not known.
    """

    name: str
    values: tuple[float, ...]
    ratio: Spread
    reached: Reached | None = None

    @property
    def value(self) -> Spread:
        """Seconds per sample, or bytes."""
        return Spread.of(self.values)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "name": self.name,
            **asdict(self.value),
            "values": list(self.values),
            "ratio": asdict(self.ratio),
            "reached": None if self.reached is None else asdict(self.reached),
        }


@dataclass(frozen=True)
class CaseResult:
    """The rows of variants that compute the same; the attributes are those of a ``Case``."""

    labels: dict[str, str]
    variants: tuple[VariantResult, ...]
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "labels": self.labels,
            "variants": [variant.to_dict() for variant in self.variants],
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class SectionResult:
    """A table."""

    section: Section
    cases: tuple[CaseResult, ...]

    def table(self) -> str:
        """Return title, rows and notes."""
        rows = [row for case in self.cases for row in self._rows(case)]
        table = tabulate(
            rows, headers="keys", disable_numparse=True, colalign=self._alignment(rows)
        )
        notes = dict.fromkeys(note for case in self.cases for note in case.notes)
        return "\n".join((f"{self.section.title} ({self.section.name})", "", table, *notes))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {
            "section": self.section.name,
            "title": self.section.title,
            "unit": UNITS[self.section.quantity],
            "cases": [case.to_dict() for case in self.cases],
        }

    def _rows(self, case: CaseResult) -> list[dict[str, str]]:
        """Return the rows of a case; its labels are in the first one only."""
        rows = []
        for position, variant in enumerate(case.variants):
            labels = {name: "" if position else text for name, text in case.labels.items()}
            rows.append({**labels, "variant": variant.name, **self._numbers(variant)})
        return rows

    def _numbers(self, variant: VariantResult) -> dict[str, str]:
        low, high = variant.ratio.low, variant.ratio.high
        ratio = {"ratio": f"×{variant.ratio.median:.2f} ({low:.2f}–{high:.2f})"}
        if self.section.quantity == "memory":
            return {"MB": f"{variant.value.median * MEGA:.0f}", **ratio}
        value = variant.value
        if self.section.quantity == "events":
            median, most, least = (MEGA / each for each in (value.median, value.low, value.high))
            return {"Mevents/s": f"{_short(median)} ({_short(least)}–{_short(most)})", **ratio}
        numbers = {
            "ms/sample": f"{_short(value.median * MS)} "
            f"({_short(value.low * MS)}–{_short(value.high * MS)})",
            "samples/s": _short(1 / value.median),
            **ratio,
        }
        if variant.reached is not None:
            numbers |= {
                "GFLOP": f"{variant.reached.operations * GIGA:.2f}",
                "of conv.": f"{variant.reached.of_convolution:.1%}",
                "GB": f"{variant.reached.bytes * GIGA:.3f}",
                "of copy": f"{variant.reached.of_copy:.1%}",
            }
        return numbers

    def _alignment(self, rows: Sequence[dict[str, str]]) -> list[str]:
        texts = len(self.cases[0].labels) + 1 if self.cases else 0
        columns = max((len(row) for row in rows), default=0)
        return ["left" if column < texts else "right" for column in range(columns)]


def machine_text(machine: dict[str, Any], ceilings: Ceilings | None) -> str:
    """Return processor, threads, versions and ceilings as lines."""
    versions = ", ".join(f"{name} {text}" for name, text in machine["versions"].items() if text)
    lines = [
        f"{machine['processor'] or machine['architecture']}, {machine['cores']} of "
        f"{machine['cores_of_machine']} cores, {machine['capability']}, "
        f"threads: {machine['threads']}",
        versions,
    ]
    if ceilings is not None:
        lines.append(
            f"Ceilings: convolution {ceilings.fp32_flops * GIGA:,.0f} GFLOP/s in float32, "
            f"{ceilings.bf16_flops * GIGA:,.0f} in bf16; copy "
            f"{ceilings.copy_bytes_per_s * GIGA:.1f} GB/s"
        )
    return "\n".join(lines)


def _short(number: float) -> str:
    """Return a number with three significant digits, at least all those before the point."""
    if number >= 100:
        return f"{number:,.0f}"
    return f"{number:.1f}" if number >= 10 else f"{number:.3g}"
