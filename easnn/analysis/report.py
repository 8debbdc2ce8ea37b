"""Writing the pictures of a run or a recording to files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from easnn.analysis.canvas import Picture, write_picture
from easnn.analysis.clip import clip_frame, write_clip
from easnn.analysis.curves import write_curves
from easnn.analysis.gallery import file_name, moment_name, spread
from easnn.analysis.playback import Playback, playback_of
from easnn.analysis.sampler_drawing import sampler_sheet
from easnn.analysis.sheet import sample_sheet
from easnn.analysis.views import SamplerView, SampleView
from easnn.data import DetectionDataset, RecordingDataset
from easnn.inference import Detections, Observation, Predictor
from easnn.inference.forward import GROUP
from easnn.utils.files import make_directory, remove_unfinished
from easnn.utils.logging import on_terminal
from easnn.utils.meters import Stopwatch
from easnn.utils.options import PICTURES

ClipFormat = Literal["gif", "mp4"]

STEP_US = 50_000
"""Default time between two windows of a clip: 20 frames per second."""
RUN_CLIP_US = 5_000_000
"""Length of the clip of a run."""


@dataclass(frozen=True)
class RecordingReport:
    """Detections in a recording, and the pictures of it.

    Attributes:
        windows: for each window of the clip, as plain values: ``time_us``, its end, and
            ``detections``, each with ``class``, ``class_id``, ``score``, ``x``, ``y``, ``w``, ``h``
            (top-left corner and size in sensor pixels).
        ms_per_window: mean time of each named step.
        files: the pictures.
        sampler: views of the sampler at the times of the sheets; empty if not requested, or if the
            embedding has no membrane.
    """

    windows: list[dict[str, Any]]
    ms_per_window: dict[str, float]
    files: list[Path]
    sampler: list[SamplerView]


def write_run_pictures(
    run_dir: Path,
    predictor: Predictor,
    dataset: DetectionDataset,
    *,
    sheets: int = 6,
    clip_us: int = RUN_CLIP_US,
    clip_format: ClipFormat = "gif",
) -> list[Path]:
    """Write the pictures of a run to ``pictures/`` in its directory.

    These are the curves, sheets of labelled frames spread evenly over the dataset, and a clip
    around its middle frame if its frames are windows of recordings.

    Args:
        run_dir: directory of the run, with its ``metrics.jsonl``.
        predictor: the trained detector.
        dataset: where the frames come from.
        sheets: number of sheets.
        clip_us: length of the clip.
        clip_format: ``gif`` or ``mp4``.

    Returns:
        The files.

    Raises:
        DataError: if a recording or ``metrics.jsonl`` cannot be read.
        OutputError: if a file cannot be written.
    """
    directory = make_directory(run_dir / PICTURES)
    files = [write_curves(run_dir)]
    for index in spread(len(dataset), sheets):
        frame = dataset.load(index)
        seen = predictor.observe(frame.events)
        view = SampleView.of(
            seen, predictor.spec, frame.sequence, frame.time_us, frame.boxes.numpy()
        )
        files.append(_write_sheet(directory, view, dataset.class_names))
    if isinstance(dataset, RecordingDataset) and dataset.frame_spec.window:
        middle = dataset.load(len(dataset) // 2)
        playback = playback_of(dataset, middle.sequence)
        first_us, last_us = playback.recording.first_us, playback.recording.last_us
        start_us = min(max(middle.time_us - clip_us // 2, first_us), last_us)
        moments = playback.moments(start_us, min(start_us + clip_us, last_us + 1), STEP_US)
        views = _views(predictor, playback, moments, STEP_US, Stopwatch())
        clip = directory / f"clip_{file_name(playback.name)}.{clip_format}"
        write_clip(
            clip, (clip_frame(view, dataset.class_names) for view in views), fps=1e6 / STEP_US
        )
        files.append(clip)
    return files


def write_recording_pictures(
    directory: Path,
    predictor: Predictor,
    playback: Playback,
    *,
    start_us: int,
    end_us: int,
    step_us: int = STEP_US,
    sheets: int = 4,
    clip_format: ClipFormat = "gif",
    sampler: bool = False,
) -> RecordingReport:
    """Detect objects in the sliding windows of a recording; write sheets and a clip.

    The sheets show labelled frames if there are any, otherwise frames of the clip, spread evenly.

    Args:
        directory: output folder.
        predictor: the detector.
        playback: the recording.
        start_us: one step before the end of the first window.
        end_us: end of the last window, later than ``start_us``.
        step_us: time between two windows.
        sheets: number of sheets.
        clip_format: ``gif`` or ``mp4``.
        sampler: whether to also write a sheet of the sampler for each sheet.

    Raises:
        DataError: if the recording cannot be read.
        OutputError: if a file cannot be written.
    """
    make_directory(directory)
    remove_unfinished(directory, "sheet_*.png", "sampler_*.png", f"clip_*.{clip_format}")
    names = predictor.class_names
    moments = playback.moments(start_us, end_us, step_us)
    sheet_times = playback.label_times_us(start_us, moments[-1]) or moments
    files: list[Path] = []
    sampler_views: list[SamplerView] = []
    for time_us in (sheet_times[n] for n in spread(len(sheet_times), sheets)):
        seen = predictor.observe(playback.frame(time_us), trace=sampler)
        files.append(_write_sheet(directory, _view(seen, playback, time_us, 1), names))
        bounds_us = playback.slice_bounds_us(time_us)
        view = SamplerView.of(seen, playback.spec, playback.name, time_us, bounds_us)
        if view is not None:
            sampler_views.append(view)
    files += [_write_sampler_sheet(directory, view) for view in sampler_views]

    stopwatch = Stopwatch()
    windows: list[dict[str, Any]] = []

    def pictures() -> Iterator[Picture]:
        views = _views(predictor, playback, moments, step_us, stopwatch)
        progress = tqdm(
            views, desc=playback.name, total=len(moments), unit="window", disable=not on_terminal()
        )
        for view in progress:
            found = Detections(view.time_us, view.detections, names)
            windows.append({"time_us": view.time_us, "detections": list(found)})
            yield clip_frame(view, names)

    clip = directory / f"clip_{file_name(playback.name)}.{clip_format}"
    write_clip(clip, pictures(), fps=1e6 / step_us)
    ms_per_window = {part: 1000 * s / len(windows) for part, s in stopwatch.seconds.items()}
    return RecordingReport(windows, ms_per_window, [*files, clip], sampler_views)


def _views(
    predictor: Predictor, playback: Playback, moments: range, step_us: int, stopwatch: Stopwatch
) -> Iterator[SampleView]:
    """Yield the views of the given times, computed in groups, with the labels of the last step."""
    for first in range(0, len(moments), GROUP):
        times_us = moments[first : first + GROUP]
        with stopwatch.measure("reading"):
            frames = [playback.frame(time_us) for time_us in times_us]
        with stopwatch.measure("detecting"):
            seen = predictor.observe_all(frames)
        for time_us, observation in zip(times_us, seen, strict=True):
            yield _view(observation, playback, time_us, step_us)


def _view(seen: Observation, playback: Playback, time_us: int, step_us: int) -> SampleView:
    """Return the view of an observation, with the labels of the last ``step_us``."""
    ground_truth = playback.ground_truth(time_us, time_us - step_us)
    return SampleView.of(seen, playback.spec, playback.name, time_us, ground_truth)


def _write_sheet(directory: Path, view: SampleView, class_names: Sequence[str]) -> Path:
    path = directory / f"sheet_{moment_name(view.sequence, view.time_us)}.png"
    write_picture(path, sample_sheet(view, class_names))
    return path


def _write_sampler_sheet(directory: Path, view: SamplerView) -> Path:
    path = directory / f"sampler_{moment_name(view.sequence, view.time_us)}.png"
    write_picture(path, sampler_sheet(view))
    return path
