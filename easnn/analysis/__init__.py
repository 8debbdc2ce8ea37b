"""Visualization and analysis: pictures, clips and curves; operations, energy and model size."""

from __future__ import annotations

from typing import TYPE_CHECKING

from easnn.utils.lazy import lazy_names
from easnn.utils.options import CLIP_FORMATS

if TYPE_CHECKING:
    from easnn.analysis.binary import SlotConv2d, binary_slots
    from easnn.analysis.boxes import draw_boxes, draw_outlines
    from easnn.analysis.canvas import Picture, write_picture
    from easnn.analysis.clip import clip_frame, write_clip
    from easnn.analysis.curves import write_curves
    from easnn.analysis.energy import EnergyReport, energy_tables, measure_energy
    from easnn.analysis.frames import draw_embedding, draw_events, draw_frame
    from easnn.analysis.gallery import Gallery, draw_gallery, evaluation_pictures
    from easnn.analysis.memory_audit import MemoryAudit, audit_memory
    from easnn.analysis.playback import Playback, open_playback, playback_of
    from easnn.analysis.report import RecordingReport, write_recording_pictures, write_run_pictures
    from easnn.analysis.sampler_drawing import sampler_sheet
    from easnn.analysis.sampler_statistics import SamplerNumbers, sampler_numbers
    from easnn.analysis.sheet import sample_sheet
    from easnn.analysis.strata import write_strata
    from easnn.analysis.summary import ModelSummary, size_line, summarize
    from easnn.analysis.views import SamplerView, SampleView

__all__ = [
    "CLIP_FORMATS",
    "EnergyReport",
    "Gallery",
    "MemoryAudit",
    "ModelSummary",
    "Picture",
    "Playback",
    "RecordingReport",
    "SampleView",
    "SamplerNumbers",
    "SamplerView",
    "SlotConv2d",
    "audit_memory",
    "binary_slots",
    "clip_frame",
    "draw_boxes",
    "draw_embedding",
    "draw_events",
    "draw_frame",
    "draw_gallery",
    "draw_outlines",
    "energy_tables",
    "evaluation_pictures",
    "measure_energy",
    "open_playback",
    "playback_of",
    "sample_sheet",
    "sampler_numbers",
    "sampler_sheet",
    "size_line",
    "summarize",
    "write_clip",
    "write_curves",
    "write_picture",
    "write_recording_pictures",
    "write_run_pictures",
    "write_strata",
]

__getattr__ = lazy_names(
    __name__,
    {
        "binary": "SlotConv2d binary_slots",
        "boxes": "draw_boxes draw_outlines",
        "canvas": "Picture write_picture",
        "clip": "clip_frame write_clip",
        "curves": "write_curves",
        "energy": "EnergyReport energy_tables measure_energy",
        "frames": "draw_embedding draw_events draw_frame",
        "gallery": "Gallery draw_gallery evaluation_pictures",
        "memory_audit": "MemoryAudit audit_memory",
        "playback": "Playback open_playback playback_of",
        "report": "RecordingReport write_recording_pictures write_run_pictures",
        "sampler_statistics": "SamplerNumbers sampler_numbers",
        "sampler_drawing": "sampler_sheet",
        "sheet": "sample_sheet",
        "strata": "write_strata",
        "summary": "ModelSummary size_line summarize",
        "views": "SamplerView SampleView",
    },
)
"""Pictures need matplotlib, Pillow and OpenCV, which take half a second to import."""
