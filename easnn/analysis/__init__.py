"""Visualization and analysis: pictures, clips and curves; operations, energy and model size."""

from easnn.analysis.boxes import draw_boxes, draw_outlines
from easnn.analysis.canvas import Picture, write_picture
from easnn.analysis.clip import CLIP_FORMATS, clip_frame, write_clip
from easnn.analysis.curves import write_curves
from easnn.analysis.energy import EnergyReport, energy_tables, measure_energy
from easnn.analysis.frames import draw_embedding, draw_events, draw_frame
from easnn.analysis.gallery import Gallery, draw_gallery, evaluation_pictures
from easnn.analysis.playback import Playback, open_playback, playback_of
from easnn.analysis.report import RecordingReport, write_recording_pictures, write_run_pictures
from easnn.analysis.sampler_numbers import SamplerNumbers, sampler_numbers
from easnn.analysis.sampler_sheet import sampler_sheet
from easnn.analysis.sheet import sample_sheet
from easnn.analysis.summary import ModelSummary, size_line, summarize
from easnn.analysis.views import SamplerView, SampleView

__all__ = [
    "CLIP_FORMATS",
    "EnergyReport",
    "Gallery",
    "ModelSummary",
    "Picture",
    "Playback",
    "RecordingReport",
    "SampleView",
    "SamplerNumbers",
    "SamplerView",
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
]
