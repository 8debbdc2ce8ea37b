"""The predictor: from events to boxes in sensor pixels, for evaluation, pictures and demos."""

from __future__ import annotations

import math
import operator
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from typing import Self, SupportsIndex, cast

import numpy as np
import torch
from loguru import logger
from torch import Tensor, nn

from easnn.checkpoints import Checkpoint, experiment_for
from easnn.data import UNLABELLED, DetectionBatch
from easnn.events import Recording, downsample_recording, event_pieces, open_recording
from easnn.exp import EventExp
from easnn.inference.detections import Detections, LabelledFrame, Observation
from easnn.inference.forward import GROUP, FixedForm, fixed_form, regrouped
from easnn.inference.in_turn import Turn, detect_in_turn
from easnn.inference.runtimes import build_inference
from easnn.models import EventDetector, MemoryState, SamplerTrace, fuse
from easnn.models.neck import Features
from easnn.ops import (
    Interpolation,
    Placement,
    letterbox_placement,
    place_frames,
    select_detections,
    unplace_detections,
)
from easnn.representations import FrameSpec, make_frame
from easnn.utils.device import training_device
from easnn.utils.errors import ConfigError, DataError
from easnn.utils.meters import PartTimer
from easnn.utils.options import CONFIDENCE, PrecisionName, RuntimeName
from easnn.utils.precision import Precision, check_precision, usable_precision


class Predictor:
    """A detector with its preprocessing and postprocessing: from a recording to boxes.

    Its detections equal those of an evaluation bit for bit: both run the same code in batches of
    the same size (:mod:`easnn.inference.forward`). It is for inference only and keeps no state
    between calls. All times are those of the recording's own clock, in µs, as in its file. On a
    CPU, use it from one thread at a time: while it computes, torch has a single thread.

    If the network has a memory, :meth:`watch` and :meth:`detect_batches` carry its state from
    window to window. :meth:`detect` and :meth:`observe` look at windows alone, with an empty one.

    Args:
        model: the detector, on its device; it is set to evaluation mode.
        spec: defines how events form a frame.
        input_hw: height and width of the network's input in pixels.
        interpolation: interpolation for resizing frames to the input.
        confidence: minimum score of a detection.
        nms_iou: IoU threshold of the non-maximum suppression.
        class_names: class names in the order of their ids; empty if unknown.
        downsample: factor by which the resolution of recordings is reduced.
        precision: what the network computes in.
        runtime: what computes the network (docs/protocols.md). Others than ``torch`` compile it
            here, with the weights that it has now.

    Raises:
        ConfigError: if the runtime needs something that is missing, or runtime or precision do not
            fit the device.
        ValueError: if ``confidence`` or ``nms_iou`` is not between 0 and 1.
    """

    def __init__(
        self,
        model: nn.Module,
        spec: FrameSpec,
        *,
        input_hw: tuple[int, int],
        interpolation: Interpolation = "linear",
        confidence: float = CONFIDENCE,
        nms_iou: float = 0.65,
        class_names: Sequence[str] = (),
        downsample: int = 1,
        precision: PrecisionName = "exact",
        runtime: RuntimeName = "torch",
    ) -> None:
        for name, value in (("confidence", confidence), ("nms_iou", nms_iou)):
            if not 0 <= value <= 1:
                raise ValueError(f"`{name}` must be between 0 and 1, but is {value}.")
        self.model = cast(EventDetector, model.eval())
        self.spec = spec
        self.input_hw = input_hw
        self.interpolation: Interpolation = interpolation
        self.confidence = confidence
        self.nms_iou = nms_iou
        self.class_names = tuple(class_names)
        self.downsample = downsample
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.runtime: RuntimeName = runtime
        self.precision: PrecisionName = precision
        check_precision(precision, self.device)
        frame_shape = (*spec.slices, spec.channels, *input_hw)
        self._inference = build_inference(runtime, self.model, frame_shape, self.device, precision)

    @classmethod
    def of(
        cls,
        experiment: EventExp,
        model: nn.Module,
        *,
        confidence: float | None = None,
        nms_iou: float | None = None,
        class_names: Sequence[str] | None = None,
        precision: PrecisionName | None = None,
        runtime: RuntimeName = "torch",
    ) -> Self:
        """Return a predictor for a network of an experiment.

        Args:
            experiment: defines frames and input size.
            model: the network, on its device.
            confidence: minimum score of a detection; None: ``test_conf``.
            nms_iou: IoU threshold of the non-maximum suppression; None: ``nmsthre``.
            class_names: class names in the order of their ids; None: those of the dataset.
            precision: what the network computes in; None: that of the experiment.
            runtime: what computes the network.

        Raises:
            ConfigError: if the runtime needs something that is missing, or does not fit the device.
        """
        return cls(
            model,
            experiment.frame_spec(),
            input_hw=experiment.test_size,
            interpolation=experiment.dataset_kind.interpolation,
            confidence=experiment.test_conf if confidence is None else confidence,
            nms_iou=experiment.nmsthre if nms_iou is None else nms_iou,
            class_names=experiment.class_names() if class_names is None else class_names,
            downsample=experiment.downsample,
            precision=experiment.precision if precision is None else precision,
            runtime=runtime,
        )

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        confidence: float = CONFIDENCE,
        nms_iou: float | None = None,
        device: torch.device | str | None = None,
        fused: bool = False,
        exp_file: str | Path | None = None,
        precision: PrecisionName | None = None,
        runtime: RuntimeName = "torch",
    ) -> Self:
        """Load a predictor from a checkpoint, which contains its experiment.

        Args:
            path: a checkpoint of a training run, such as ``best_ckpt.pth``.
            confidence: minimum score of a detection.
            nms_iou: IoU threshold of the non-maximum suppression; None: that of the experiment.
            device: device to run on; None: a GPU if available.
            fused: whether to fold each batch norm into the preceding convolution: faster, and equal
                up to rounding.
            exp_file: the experiment file of the training; needed if it defines more than keys.
            precision: what the network computes in; None: as in its training, if this device can,
                else ``exact``.
            runtime: what computes the network.

        Raises:
            CheckpointError: if the checkpoint cannot be read, or needs its experiment file.
            ConfigError: if the experiment file is wrong, the runtime needs something that is
                missing, or it does not fit the device.
        """
        checkpoint = Checkpoint(Path(path).expanduser())
        experiment = (
            checkpoint.experiment()
            if exp_file is None
            else experiment_for(checkpoint, exp_file=exp_file)
        )
        device = training_device() if device is None else torch.device(device)
        model = checkpoint.build_model(experiment, device)
        return cls.of(
            experiment,
            fuse(model) if fused else model,
            confidence=confidence,
            nms_iou=nms_iou,
            class_names=checkpoint.class_names(experiment),
            precision=(
                usable_precision(experiment.precision, device) if precision is None else precision
            ),
            runtime=runtime,
        )

    def open(
        self,
        path: str | Path,
        sensor_hw: tuple[int, int] | None = None,
        *,
        stream: int | None = None,
        drop_invalid: bool = False,
    ) -> Recording:
        """Open a recording of any format and determine its sensor size.

        Args:
            path: the file.
            sensor_hw: height and width of the sensor in pixels; None: as stored in the file, or
                else the smallest size that contains all events.
            stream: number of the stream of events to read from an AEDAT4 file; needed if it has
                several.
            drop_invalid: whether to drop single events outside of the sensor, whose size must be
                given or stored, instead of raising an error.

        Raises:
            DataError: if the file cannot be read, or an event lies outside the sensor.
        """
        path = Path(path).expanduser()
        recording = open_recording(
            path, sensor_hw=sensor_hw, stream=stream, drop_invalid=drop_invalid
        )
        if recording.sensor_hw is not None:
            return recording
        return open_recording(path, sensor_hw=_extent_hw(recording), stream=stream)

    def detect(self, recording: Recording | str | Path, time_us: int) -> Detections:
        """Detect objects at one time of a recording, with an empty memory.

        Args:
            recording: a recording at sensor resolution, or its file, which is opened for this call.
            time_us: end of the window of events on the recording's clock. If a frame is the whole
                recording (``window`` 0), its end is used instead.

        Raises:
            ConfigError: if the network's frames cannot be made from events (RVT's histograms).
            DataError: if the recording cannot be read, or the window lies outside of it.
            TypeError: if ``time_us`` is not an integer.
        """
        opened = self._opened(recording)
        time_us = self._moment(opened, _whole("time_us", time_us))
        [detections], _ = self._detect_all(opened, [time_us], None)
        return detections

    def watch(
        self,
        recording: Recording | str | Path,
        *,
        every_ms: float = 50,
        start_us: int | None = None,
        end_us: int | None = None,
    ) -> Iterator[Detections]:
        """Detect objects in sliding windows of a recording, as fast as possible.

        Windows are independent of each other and computed in small batches. A memory is carried
        from each window to the next, and is empty before the first one; ``every_ms`` should then be
        the time between the windows of its training.

        Args:
            recording: a recording at sensor resolution, or its file.
            every_ms: time between two windows.
            start_us: the first window ends ``every_ms`` after it; None: the first event.
            end_us: the last window ends there or less than ``every_ms`` later; None: the last
                event.

        Raises:
            ConfigError: if the network's frames cannot be made from events (RVT's histograms).
            DataError: if the recording cannot be read.
            TypeError: if ``start_us`` or ``end_us`` is not an integer.
            ValueError: if ``every_ms`` is not a positive number, or less than 1 µs.
        """
        step_us = round(1000 * every_ms) if math.isfinite(every_ms) else 0
        if step_us < 1:
            raise ValueError(f"`every_ms` must be at least 0.001, but is {every_ms}.")
        opened = self._opened(recording)
        start_us = opened.first_us if start_us is None else _whole("start_us", start_us)
        end_us = opened.last_us + 1 if end_us is None else _whole("end_us", end_us)
        moments = moments_us(self.spec, opened, start_us, end_us, step_us)
        return self._watch(opened, moments)

    def detect_next(
        self, recording: Recording, times_us: Sequence[int], state: MemoryState | None = None
    ) -> tuple[list[Detections], MemoryState | None]:
        """Detect objects in the next windows of a stream.

        Args:
            recording: what is needed of the stream, at sensor resolution, with its sensor size.
            times_us: ends of the windows, at most :data:`GROUP`; they may lie outside of the
                recording.
            state: the memory after the windows before; None: there are none.

        Returns:
            The detections, and the state of the memory after them; None without a memory.

        Raises:
            ConfigError: if the network's frames cannot be made from events (RVT's histograms).
            DataError: if the sensor size is unknown.
        """
        return self._detect_all(self._opened(recording), times_us, state)

    def _watch(self, recording: Recording, moments: range) -> Iterator[Detections]:
        state: MemoryState | None = None
        for first in range(0, len(moments), GROUP):
            group = moments[first : first + GROUP]
            detections, state = self._detect_all(recording, group, state)
            yield from detections

    def detect_batches(
        self, batches: Iterable[DetectionBatch], timer: PartTimer | None = None
    ) -> Generator[tuple[LabelledFrame, Tensor]]:
        """Detect objects in the frames of a loader, in their order.

        A memory is carried from frame to frame, unless a recording begins with a frame. Windows
        without a label are remembered, and not yielded.

        Exhaust or close the iterator: until then torch uses a single thread on a CPU.

        Args:
            batches: frames with their placements, on any device.
            timer: measures input, network and postprocessing.

        Yields:
            Labels and metadata of each frame, and its detections ``[M, 6]`` on the CPU: class,
            score, left, top, width, height in pixels of the frame, best score first.
        """
        timer = timer or PartTimer(self.device, enabled=False)
        state: MemoryState | None = None
        with (
            self._fixed_form() as run,
            closing(regrouped(self._inputs(batches, timer))) as groups,
        ):
            for events, frames in groups:
                turns = [Turn(frame.begins, frame.index != UNLABELLED) for frame in frames]
                with timer.measure("network"):
                    outputs, state = self._outputs(run, events, turns, state)
                with timer.measure("detections"):
                    found = self._select(torch.stack(outputs)) if outputs else []
                labelled = [frame for frame in frames if frame.index != UNLABELLED]
                for frame, detections in zip(labelled, found, strict=True):
                    yield frame, unplace_detections(detections, frame.placement, frame.sensor_hw)

    def pyramids(
        self, batches: Iterable[DetectionBatch]
    ) -> Generator[tuple[LabelledFrame, Features]]:
        """Compute the feature pyramid for each frame of a loader, in their order.

        It is what ``model.detect_features`` takes; exhaust or close the iterator, as for
        :meth:`detect_batches`.

        Args:
            batches: frames with their placements, on any device.

        Yields:
            Labels and metadata of each frame, and 3 feature maps ``[1, C', H', W']``.
        """
        model = self.model
        timer = PartTimer(self.device, enabled=False)
        with (
            self._fixed_form() as run,
            closing(regrouped(self._inputs(batches, timer))) as groups,
        ):
            for events, frames in groups:
                computed = run(lambda x: model.pyramid(model.embedding(x)), events)
                for frame, ((x3, x4, x5), at) in zip(frames, computed, strict=True):
                    yield frame, (x3[at : at + 1], x4[at : at + 1], x5[at : at + 1])

    def autocast(self) -> AbstractContextManager[None]:
        """Return the autocast context in which memory and head compute."""
        return Precision(self.device, self._inference.precision).autocast()

    def detections_of(self, output: Tensor, frame: LabelledFrame) -> Tensor:
        """Return the detections ``[M, 6]`` of a frame, as :meth:`detect_batches` does.

        Args:
            output: of the network for the frame, ``[1, A, 5+classes]``.
            frame: its placement.
        """
        [found] = self._select(output)
        return unplace_detections(found, frame.placement, frame.sensor_hw)

    def observe(self, frame: Tensor, *, trace: bool = False) -> Observation:
        """Detect objects in one frame and return the output of the embedding of the same pass.

        Args:
            frame: ``[Tl,Tm,C,H,W]`` at sensor resolution, oldest slice first.
            trace: whether to record the internal states of the sampler; only the runtime ``torch``
                has them.

        Raises:
            ConfigError: if they are requested of another runtime.
        """
        [observation] = self.observe_all([frame], trace=trace)
        return observation

    def observe_all(self, frames: Sequence[Tensor], *, trace: bool = False) -> list[Observation]:
        """Apply :meth:`observe` to up to :data:`GROUP` frames of one sensor."""
        if trace and self.runtime != "torch":
            raise ConfigError(
                "The internal states of the sampler exist only in the modules of the network, and "
                f"`runtime` is {self.runtime}. Use torch for them."
            )
        model, inference = self.model, self._inference

        def look(events: Tensor) -> tuple[Tensor, SamplerTrace | None, Tensor]:
            steps = model.embedding.trace(events) if trace else None
            if steps is None:
                written, outputs = inference.observe(events)
                return written, None, outputs
            return steps.output, steps, cast(Tensor, model.detect(steps.output))

        in_hw = (frames[0].shape[-2], frames[0].shape[-1])
        placement = letterbox_placement(in_hw, self.input_hw)
        events = torch.cat([self._place(frame[None], [placement]) for frame in frames])
        with self._fixed_form() as run:
            computed = run(look, events)
        observations = []
        for frame, seen, ((written, steps, outputs), position) in zip(
            frames, events, computed, strict=True
        ):
            cut = partial(_cut, placement=placement, position=position)
            segments = cut(written).float()
            [found] = self._select(outputs[position : position + 1])
            observations.append(
                Observation(
                    frame=frame,
                    active=_cut(seen.ne(0).flatten(0, 2).any(0)[None, None], placement, 0)[0],
                    written=segments.reshape(-1, *segments.shape[-3:]),
                    trace=None if steps is None else steps.apply(cut),
                    detections=unplace_detections(found, placement, in_hw),
                )
            )
        return observations

    def network_input(self, frame: Tensor) -> Tensor:
        """Return the network's input ``[1,Tl,Tm,C,h,w]`` for a frame ``[Tl,Tm,C,H,W]``."""
        placement = letterbox_placement((frame.shape[-2], frame.shape[-1]), self.input_hw)
        return self._place(frame[None], [placement])

    def _fixed_form(self) -> AbstractContextManager[FixedForm]:
        return fixed_form(self.device, self._inference.precision)

    def _opened(self, recording: Recording | str | Path) -> Recording:
        """Open a recording if needed, and reduce it to the resolution of the frames."""
        self.spec.check_from_events()
        if isinstance(recording, str | Path):
            recording = self.open(recording)
        if recording.sensor_hw is None:
            raise DataError(
                f"{recording.path} does not contain the sensor size. Open it with "
                "`Predictor.open`, or with `open_recording(path, sensor_hw=(height, width))`."
            )
        return downsample_recording(recording, self.downsample)

    def _moment(self, recording: Recording, time_us: int) -> int:
        """Return the end of the window of a frame at a time.

        Raises:
            DataError: if no part of the window lies within the recording.
        """
        if self.spec.window == 0:
            return recording.last_us + 1
        last_us = recording.last_us + self.spec.duration_us
        if not recording.first_us < time_us <= last_us:
            raise DataError(
                f"`time_us` must be above {recording.first_us} and at most {last_us} for the "
                f"windows of {-self.spec.window} ms of {recording.path}, whose events are from "
                f"{recording.first_us} to {recording.last_us} µs, but is {time_us}."
            )
        return time_us

    @property
    def _remembers(self) -> bool:
        return getattr(self.model, "memory", None) is not None

    def _outputs(
        self, run: FixedForm, events: Tensor, turns: Sequence[Turn], state: MemoryState | None
    ) -> tuple[list[Tensor], MemoryState | None]:
        """Return the outputs ``[A,5+classes]`` of the network for windows, and the state after."""
        if not self._remembers:
            computed = run(self._inference.detect, events)
            return [result[position] for result, position in computed], None
        precision = Precision(self.device, self._inference.precision)
        return detect_in_turn(self.model, run, precision, events, turns, state)

    def _detect_all(
        self, recording: Recording, times_us: Sequence[int], state: MemoryState | None
    ) -> tuple[list[Detections], MemoryState | None]:
        """Detect objects at up to :data:`GROUP` times of an opened recording, one after another.

        Returns:
            The detections, and the state of the memory after them.
        """
        sensor_hw = recording.sensor_hw
        assert sensor_hw is not None
        placements = [letterbox_placement(sensor_hw, self.input_hw)]
        frames = [make_frame(self.spec, recording, time_us, sensor_hw) for time_us in times_us]
        with self._fixed_form() as run:
            events = torch.cat([self._place(frame[None], placements) for frame in frames])
            outputs, state = self._outputs(run, events, [Turn()] * len(times_us), state)
            found = self._select(torch.stack(outputs))
        detections = []
        for time_us, rows in zip(times_us, found, strict=True):
            in_frame = unplace_detections(rows, placements[0], sensor_hw)
            scale = in_frame.new_tensor([1, 1, *[self.downsample] * 4])
            detections.append(Detections(time_us, (in_frame * scale).numpy(), self.class_names))
        return detections, state

    def _inputs(
        self, batches: Iterable[DetectionBatch], timer: PartTimer
    ) -> Iterator[tuple[Tensor, list[LabelledFrame]]]:
        """Yield the network's input for each batch, with the labels and metadata of its frames."""
        for batch in batches:
            frames = [
                LabelledFrame(
                    index, time_us, sequence, ground_truth, placement, batch.sensor_hw, begins
                )
                for index, time_us, sequence, ground_truth, placement, begins in zip(
                    batch.indices,
                    batch.times_us,
                    batch.sequences,
                    batch.ground_truth(),
                    batch.placements,
                    batch.begins or (True,) * len(batch),
                    strict=True,
                )
            ]
            with timer.measure("input"):
                events = self._place(batch.to(self.device).events, batch.placements)
            yield events, frames

    def _place(self, frames: Tensor, placements: Sequence[Placement]) -> Tensor:
        """Return the network's input ``[B,Tl,Tm,C,h,w]`` for frames ``[B,Tl,Tm,C,H,W]``."""
        return place_frames(frames.to(self.device), placements, self.input_hw, self.interpolation)

    def _select(self, outputs: Tensor) -> list[Tensor]:
        """Return the detections of each frame on the CPU: ``[M, 6]`` in network pixels."""
        found = select_detections(outputs, self.confidence, self.nms_iou)
        return [detections.detach().cpu() for detections in found]


def moments_us(
    spec: FrameSpec, recording: Recording, start_us: int, end_us: int, step_us: int
) -> range:
    """Return the times at which sliding windows end: every ``step_us`` after ``start_us``.

    The last one is at ``end_us`` or less than a step later. No event in between is missed if the
    step is at most the window. If a frame is the whole recording, its end is the only time.
    """
    if spec.window == 0:
        return range(recording.last_us + 1, recording.last_us + 2)
    return range(start_us + step_us, end_us + step_us, step_us)


def _whole(name: str, value: SupportsIndex) -> int:
    """Return a time as a Python integer; NumPy's integers are accepted, fractions are not."""
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(f"`{name}` must be an integer in µs, but is {value!r}.") from None


def _cut(values: Tensor, placement: Placement, position: int) -> Tensor:
    """Crop one frame of a batch to the sensor image, ``[...,B,C,h,w]`` → ``[...,C,h',w']``."""
    return values[..., position, :, : placement.height_px, : placement.width_px].cpu()


def _extent_hw(recording: Recording) -> tuple[int, int]:
    """Return and log the smallest height and width that contain all events."""
    pieces = event_pieces(recording)
    last_y, last_x = np.max([(p["y"].max(), p["x"].max()) for p in pieces if len(p)], axis=0)
    hw = int(last_y) + 1, int(last_x) + 1
    logger.info(
        "{} does not contain the sensor size; the smallest size that contains its events, {}x{} "
        "pixels (height x width), is used. Give `sensor_hw` (--sensor-size) if it is larger.",
        recording.path,
        *hw,
    )
    return hw
