"""Detections in a stream: lines of JSON, datagrams, boxes and a table."""

from __future__ import annotations

import argparse
import json
import socket
import sys
import tempfile
from contextlib import ExitStack
from typing import IO, Any, TextIO

import numpy as np
from loguru import logger

from easnn.cli.arguments import check_result_file
from easnn.events import BOX_DTYPE, EventSource, RecordingSource, open_stream, write_boxes
from easnn.events.sources import address
from easnn.inference import Detections, LiveWindow, Predictor, Watcher
from easnn.utils.device import training_device
from easnn.utils.errors import ConfigError, DataError, OutputError
from easnn.utils.files import expand_home, write_json
from easnn.utils.logging import setup_logging
from easnn.utils.options import PACES
from easnn.utils.precision import mixed_precision

MAX_DATAGRAM_BYTES = 65_507
"""The most that a UDP datagram holds."""


def watch(options: argparse.Namespace) -> None:
    """Detect objects until the stream ends, or the interrupt key is hit.

    Raises:
        CheckpointError: if the checkpoint cannot be read or does not fit.
        ConfigError: if an option is wrong, or the model does not take windows of a stream.
        DataError: if the source cannot be opened, or what arrives is damaged.
        OutputError: if a file cannot be written.
    """
    setup_logging()
    for path, option in (
        (options.output, "--output"),
        (options.boxes, "--boxes"),
        (options.json, "--json"),
    ):
        check_result_file(path, option)
    live = options.pace == PACES[0]
    if options.source.startswith("udp://") and not live:
        raise ConfigError("`--pace` must be live for a UDP port, which does not wait for windows.")
    target = None if options.udp is None else _target(options.udp)
    predictor = Predictor.load(
        options.ckpt,
        confidence=options.conf,
        nms_iou=options.nms,
        fused=options.fuse,
        exp_file=options.exp_file,
        precision=mixed_precision(training_device()) if options.fp16 else None,
        runtime=options.runtime,
    )
    source = open_source(options, predictor)
    watcher = Watcher(
        predictor,
        source,
        every_ms=options.every_ms,
        max_waiting=options.max_waiting,
        drops=live,
    )
    with ExitStack() as opened:
        lines = sys.stdout
        if options.output is not None:
            try:
                lines = opened.enter_context(options.output.open("w", encoding="utf-8"))
            except OSError as error:
                raise OutputError(f"Cannot write {options.output}: {error.strerror}.") from error
        boxes = None
        if options.boxes is not None:
            boxes = opened.enter_context(tempfile.TemporaryFile())
        logger.info("Watching {}", source.name)
        try:
            for window in watcher:
                _write(window, lines, target, boxes)
        finally:
            if boxes is not None:
                boxes.seek(0)
                write_boxes(options.boxes, np.frombuffer(boxes.read(), BOX_DTYPE))
            if options.json is not None:
                write_json(options.json, watcher.report.to_dict())
            print(watcher.report.table(), file=sys.stderr if options.output is None else sys.stdout)


def open_source(options: argparse.Namespace, predictor: Predictor) -> EventSource:
    """Open what the command line names.

    Raises:
        ConfigError: if an option does not fit the source.
        DataError: if it cannot be opened.
    """
    is_stream = options.source == "-" or "://" in options.source
    for name, given in (
        ("stream", options.stream is not None),
        ("drop_invalid", options.drop_invalid),
    ):
        if is_stream and given:
            raise ConfigError(
                f"`--{name.replace('_', '-')}` is for recordings, but {options.source} is a stream."
            )
    if is_stream:
        if options.format is not None and options.sensor_size is None:
            raise ConfigError("`--format` needs `--sensor-size HxW`: without a header, no size.")
        return open_stream(
            options.source,
            encoding=None if options.format is None else options.format.upper(),
            sensor_hw=options.sensor_size,
            idle_s=options.idle_s,
        )
    for name in ("format", "idle_s"):
        if getattr(options, name) is not None:
            raise ConfigError(
                f"`--{name.replace('_', '-')}` is for streams, but {options.source} is a file."
            )
    recording = predictor.open(
        expand_home(options.source),
        options.sensor_size,
        stream=options.stream,
        drop_invalid=options.drop_invalid,
    )
    return RecordingSource(recording, real_time=options.pace == PACES[0])


class _Target:
    """Sends lines as datagrams."""

    def __init__(self, family: int, where: Any) -> None:
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._where = where
        self._told = False

    def send(self, line: dict[str, Any]) -> None:
        """Send a line; of more detections than a datagram holds, those with the best scores."""
        content = json.dumps(line).encode()
        while len(content) > MAX_DATAGRAM_BYTES:
            line = {**line, "detections": line["detections"][: len(line["detections"]) // 2]}
            content = json.dumps(line).encode()
        try:
            self._socket.sendto(content, self._where)
        except OSError as error:
            # A receiver that is not there (yet) must not end the detection.
            if not self._told:
                logger.warning("Cannot send to {}: {}", self._where, error.strerror)
            self._told = True


def _target(text: str) -> _Target:
    try:
        host, port = address(text)
        family, _, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
    except DataError as error:
        raise ConfigError(f"`--udp`: {error}") from None
    except OSError as error:
        raise ConfigError(f"`--udp`: {text} is not known: {error.strerror}.") from error
    return _Target(family, where)


def _write(
    window: LiveWindow, lines: TextIO, target: _Target | None, boxes: IO[bytes] | None
) -> None:
    line = window.to_dict()
    print(json.dumps(line), file=lines, flush=True)
    if target is not None:
        target.send(line)
    if boxes is not None:
        boxes.write(box_rows(window.detections).tobytes())


def box_rows(detections: Detections) -> np.ndarray:
    """Return detections as rows [M] of BOX_DTYPE."""
    rows = np.zeros(len(detections), BOX_DTYPE)
    rows["t_us"] = detections.time_us
    rows["class_id"] = detections.class_ids
    rows["confidence"] = detections.scores
    for name, values in zip("xywh", detections.boxes_xywh.T, strict=True):
        rows[name] = values
    return rows
