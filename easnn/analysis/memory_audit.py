"""Whether the memory of a detector matters: what becomes of its outputs and AP without it.

A state that never reaches the output is easily overlooked, since everything still runs. So each
labelled window is computed again with other states: none, that of another recording, an old one,
and those that remember the last few windows only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any

import torch
from tabulate import tabulate
from torch import Tensor

from easnn.data import UNLABELLED, DetectionBatch
from easnn.evaluation import Evaluator, FrameResult
from easnn.inference import Predictor
from easnn.inference.detections import LabelledFrame
from easnn.models import Clips, MemoryState
from easnn.models.neck import Features

SPANS = (1, 2, 5, 10, 20)
"""Numbers of windows that are remembered in the place of all since the recording began."""

WHOLE, EMPTY, SWAPPED, DELAYED = "all before", "empty", "of another recording", "one window late"


@dataclass(frozen=True)
class StateEffect:
    """What another state does.

    Attributes:
        state: what the memory holds.
        ap: AP of the detections.
        ap50: AP at an IoU of 0.5.
        change: largest change of a score (objectness × class probability) of an anchor in a window,
            mean over the windows.
        changed: share of the windows whose outputs are not the same to the last bit.
    """

    state: str
    ap: float
    ap50: float
    change: float
    changed: float


@dataclass(frozen=True)
class MemoryAudit:
    """The effects of states on the labelled windows of a dataset.

    Attributes:
        recordings: number of recordings.
        frames: number of labelled windows.
        effects: the first one is that of the whole memory, which the others are compared with.
    """

    recordings: int
    frames: int
    effects: tuple[StateEffect, ...]

    def table(self) -> str:
        """Return the audit as a table."""
        whole = self.effects[0]
        rows = [
            (
                effect.state,
                f"{effect.ap:.4f}",
                f"{effect.ap - whole.ap:+.4f}",
                f"{effect.ap50:.4f}",
                f"{effect.change:.4f}",
                f"{effect.changed:.1%}",
            )
            for effect in self.effects
        ]
        headers = ("memory", "AP", "difference", "AP50", "change of scores", "changed windows")
        align = ("left", *["right"] * 5)
        table = tabulate(rows, headers, colalign=align, disable_numparse=True)
        return f"{self.frames} labelled windows of {self.recordings} recordings\n\n{table}"

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return asdict(self)


def audit_memory(
    predictor: Predictor,
    batches: Callable[[], Iterable[DetectionBatch]],
    evaluator: Evaluator,
) -> MemoryAudit:
    """Compute labelled windows with several states, and compare outputs and AP.

    The state of another recording is that after the last window of the one before; for the first
    recording, of the last one. At the beginning of a recording, all but this one are empty.

    Args:
        predictor: a detector with a memory.
        batches: returns the windows of a dataset in playing order, each time from the beginning.
        evaluator: scores the detections of each state.
    """
    findings = _Findings(predictor)
    recordings = 0
    state: MemoryState | None = None
    before: MemoryState | None = None  # the state, one window ago
    other: MemoryState | None = None
    recent: deque[Features] = deque(maxlen=max(SPANS))
    with closing(_played(predictor, batches())) as windows:
        for frame, features, after in windows:
            if frame.begins:
                recordings += 1
                other, state, before = state, None, None
                recent.clear()
            if frame.index != UNLABELLED:
                spans = {_span(n): _remembered(predictor, list(recent)[-n:]) for n in SPANS}
                states = {WHOLE: state, **spans, EMPTY: None, DELAYED: before}
                if recordings > 1:
                    states[SWAPPED] = other
                findings.compare(frame, features, states)
            before, state = state, after
            recent.append(features)
    last, state = state, None
    with closing(_played(predictor, batches())) as windows:
        for number, (frame, features, after) in enumerate(windows):
            if number and frame.begins:
                break
            if frame.index != UNLABELLED:
                findings.compare(frame, features, {WHOLE: state, SWAPPED: last})
            state = after
    return MemoryAudit(recordings, findings.frames, tuple(findings.effects(evaluator)))


class _Findings:
    """Detections and outputs with each state."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._found: dict[str, dict[int, FrameResult]] = {}
        self._changes: dict[str, dict[int, float]] = {}

    @property
    def frames(self) -> int:
        """Number of labelled windows."""
        return len(self._found[WHOLE])

    def compare(
        self, frame: LabelledFrame, features: Features, states: Mapping[str, MemoryState | None]
    ) -> None:
        """Detect objects in a window with several states, the first of which is the whole one."""
        whole: Tensor | None = None
        for name, state in states.items():
            with torch.inference_mode(), self._predictor.autocast():
                output, _ = self._predictor.model.detect_features(features, Clips(1, state))
            assert isinstance(output, Tensor)  # without targets
            whole = output if whole is None else whole
            rows = self._predictor.detections_of(output, frame).numpy()
            result = FrameResult(
                frame.index, frame.time_us, frame.sequence, frame.ground_truth, rows
            )
            self._found.setdefault(name, {})[frame.index] = result
            self._changes.setdefault(name, {})[frame.index] = _change(output, whole)

    def effects(self, evaluator: Evaluator) -> Iterator[StateEffect]:
        """Yield what each state does."""
        for name, frames in self._found.items():
            evaluator.reset()
            evaluator.process(frames.values())
            result = evaluator.evaluate()
            sizes = list(self._changes[name].values())
            changed = sum(size > 0 for size in sizes) / len(sizes)
            yield StateEffect(name, result.ap, result.ap50, sum(sizes) / len(sizes), changed)


def _played(
    predictor: Predictor, batches: Iterable[DetectionBatch]
) -> Generator[tuple[LabelledFrame, Features, MemoryState]]:
    """Yield each window, what the feature pyramid puts out, and the state of the memory after."""
    state: MemoryState | None = None
    with closing(predictor.pyramids(batches)) as windows:
        for frame, features in windows:
            after = _next_state(predictor, features, None if frame.begins else state)
            yield frame, features, after
            state = after


def _next_state(predictor: Predictor, features: Features, state: MemoryState | None) -> MemoryState:
    memory = predictor.model.memory
    assert memory is not None
    nothing = torch.zeros(0, dtype=torch.int64, device=features[0].device)
    after: MemoryState
    with torch.inference_mode(), predictor.autocast():
        _, after = memory(features, Clips(1, state, labelled=nothing))
    return after


def _remembered(predictor: Predictor, windows: list[Features]) -> MemoryState | None:
    """Return the state after some windows, with an empty memory before them."""
    state: MemoryState | None = None
    for features in windows:
        state = _next_state(predictor, features, state)
    return state


def _span(windows: int) -> str:
    return f"last {windows} window{'s' if windows > 1 else ''}"


def _change(output: Tensor, whole: Tensor) -> float:
    """Return the largest difference of a score, and 0 only where all outputs are the same."""
    if torch.equal(output, whole):
        return 0.0
    scores = [x[..., 4:5] * x[..., 5:] for x in (output, whole)]
    tiny = torch.finfo(output.dtype).tiny
    return max(float((scores[0] - scores[1]).abs().max()), tiny)
