"""How fast easnn is on this machine, as ratios to the published formulations that it replaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from easnn.utils.lazy import lazy_names

if TYPE_CHECKING:
    from easnn.benchmark.machine import Ceilings, describe_machine, measure_ceilings
    from easnn.benchmark.results import SectionResult, machine_text
    from easnn.benchmark.runner import chosen_sections, run_section, torch_threads
    from easnn.benchmark.sections import SECTIONS, Section
    from easnn.benchmark.settings import FULL, PRECISIONS, QUICK, Settings, size_text
    from easnn.benchmark.titles import OPTIONAL, TITLES

__all__ = [
    "FULL",
    "OPTIONAL",
    "PRECISIONS",
    "QUICK",
    "SECTIONS",
    "TITLES",
    "Ceilings",
    "Section",
    "SectionResult",
    "Settings",
    "chosen_sections",
    "describe_machine",
    "machine_text",
    "measure_ceilings",
    "run_section",
    "size_text",
    "torch_threads",
]

__getattr__ = lazy_names(
    __name__,
    {
        "machine": "Ceilings describe_machine measure_ceilings",
        "results": "SectionResult machine_text",
        "runner": "chosen_sections run_section torch_threads",
        "sections": "SECTIONS Section",
        "settings": "FULL PRECISIONS QUICK Settings size_text",
        "titles": "OPTIONAL TITLES",
    },
)
"""The command line needs settings and titles only, which import neither torch nor NumPy."""
