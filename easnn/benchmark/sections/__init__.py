"""The sections of the benchmark, by name."""

from easnn.benchmark.sections.data import AUGMENT, LOAD
from easnn.benchmark.sections.decode import DECODE
from easnn.benchmark.sections.detections import ASSIGNMENT, EVALUATION, NMS
from easnn.benchmark.sections.latency import LATENCY
from easnn.benchmark.sections.network import FORWARD, MEMORY, SAMPLER, STEP
from easnn.benchmark.sections.scaling import SCALING
from easnn.benchmark.sections.section import Case, Section

__all__ = ["SECTIONS", "Case", "Section"]

SECTIONS = {
    section.name: section
    for section in (
        DECODE,
        LOAD,
        AUGMENT,
        SAMPLER,
        FORWARD,
        STEP,
        MEMORY,
        ASSIGNMENT,
        NMS,
        EVALUATION,
        LATENCY,
        SCALING,
    )
}
