"""Experiments: keys, overrides, lookup by name or file, and builders of the parts of a run."""

from easnn.config import HARMLESS, TAKES_EFFECT, Key, key, refused
from easnn.exp.event_exp import EventExp
from easnn.exp.lookup import experiment_names, get_exp
from easnn.exp.record import NETWORK_KEYS, ExperimentRecord
from easnn.exp.reference import keys_page, keys_table

__all__ = [
    "HARMLESS",
    "NETWORK_KEYS",
    "TAKES_EFFECT",
    "EventExp",
    "ExperimentRecord",
    "Key",
    "experiment_names",
    "get_exp",
    "key",
    "keys_page",
    "keys_table",
    "refused",
]
