"""Loaders: batches in the order of a sampler, read by worker processes."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing import parent_process
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from easnn.data.augment import PlacementPolicy
from easnn.data.detection_dataset import DetectionDataset, Frame
from easnn.data.lanes import LaneSampler
from easnn.data.sample import DetectionBatch, DetectionSample, collate
from easnn.data.sampler import EpochSampler, EvaluationSampler, SampleRequest, TimelineSampler
from easnn.data.timeline import UNLABELLED, Timeline
from easnn.ops import Placement
from easnn.utils.distributed import rank, world_size
from easnn.utils.errors import DataError, EasnnError, said_plainly
from easnn.utils.seeding import generator

BatchSampler = TypeVar(
    "BatchSampler", bound=EpochSampler | LaneSampler | EvaluationSampler | TimelineSampler
)


class RequestedSamples(Dataset[DetectionSample]):
    """Samples of a dataset by request; a sample is a pure function of (seed, epoch, index).

    What is random about a sample is drawn by methods of its own, so that frames of a recording that
    belong together can share what was drawn for one of them.

    Args:
        dataset: labelled frames.
        policy: chooses their placement in the network's input.
        seed: seed of all random numbers.
        speed_range: smallest and largest speed at which recordings are played; None: at their own
            speed.
        time_flip: probability of playing a recording backwards.
        timeline: time line of the dataset, for requests of its windows.
    """

    def __init__(
        self,
        dataset: DetectionDataset,
        policy: PlacementPolicy,
        seed: int,
        speed_range: tuple[float, float] | None = None,
        time_flip: float = 0.0,
        timeline: Timeline | None = None,
    ) -> None:
        self.dataset = dataset
        self._policy = policy
        self._seed = seed
        self._speed_range = speed_range
        self._time_flip = time_flip
        self._timeline = timeline

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, request: SampleRequest) -> DetectionSample:
        if request.index == UNLABELLED:
            frame = self.frame_between(request)
        else:
            frame = self.frame(request.index, self.draw_speed(request))
        return DetectionSample(
            events=frame.events,
            boxes=frame.boxes,
            placement=self.draw_placement(request, frame.boxes),
            index=request.index,
            time_us=frame.time_us,
            sequence=frame.sequence,
            begins=request.begins,
        )

    def frame_between(self, request: SampleRequest) -> Frame:
        """Read a window without a label."""
        timeline, window = self._timeline, request.window
        assert timeline is not None and window is not None
        return self.dataset.load_between(
            int(timeline.recordings[window]), int(timeline.ends[window])
        )

    def draw_speed(self, request: SampleRequest) -> float:
        """Draw the speed at which the recording of a sample is played; negative: backwards.

        The logarithm of its size is uniformly distributed.
        """
        speed = 1.0
        if self._speed_range is not None:
            rng = generator(self._seed, "speed", request.epoch, request.index)
            slowest, fastest = np.log(self._speed_range)
            speed = float(np.exp(rng.uniform(slowest, fastest)))
        rng = generator(self._seed, "time flip", request.epoch, request.index)
        return -speed if rng.random() < self._time_flip else speed

    def draw_placement(self, request: SampleRequest, boxes: Tensor) -> Placement:
        """Draw the placement of a sample whose boxes are ``[N,5]`` in sensor pixels.

        Windows that are played in a row have the same, drawn for the first of them and for the
        boxes of the first that is labelled.
        """
        rng = generator(self._seed, "placement", request.epoch, request.index)
        if request.drawn_for is not None:
            assert self._timeline is not None
            boxes = self.dataset.label(self._timeline.frame_from(request.drawn_for)).boxes
            rng = generator(self._seed, "placement of a clip", request.epoch, request.drawn_for)
        return self._policy(self.dataset.sensor_hw, rng, boxes[:, 1:].numpy())

    def frame(self, index: int, speed: float = 1.0) -> Frame:
        """Read frame ``index`` with its recording played at ``speed``.

        Raises:
            ConfigError: if the speed is not 1, and the dataset cannot play at another one.
            DataError: if the recording cannot be read.
        """
        if speed == 1:
            return self.dataset.load(index)
        return self.dataset.load_at_speed(index, speed)


class _Batches(Dataset[DetectionBatch | EasnnError]):
    """Batches by requests. An error is returned, because torch adds a traceback to a raised one."""

    def __init__(self, samples: RequestedSamples) -> None:
        self._samples = samples

    def __getitem__(self, requests: Sequence[SampleRequest]) -> DetectionBatch | EasnnError:
        try:
            return collate([self._samples[request] for request in requests])
        except EasnnError as error:
            return error
        except (OSError, MemoryError, RuntimeError) as error:
            plain = said_plainly(error)
            if plain is None:
                raise
            return plain


class BatchLoader(Generic[BatchSampler]):
    """Iterates over the batches that its sampler requests, the same for any number of workers.

    Workers stay alive between iterations. An error in the data is raised here as it was in the
    worker.

    Attributes:
        dataset: labelled frames.
        sampler: determines the batches of the next iteration.

    Args:
        samples: samples of the dataset by request.
        sampler: determines the batches of the next iteration.
        num_workers: worker processes; 0 reads in this process.
        device: the device that will use the batches; for a GPU they are in page-locked memory.
    """

    def __init__(
        self,
        samples: RequestedSamples,
        sampler: BatchSampler,
        *,
        num_workers: int,
        device: torch.device,
    ) -> None:
        self.dataset = samples.dataset
        self.sampler = sampler
        self._loader = DataLoader(
            _Batches(samples),
            batch_size=None,  # the sampler's items are whole batches
            sampler=sampler,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=device.type == "cuda",
            worker_init_fn=_ignore_stop_signals if num_workers else None,
            generator=torch.Generator(),  # or iterating would use the global generator
        )

    def __len__(self) -> int:
        """Return the number of batches, for a training loader that of a whole epoch."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[DetectionBatch]:
        with named_worker_failures():
            for batch in self._loader:
                if isinstance(batch, EasnnError):
                    raise batch
                yield batch


def _ignore_stop_signals(_worker: int) -> None:
    """Let a worker ignore signals to its process group, except a SIGTERM from its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    parent = parent_process()  # not that of the system, which may be a server that forks
    assert parent is not None and parent.pid is not None
    threading.Thread(target=_exit_on_sigterm_of, args=(parent.pid,), daemon=True).start()


def _exit_on_sigterm_of(parent: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != parent:
        pass
    os._exit(128 + signal.SIGTERM)


@contextmanager
def named_worker_failures() -> Iterator[None]:
    """Turn the death of a loader's worker into an error that says what to do.

    torch raises it from a signal handler, so it can appear anywhere in the main process: put the
    whole loop over the batches into this context, not only the loader.

    Raises:
        DataError: if a worker of a :class:`BatchLoader` was killed.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader worker (pid"):
            raise
        raise DataError(
            "A data worker was killed (out of memory, or a recording that was cut off while it was "
            f"read?): {str(error).strip('. ')}. Use fewer workers (`data_num_workers`) or a "
            "smaller batch (-b)."
        ) from error


def build_train_loader(
    dataset: DetectionDataset,
    policy: PlacementPolicy,
    *,
    batch_size: int,
    seed: int,
    num_workers: int,
    device: torch.device,
    speed_range: tuple[float, float] | None = None,
    time_flip: float = 0.0,
    accumulate: int = 1,
) -> BatchLoader[EpochSampler]:
    """Return this rank's loader for training.

    ``loader.sampler.start_at(epoch, step)`` sets the start of its next iteration.

    Args:
        dataset: labelled frames.
        policy: chooses their placement in the network's input.
        batch_size: samples per step over all ranks, or per part of a step with ``accumulate``.
        seed: seed of order and augmentation.
        num_workers: worker processes of this rank.
        device: the device that will use the batches.
        speed_range: as in :class:`RequestedSamples`.
        time_flip: likewise.
        accumulate: number of parts of a step; a batch of the loader holds all of them.

    Raises:
        ConfigError: if ``batch_size`` is smaller than the number of processes.
    """
    sampler = EpochSampler(
        len(dataset),
        batch_size,
        seed=seed,
        rank=rank(),
        world_size=world_size(),
        accumulate=accumulate,
    )
    samples = RequestedSamples(dataset, policy, seed, speed_range, time_flip)
    return BatchLoader(samples, sampler, num_workers=num_workers, device=device)


def build_lane_loader(
    dataset: DetectionDataset,
    policy: PlacementPolicy,
    *,
    batch_size: int,
    clip: int,
    streams: int,
    seed: int,
    num_workers: int,
    device: torch.device,
) -> BatchLoader[LaneSampler]:
    """Return this rank's loader of clips for training; a batch has clip after clip.

    Args:
        dataset: labelled frames, and the windows between them.
        policy: chooses their placement in the network's input.
        batch_size: clips per step over all ranks.
        clip: windows of a clip.
        streams: number of lanes that are streams; see :class:`LaneSampler`.
        seed: seed of order and augmentation.
        num_workers: worker processes of this rank.
        device: the device that will use the batches.

    Raises:
        ConfigError: if ``batch_size`` is smaller than the number of processes.
        DataError: if a recording cannot be read.
    """
    timeline = dataset.timeline()
    sampler = LaneSampler(
        timeline,
        batch_size,
        clip=clip,
        streams=streams,
        seed=seed,
        rank=rank(),
        world_size=world_size(),
    )
    samples = RequestedSamples(dataset, policy, seed, timeline=timeline)
    return BatchLoader(samples, sampler, num_workers=num_workers, device=device)


def build_eval_loader(
    dataset: DetectionDataset,
    policy: PlacementPolicy,
    *,
    batch_size: int,
    num_workers: int,
    device: torch.device,
) -> BatchLoader[EvaluationSampler]:
    """Return this rank's loader for evaluation; all ranks together read every frame once, in order.

    Args:
        dataset: labelled frames.
        policy: chooses their placement in the network's input, usually
            :class:`~easnn.data.augment.LetterboxPolicy`.
        batch_size: frames per step over all ranks.
        num_workers: worker processes of this rank.
        device: the device that will use the batches.
    """
    sampler = EvaluationSampler(len(dataset), batch_size, rank=rank(), world_size=world_size())
    samples = RequestedSamples(dataset, policy, seed=0)
    return BatchLoader(samples, sampler, num_workers=num_workers, device=device)


def build_timeline_loader(
    dataset: DetectionDataset,
    policy: PlacementPolicy,
    *,
    batch_size: int,
    num_workers: int,
    device: torch.device,
) -> BatchLoader[TimelineSampler]:
    """Return this rank's loader for the evaluation of a memory, as :func:`build_eval_loader`.

    It plays whole recordings, also the windows without labels.

    Raises:
        DataError: if a recording cannot be read.
    """
    timeline = dataset.timeline()
    sampler = TimelineSampler(timeline, batch_size, rank=rank(), world_size=world_size())
    samples = RequestedSamples(dataset, policy, seed=0, timeline=timeline)
    return BatchLoader(samples, sampler, num_workers=num_workers, device=device)


class StartAt(Protocol):
    """A sampler that can start at any step."""

    def start_at(self, epoch: int, step: int = 0, *, steps: int | None = None) -> None:
        """Let the next iteration yield the batches of ``epoch`` from ``step`` to its end.

        With ``steps``, it yields at most so many.
        """
        ...


class TrainLoader(Protocol):
    """This process's part of the batches of an epoch."""

    @property
    def sampler(self) -> StartAt:
        """Sets the start of the next iteration."""
        ...

    def __len__(self) -> int:
        """Return the number of steps of a whole epoch."""
        ...

    def __iter__(self) -> Iterator[DetectionBatch]:
        """Yield the batches from the start set in the sampler to the end of that epoch."""
        ...


class RepeatFirstBatch:
    """A training loader that always yields its first batch, to test whether the model can fit it.

    Args:
        loader: the loader of the batch.
    """

    def __init__(self, loader: TrainLoader) -> None:
        self._loader = loader
        self._steps_left = len(loader)

    @property
    def sampler(self) -> StartAt:
        """Sets the number of steps of the next iteration."""
        return self

    def start_at(self, epoch: int, step: int = 0, *, steps: int | None = None) -> None:
        """Let the next iteration have the remaining steps of an epoch, or at most ``steps``."""
        self._steps_left = len(range(step, len(self))[:steps])

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[DetectionBatch]:
        self._loader.sampler.start_at(0, steps=1)
        batch = next(iter(self._loader))
        for _ in range(self._steps_left):
            yield batch
