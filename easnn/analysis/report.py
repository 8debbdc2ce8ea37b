"""The pictures of a run and of a recording, as files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from easnn.analysis.boxes import class_label
from easnn.analysis.canvas import Picture, write_picture
from easnn.analysis.clip import clip_frame, write_clip
from easnn.analysis.curves import PICTURES, write_curves
from easnn.analysis.gallery import file_name, moment_name, spread
from easnn.analysis.observer import Observer
from easnn.analysis.sampler_sheet import sampler_sheet
from easnn.analysis.sampler_view import SamplerView
from easnn.analysis.scene import Scene, scene_of
from easnn.analysis.sheet import sample_sheet
from easnn.analysis.view import SampleView
from easnn.data import DetectionDataset, RecordingDataset
from easnn.models import EventDetector
from easnn.ops.resample import Interpolation
from easnn.representations import Measure
from easnn.utils.files import make_directory
from easnn.utils.logging import on_terminal
from easnn.utils.meters import Stopwatch

ClipFormat = Literal["gif", "mp4"]

STEP_US = 50_000
"""Time between two windows of a clip, unless said otherwise: 20 frames per second."""
RUN_CLIP_US = 5_000_000
"""Length of the clip of a run."""


@dataclass(frozen=True)
class RecordingReport:
    """What was found in a recording, and where the files are.

    Attributes:
        windows: plain values: for each window of the clip ``time_us``, its end, and ``detections``, each with
            ``class``, ``class_id``, ``score``, ``x``, ``y``, ``w``, ``h`` (top-left corner and size in sensor
            pixels).
        ms_per_window: mean time for each named part of the work.
        files: the pictures.
        sampler: what the sampler did at the moments of the sheets; empty if that was not asked for, or the
            embedding has no membrane.
    """

    windows: list[dict[str, Any]]
    ms_per_window: dict[str, float]
    files: list[Path]
    sampler: list[SamplerView]


def write_run_pictures(
    run_dir: Path,
    model: EventDetector,
    dataset: DetectionDataset,
    *,
    input_hw: tuple[int, int],
    nms_iou: float,
    confidence: float = 0.3,
    interpolation: Interpolation = "linear",
    aggregation: str = "micro_sum",
    measure: Measure = "count",
    sheets: int = 6,
    clip_format: ClipFormat = "gif",
) -> list[Path]:
    """Write the pictures of a run to ``pictures/`` in its directory.

    These are the curves, sheets of labelled frames spread evenly over the dataset, and, if its frames are
    windows of recordings, a clip around the frame in its middle.

    Args:
        run_dir: directory of the run, with its ``metrics.jsonl``.
        model: the trained detector, on its device; it is put into evaluation mode.
        dataset: where the frames come from.
        input_hw: height and width of the network's input.
        nms_iou: greatest IoU of two detections of a class.
        confidence: least score of a detection that is drawn.
        interpolation: how frames are resized to the input.
        aggregation: name of the representation that the dataset's frames are in.
        measure: what an event adds to its pixel there.
        sheets: number of sheets.
        clip_format: ``gif`` or ``mp4``.

    Returns:
        The files.

    Raises:
        DataError: if a recording or ``metrics.jsonl`` cannot be read.
        OutputError: if a file cannot be written.
    """
    observer = Observer(
        model,
        input_hw=input_hw,
        confidence=confidence,
        nms_iou=nms_iou,
        interpolation=interpolation,
        aggregation=aggregation,
        measure=measure,
    )
    directory = make_directory(run_dir / PICTURES)
    files = [write_curves(run_dir)]
    for index in spread(len(dataset), sheets):
        counts, boxes, time_us, sequence = dataset.load(index)
        view = observer.observe(counts, sequence, time_us, boxes.numpy())
        files.append(_write_sheet(directory, view, dataset.class_names))
    if isinstance(dataset, RecordingDataset) and dataset.frame_spec.window_ms:
        middle = dataset.load(len(dataset) // 2)
        scene = scene_of(dataset, middle.sequence)
        first_us, last_us = scene.recording.first_us, scene.recording.last_us
        start_us = min(max(middle.time_us - RUN_CLIP_US // 2, first_us), last_us)
        end_us = min(start_us + RUN_CLIP_US, last_us + 1)
        clip = directory / f"clip_{file_name(scene.name)}.{clip_format}"
        frames = (
            clip_frame(_view(observer, scene, time_us, STEP_US), dataset.class_names)
            for time_us in scene.moments(start_us, end_us, STEP_US)
        )
        write_clip(clip, frames, fps=1e6 / STEP_US)
        files.append(clip)
    return files


def write_recording_pictures(
    directory: Path,
    observer: Observer,
    scene: Scene,
    class_names: Sequence[str],
    *,
    start_us: int,
    end_us: int,
    step_us: int = STEP_US,
    sheets: int = 4,
    clip_format: ClipFormat = "gif",
    sampler: bool = False,
) -> RecordingReport:
    """Detect objects in the sliding windows of a recording; write sheets and a clip.

    The sheets show labelled moments if there are any, else moments of the clip, spread evenly.

    Args:
        directory: where the files go.
        observer: the detector.
        scene: the recording.
        class_names: names by class.
        start_us: time a step before the end of the first window.
        end_us: time that the last window reaches, later than ``start_us``.
        step_us: time between two windows.
        sheets: number of sheets.
        clip_format: ``gif`` or ``mp4``.
        sampler: whether to write a sheet of the sampler beside each sheet.

    Raises:
        DataError: if the recording cannot be read.
        OutputError: if a file cannot be written.
    """
    make_directory(directory)
    moments = scene.moments(start_us, end_us, step_us)
    sheet_times = scene.label_times_us(start_us, moments[-1]) or moments
    chosen = [sheet_times[n] for n in spread(len(sheet_times), sheets)]
    files = [_write_sheet(directory, _view(observer, scene, time_us, 1), class_names) for time_us in chosen]
    sampled = [_sampler_view(observer, scene, time_us) for time_us in chosen if sampler]
    views = [view for view in sampled if view is not None]
    files += [_write_sampler_sheet(directory, view) for view in views]

    stopwatch = Stopwatch()
    windows: list[dict[str, Any]] = []

    def frames() -> Iterator[Picture]:
        for time_us in tqdm(moments, desc=scene.name, unit="window", disable=not on_terminal()):
            with stopwatch.measure("reading"):
                counts = scene.counts(time_us)
            with stopwatch.measure("detecting"):
                view = observer.observe(
                    counts, scene.name, time_us, scene.ground_truth(time_us, time_us - step_us)
                )
            windows.append(_record(view, class_names))
            yield clip_frame(view, class_names)

    clip = directory / f"clip_{file_name(scene.name)}.{clip_format}"
    write_clip(clip, frames(), fps=1e6 / step_us)
    ms_per_window = {part: 1000 * s / len(windows) for part, s in stopwatch.seconds.items()}
    return RecordingReport(windows, ms_per_window, [*files, clip], views)


def _view(observer: Observer, scene: Scene, time_us: int, step_us: int) -> SampleView:
    """Look at one moment of a scene, with the labels of the last ``step_us``."""
    ground_truth = scene.ground_truth(time_us, time_us - step_us)
    return observer.observe(scene.counts(time_us), scene.name, time_us, ground_truth)


def _sampler_view(observer: Observer, scene: Scene, time_us: int) -> SamplerView | None:
    bounds_us = scene.slice_bounds_us(time_us)
    return observer.observe_sampler(scene.counts(time_us), scene.name, time_us, bounds_us)


def _write_sheet(directory: Path, view: SampleView, class_names: Sequence[str]) -> Path:
    path = directory / f"sheet_{moment_name(view.sequence, view.time_us)}.png"
    write_picture(path, sample_sheet(view, class_names))
    return path


def _write_sampler_sheet(directory: Path, view: SamplerView) -> Path:
    path = directory / f"sampler_{moment_name(view.sequence, view.time_us)}.png"
    write_picture(path, sampler_sheet(view))
    return path


def _record(view: SampleView, class_names: Sequence[str]) -> dict[str, Any]:
    """Return the detections of a window as plain values."""
    return {
        "time_us": view.time_us,
        "detections": [
            {
                "class": class_label(int(class_id), class_names),
                "class_id": int(class_id),
                "score": round(score, 4),
                **{name: round(value, 2) for name, value in zip("xywh", box, strict=True)},
            }
            for class_id, score, *box in view.detections.tolist()
        ],
    }
