"""Clips of detections: a picture per window, written as GIF or MP4."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from pathlib import Path

import cv2
from PIL import Image

from easnn.analysis.boxes import draw_boxes, draw_outlines
from easnn.analysis.canvas import (
    MARGIN_PX,
    Picture,
    blank,
    enlargement,
    line_height,
    paste,
    resize,
    shorten,
    text_width,
    write_legend,
    write_text,
)
from easnn.analysis.frames import draw_frame, frame_caption
from easnn.analysis.palette import FAINT_INK, GROUND_TRUTH, INK, OFF, ON, PAPER
from easnn.analysis.views import SampleView
from easnn.utils.errors import OutputError
from easnn.utils.files import atomic_write, temporary_folder

SHORTEST_GIF_FRAME_MS = 20
"""Viewers replace shorter display times with much longer ones."""
LONGEST_GIF_FRAME_MS = 655_350
"""The limit of GIF, which stores hundredths of a second in 16 bits."""


def clip_frame(view: SampleView, class_names: Sequence[str]) -> Picture:
    """Draw a frame of a clip: events, detections, and ground truth boxes as white outlines.

    Args:
        view: the sample.
        class_names: names by class.

    Returns:
        A picture [H,W,3] with the recording's name, the representation and the time at the top; its
        size depends on the sensor only.
    """
    scale = enlargement(view.sensor_hw)
    panel_hw = (view.sensor_hw[0] * scale, view.sensor_hw[1] * scale)
    panel = resize(draw_frame(view.counts, view.spec), panel_hw)
    legend = [("ON", ON), ("OFF", OFF)]
    if view.ground_truth is not None:
        panel = draw_outlines(panel, view.ground_truth[:, 1:], GROUND_TRUTH, scale=scale)
        legend.append(("ground truth", GROUND_TRUTH))
    boxes = view.detections
    panel = draw_boxes(
        panel, boxes[:, 2:], boxes[:, 0], class_names, scores=boxes[:, 1], scale=scale
    )

    strip = line_height() + MARGIN_PX
    frame = blank((panel.shape[0] + 2 * strip, panel.shape[1]), PAPER)
    frame = paste(frame, panel, (strip, 0))
    time = f"{view.time_us / 1e6:.3f} s"
    time_left = frame.shape[1] - MARGIN_PX - text_width(time, bold=True)
    name = f"{view.sequence} · {frame_caption(view.spec)}"
    name = shorten(name, time_left - 2 * MARGIN_PX)
    frame = write_text(frame, name, (MARGIN_PX // 2, MARGIN_PX), FAINT_INK)
    frame = write_text(frame, time, (MARGIN_PX // 2, max(time_left, 0)), INK, bold=True)
    return write_legend(frame, legend, (strip + panel.shape[0] + MARGIN_PX // 2, MARGIN_PX))


def write_clip(path: Path, frames: Iterable[Picture], fps: float) -> None:
    """Write frames as a looping GIF or as an MP4, depending on the suffix of ``path``.

    A GIF counts time in hundredths of a second and shows each frame for at least
    :data:`SHORTEST_GIF_FRAME_MS`. It is held in memory while it is written, at one byte per pixel
    and frame; an MP4 is not.

    Args:
        path: file to write, ``.gif`` or ``.mp4``.
        frames: at least one picture [H,W,3], all of one size.
        fps: frames per second.

    Raises:
        OutputError: if the suffix is neither, the file cannot be written, or this build of OpenCV
            cannot encode MP4.
    """
    if path.suffix == ".gif":
        _write_gif(path, frames, fps)
    elif path.suffix == ".mp4":
        _write_mp4(path, frames, fps)
    else:
        raise OutputError(f"The name of a clip must end in `.gif` or `.mp4`, but is `{path.name}`.")


def _write_gif(path: Path, frames: Iterable[Picture], fps: float) -> None:
    images = (
        Image.fromarray(frame).quantize(method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        for frame in frames
    )
    duration_ms = min(max(10 * round(100 / fps), SHORTEST_GIF_FRAME_MS), LONGEST_GIF_FRAME_MS)
    with atomic_write(path) as file:
        next(images).save(
            file, format="GIF", save_all=True, append_images=images, duration=duration_ms, loop=0
        )


def _write_mp4(path: Path, frames: Iterable[Picture], fps: float) -> None:
    pictures = iter(frames)
    first = next(pictures)
    # OpenCV only writes to a file name, so the finished video is copied into place.
    with temporary_folder("easnn-clip-") as directory:
        film = directory / "clip.mp4"
        size = (first.shape[1], first.shape[0])
        writer = cv2.VideoWriter(str(film), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
        if not writer.isOpened():
            raise OutputError(
                f"Cannot write {path}: this build of OpenCV has no MP4 encoder. Write a GIF "
                "instead."
            )
        count = 0
        for picture in itertools.chain([first], pictures):
            writer.write(cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
            count += 1
        writer.release()
        _check_film(film, count, path)
        with atomic_write(path) as file:
            file.write(film.read_bytes())


def _check_film(film: Path, frames: int, target: Path) -> None:
    """Check that a video has all its frames: OpenCV does not say that a disk is full.

    Args:
        film: the video, in a temporary folder.
        frames: how many it must have.
        target: where it is to be, for the message.

    Raises:
        OutputError: if it does not.
    """
    reader = cv2.VideoCapture(str(film))
    found = max(0, int(reader.get(cv2.CAP_PROP_FRAME_COUNT)))  # below 0 if it is no video
    reader.release()
    if found != frames:
        raise OutputError(
            f"Cannot write {target}: only {found} of {frames} frames fit into {film.parent}, so "
            "its disk is probably full. Set TMPDIR to a folder with more space."
        )
