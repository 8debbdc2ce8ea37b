"""Events to arrays: pure functions, found by name."""

from easnn.representations.catalog import REPRESENTATIONS, Representation, represent
from easnn.representations.slices import Slicing, slice_bounds_us

__all__ = ["REPRESENTATIONS", "Representation", "Slicing", "represent", "slice_bounds_us"]
