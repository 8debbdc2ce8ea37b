"""What ``aggregation event_sum`` asks of the other keys."""

from __future__ import annotations

from easnn.exp.keys import ExperimentKeys
from easnn.utils.errors import ConfigError

NEED_EVENTS = ("window", "slicing", "tau", "downsample", "speed_aug")
"""Keys that say how frames are made from events."""


def check_event_sum(keys: ExperimentKeys) -> None:
    """Check the keys of an experiment whose frames are histograms that were made before (RVT).

    Raises:
        ConfigError: if a key would do nothing, or the embedding does not fit the number of histograms.
    """
    for name in NEED_EVENTS:
        declared = keys.declarations()[name]
        value = getattr(keys, name)
        if value != declared.default:
            raise ConfigError(
                f"`{name}` does nothing for `aggregation` event_sum, whose frames are made from histograms of "
                f"50 ms and not from events: it must be {declared.kind.text(declared.default)}, but is "
                f"{declared.kind.text(value)}."
            )
    if keys.embedding != "count" and keys.Tl != keys.Tm:
        raise ConfigError(
            f"`Tl` must be `Tm` ({keys.Tm}) for `aggregation` event_sum and the embedding "
            f"`{keys.embedding}`, whose sampling steps are the `Tl` histograms, but is {keys.Tl}."
        )
