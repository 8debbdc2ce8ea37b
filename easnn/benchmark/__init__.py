"""How fast easnn is on this machine, as ratios to the published formulations that it replaces."""

from easnn.benchmark.machine import Ceilings, describe_machine, measure_ceilings
from easnn.benchmark.results import SectionResult, machine_text
from easnn.benchmark.runner import chosen_sections, run_section, torch_threads
from easnn.benchmark.sections import SECTIONS, Section
from easnn.benchmark.settings import PRECISIONS, SPIKE_MODES, Settings, size_text

__all__ = [
    "PRECISIONS",
    "SECTIONS",
    "SPIKE_MODES",
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
