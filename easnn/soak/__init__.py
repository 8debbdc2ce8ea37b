"""The endurance test: kills trainings at random moments and compares what comes out."""

from easnn.soak.differences import differences
from easnn.soak.plan import KINDS, Kill, Kind, draw_kills
from easnn.soak.report import SoakReport
from easnn.soak.run import Soak
from easnn.soak.training import Program

__all__ = [
    "KINDS",
    "Kill",
    "Kind",
    "Program",
    "Soak",
    "SoakReport",
    "differences",
    "draw_kills",
]
