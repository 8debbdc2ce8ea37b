"""What another value of a setting does to a run that is resumed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class OnResume:
    """What happens if a run is resumed with another value of a setting.

    Attributes:
        effect: one or two words, for tables.
        reason: why the value must not change, as the end of a sentence; empty if it may.
    """

    effect: str
    reason: str = ""


TAKES_EFFECT = OnResume("takes effect")
"""The rest of the run follows the new value, as if it had been given from the start."""

HARMLESS = OnResume("harmless")
"""Weights and scores are the same with every value."""


def refused(reason: str) -> OnResume:
    """Return the declaration of a value that must not change.

    Args:
        reason: completes "It must not change when a run is resumed, because …".
    """
    return OnResume("refused", reason)
