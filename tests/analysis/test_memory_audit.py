"""The audit of a memory tells one that matters from one that does not."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from torch import Tensor

from easnn.analysis import MemoryAudit, audit_memory
from easnn.data import UNLABELLED, DetectionBatch
from easnn.evaluation import build_evaluator
from easnn.inference import Predictor
from easnn.models import DetectorConfig, build_detector
from easnn.ops import letterbox_placement
from easnn.representations import FrameSpec

HW = (32, 32)
CONFIG = DetectorConfig(num_classes=2, depth=0.33, width=0.0625, memory="lstm", memory_dim=4)
LENGTHS = (6, 4)


def batches(lengths: tuple[int, ...] = LENGTHS) -> Callable[[], Iterator[DetectionBatch]]:
    """Return recordings of noise in batches of three windows; every second one has a label."""
    windows = [(r, w) for r, length in enumerate(lengths) for w in range(length)]
    indices = [n // 2 if n % 2 else UNLABELLED for n in range(len(windows))]
    random = torch.Generator().manual_seed(0)
    events = torch.poisson(torch.ones(len(windows), 1, 1, 2, *HW), generator=random)
    placement = letterbox_placement(HW, HW)

    def play() -> Iterator[DetectionBatch]:
        for start in range(0, len(windows), 3):
            part = slice(start, start + 3)
            rows = windows[part]
            yield DetectionBatch(
                events=events[part],
                boxes=torch.tensor([[[0.0, 8, 8, 12, 12]]]).expand(len(rows), -1, -1),
                placements=(placement,) * len(rows),
                indices=tuple(indices[part]),
                times_us=tuple(w for _, w in rows),
                sequences=tuple(str(r) for r, _ in rows),
                begins=tuple(w == 0 for _, w in rows),
            )

    return play


def audited(alpha: float, lengths: tuple[int, ...] = LENGTHS) -> MemoryAudit:
    torch.manual_seed(0)
    model = build_detector(CONFIG)
    for name, parameter in model.named_parameters():
        if name.endswith("alpha"):
            torch.nn.init.constant_(parameter, alpha)
    predictor = Predictor(model, FrameSpec(Tm=1), input_hw=HW, confidence=0.0)
    evaluator = build_evaluator("coco", ["car", "bus"], split="val", sensor_hw=HW)
    return audit_memory(predictor, batches(lengths), evaluator)


STATES = [
    "all before",
    "last 1 window",
    "last 2 windows",
    "last 5 windows",
    "last 10 windows",
    "last 20 windows",
    "empty",
    "one window late",
    "of another recording",
]


def test_a_memory_that_matters() -> None:
    audit = audited(3.0)
    assert (audit.recordings, audit.frames) == (2, 5)
    effects = {effect.state: effect for effect in audit.effects}
    assert list(effects) == STATES
    changed = {name: effect.changed for name, effect in effects.items()}
    # Labels are at windows 1, 3, 5 of the first recording and 1, 3 of the second.
    assert changed["all before"] == 0
    assert changed["empty"] == changed["of another recording"] == 1
    assert changed["one window late"] == 1
    assert changed["last 1 window"] == 3 / 5
    assert changed["last 2 windows"] == 3 / 5
    assert changed["last 5 windows"] == changed["last 10 windows"] == 0
    assert all((effect.change > 0) == (effect.changed > 0) for effect in audit.effects)
    assert effects["last 2 windows"].change < effects["last 1 window"].change
    lines = audit.table().splitlines()
    assert lines[0] == "5 labelled windows of 2 recordings"
    assert len(lines) == 4 + len(STATES)
    assert audit.to_dict()["effects"][0]["changed"] == 0


def test_a_memory_without_effect_is_told() -> None:
    for effect in audited(0.0).effects:
        assert (effect.change, effect.changed) == (0, 0)


def test_a_single_recording_gets_its_own_end() -> None:
    audit = audited(3.0, lengths=(4,))
    assert (audit.recordings, audit.frames) == (1, 2)
    assert [effect.state for effect in audit.effects] == STATES


def test_the_detections_with_the_whole_memory_are_those_of_an_evaluation() -> None:
    torch.manual_seed(0)
    model = build_detector(CONFIG)
    for level in model.memory.levels:
        torch.nn.init.constant_(level.alpha, 3.0)
    predictor = Predictor(model, FrameSpec(Tm=1), input_hw=HW, confidence=0.0)
    expected = {frame.index: rows for frame, rows in predictor.detect_batches(batches()())}
    seen: dict[int, Tensor] = {}

    class Recorder:
        def reset(self) -> None:
            seen.clear()

        def process(self, frames) -> None:
            seen.update({frame.frame: frame.detections for frame in frames})

        def evaluate(self):
            first.append(dict(seen))
            return build_evaluator("coco", ["car", "bus"], split="val", sensor_hw=HW).evaluate()

    first: list[dict[int, Tensor]] = []
    audit_memory(predictor, batches(), Recorder())
    assert first[0].keys() == expected.keys()
    for index, rows in expected.items():
        np.testing.assert_array_equal(first[0][index], rows.numpy())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "Give a checkpoint (-c FILE)."),
        (["-c", "x", "--frames", "0"], "`--frames` must be at least 1, but is 0."),
    ],
)
def test_wrong_options(words: list[str], message: str, capsys) -> None:
    from easnn.cli.audit_state import main

    assert main(words) == 1
    assert capsys.readouterr().err.endswith(f"error: {message}\n")
