"""Nothing in the network, its loss or its input makes the host wait for a GPU or mixes devices.

Fake tensors have a device and a shape but no values, so this needs a build of torch for CUDA, but
no card. ``make newest`` runs it with such a build.
"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from fake_cuda import CUDA, HostWaitError, fake_cuda, on_fake_cuda
from torch._subclasses.fake_tensor import FakeTensorDeviceMismatchError

from easnn.data import DetectionBatch, prepare_batch
from easnn.inference.forward import fixed_form, regrouped
from easnn.models import DetectorConfig, SpikeMode, build_detector
from easnn.ops import Placement, Rectangle, Warp, place_frames

pytestmark = pytest.mark.skipif(
    not torch.backends.cuda.is_built(),
    reason=f"torch {torch.__version__} is no build for CUDA, so it has no fake GPU",
)

HW = (64, 96)
SMALL: dict[str, Any] = {
    "width": 0.125,
    "depth": 0.33,
    "T": 2,
    "num_classes": 2,
    "embedding": "arsnn",
    "embedding_ksize": 3,
    "use_spike": SpikeMode.BACKBONE,
}
MODES = itertools.product(SpikeMode, ("arsnn", "rsnn", "snn", "count"))
OPTIONS: list[dict[str, Any]] = [
    {"use_spike": mode, "embedding": embedding} for mode, embedding in MODES
]
OPTIONS += [
    {"Ts": 2, "readout": "avg", "spike_attach": True, "write_zero": True},
    {"readout": "last", "reset": None, "abs": True, "norm": "bn", "embedding_depth": 2},
    {"spike_fn": "patan"},
    {"spike_fn": "sigmoid"},
    {"spike_fn": "rect", "stem": "conv", "Ts": 2},
    {"depthwise": True, "act": "lrelu"},
]


def fake_events(frames: int) -> torch.Tensor:
    return torch.zeros(frames, 1, 3, 2, *HW, device=CUDA)


@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "mixed"])
@pytest.mark.parametrize("changes", OPTIONS, ids=str)
def test_forward_and_losses(changes: dict[str, Any], mixed: bool) -> None:
    model = build_detector(DetectorConfig(**SMALL | changes))
    with fake_cuda():
        on_fake_cuda(model)
        events, targets = fake_events(2), torch.zeros(2, 50, 5, device=CUDA)
        with torch.autocast("cuda", dtype=torch.float16, enabled=mixed):
            losses = model(events, targets)
        assert {value.device for value in losses.values()} == {CUDA}
        assert losses["total_loss"].requires_grad
        assert {value.dtype for value in losses.values()} == {torch.float32}


@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "mixed"])
@pytest.mark.parametrize("embedding", ["arsnn", "rsnn", "snn", "count"])
def test_inference_in_groups(embedding: str, mixed: bool) -> None:
    model = build_detector(DetectorConfig(**SMALL | {"embedding": embedding})).eval()
    with fake_cuda():
        on_fake_cuda(model)
        batches = [(fake_events(3), "abc"), (fake_events(7), "defghij")]
        seen = []
        with fixed_form(CUDA, "fp16" if mixed else "exact") as run:
            for events, labels in regrouped(batches):
                outputs = run(model, events)
                seen += [
                    (label, output[position].shape, output.device)
                    for label, (output, position) in zip(labels, outputs, strict=True)
                ]
        anchors = sum(HW[0] * HW[1] // stride**2 for stride in (8, 16, 32))
        assert seen == [(label, (anchors, 7), CUDA) for label in "abcdefghij"]


@pytest.mark.parametrize("embedding", ["arsnn", "rsnn", "snn"])
def test_trace(embedding: str) -> None:
    model = build_detector(DetectorConfig(**SMALL | {"embedding": embedding})).eval()
    with fake_cuda(), torch.no_grad():
        on_fake_cuda(model)
        trace = model.embedding.trace(fake_events(2))
        assert trace.spikes.device == trace.output.device == CUDA


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float16])
@pytest.mark.parametrize("warp", [None, Warp((30, 20), 10, 20)])
def test_resizing_and_targets(interpolation: Any, dtype: torch.dtype, warp: Warp | None) -> None:
    placements = (
        Placement(40, 60, 3, -5, True, warp, Rectangle(1, 2, 3, 4)),
        Placement(70, 50, -6, 10, False, warp),
    )
    with fake_cuda():
        batch = DetectionBatch(
            events=torch.zeros(2, 1, 3, 2, 48, 60, dtype=dtype),
            boxes=torch.zeros(2, 4, 5),
            placements=placements,
            indices=(0, 1),
            times_us=(0, 0),
            sequences=("a", "b"),
        ).to(CUDA)
        events, targets = prepare_batch(batch, HW, interpolation, min_visible=0.5)
        assert (events.shape, events.dtype, events.device) == (
            (2, 1, 3, 2, *HW),
            torch.float32,
            CUDA,
        )
        assert (targets.shape, targets.device) == ((2, 50, 5), CUDA)
        placed = place_frames(batch.events, placements, HW, interpolation, torch.float16)
        assert (placed.dtype, placed.device) == (torch.float16, CUDA)


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.cpu(),
        lambda x: x.new_tensor([1.0, 2.0]),
        lambda x: torch.zeros(3, 3).to(x.device),
        lambda x: torch.equal(x, x),
        lambda x: x.masked_select(x > 0),
        lambda x: torch.repeat_interleave(x, torch.ones(3, dtype=torch.long, device=CUDA), dim=0),
    ],
)
def test_waits_are_noticed(wait: Any) -> None:
    with fake_cuda(), pytest.raises(HostWaitError):
        wait(torch.zeros(3, 3, device=CUDA))


def test_mixed_devices_are_noticed() -> None:
    with fake_cuda(), pytest.raises(FakeTensorDeviceMismatchError):
        torch.zeros(3, device=CUDA) + torch.zeros(3)
