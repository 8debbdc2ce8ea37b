"""What happens on a street, and who watches it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from easnn.simulator.config import SCENARIO_NAMES
from easnn.simulator.sprite import CAR, PEDESTRIAN

Range = tuple[float, float]


@dataclass(frozen=True)
class Scenario:
    """A kind of recordings.

    Attributes:
        speed_heights_s: slowest and fastest speed of each class, in sensor heights per second.
        restlessness: how much the camera moves, of equal probability: 0 stands, 1 pans widely.
        stops: whether objects and the camera stop and start again.
        night: share of the recordings that are at night.
        motion: whether labels say how each object moves (MOTION_FIELDS).
    """

    speed_heights_s: Mapping[int, Range] = field(
        default_factory=lambda: MappingProxyType({CAR: (0.02, 1.2), PEDESTRIAN: (0.015, 0.3)})
    )
    restlessness: tuple[float, ...] = (0.0, 0.3, 1.0)  # a fixed, a hand-held and a moving camera
    stops: bool = False
    night: float = 0.0
    motion: bool = False


STREET = Scenario()
"""Everything moves evenly."""

CROSSING = Scenario(
    speed_heights_s=MappingProxyType({CAR: (0.04, 1.2), PEDESTRIAN: (0.015, 0.45)}),
    restlessness=(0.0, 0.0, 0.0, 0.5, 1.0),
    stops=True,
    night=0.3,
    motion=True,
)
"""Cars halt, park and pull out, pedestrians wait; the camera stands or pans, by day or night."""

SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    dict(zip(SCENARIO_NAMES, (STREET, CROSSING), strict=True))
)
"""The scenarios by name."""
