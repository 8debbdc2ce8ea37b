"""Events to arrays: pure functions, found by name."""

from easnn.representations.catalog import CHANNELS, REPRESENTATIONS, Representation, check_measure, represent
from easnn.representations.histogram import HISTOGRAM_CHANNELS, event_sum, stacked_histogram
from easnn.representations.options import TAU_US, Measure, RepresentationOptions
from easnn.representations.slices import Slicing, slice_bounds_us

__all__ = [
    "CHANNELS",
    "HISTOGRAM_CHANNELS",
    "REPRESENTATIONS",
    "TAU_US",
    "Measure",
    "Representation",
    "RepresentationOptions",
    "Slicing",
    "check_measure",
    "event_sum",
    "represent",
    "slice_bounds_us",
    "stacked_histogram",
]
