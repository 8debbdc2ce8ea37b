from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from worlds import World

from easnn.models.anchors import STRIDES, AnchorGrid, encode_boxes
from easnn.models.losses import detection_losses, paired_iou
from easnn.utils import distributed

GRID = AnchorGrid.of([torch.empty(1, 1, 64 // s, 64 // s) for s in STRIDES], torch.float64)
ANCHORS = len(GRID.points_px)


@pytest.fixture(autouse=True, params=["at hand", "on the device"])
def values(request, monkeypatch):
    """Shapes follow the values, as on a CPU, or do not depend on them, as on a GPU."""
    if request.param == "on the device":
        monkeypatch.setattr("easnn.models.assignment._values_at_hand", lambda tensor: False)
    return request.param


def problem(images=3, boxes=4):
    """Raw outputs and targets; the first image has no box, image b has b."""
    generator = torch.Generator().manual_seed(5)
    raw = torch.randn(images, ANCHORS, 7, generator=generator, dtype=torch.float64)
    targets = torch.zeros(images, boxes, 5, dtype=torch.float64)
    for b in range(images):
        targets[b, :b, 0] = torch.arange(b) % 2
        targets[b, :b, 1:] = torch.rand(b, 4, generator=generator, dtype=torch.float64) * 40 + 10
    return raw.requires_grad_(), targets


def test_padding_changes_nothing():
    raw, targets = problem()
    padded = torch.cat((targets, targets.new_zeros(3, 46, 5)), dim=1)
    torch.testing.assert_close(
        detection_losses(raw, targets, GRID),
        detection_losses(raw, padded, GRID),
        rtol=1e-12,
        atol=0,
    )


def test_shapes_that_follow_the_values_change_no_gradient(monkeypatch):
    def losses_and_gradient():
        raw, targets = problem(images=12, boxes=50)
        raw = raw.detach().float().requires_grad_()
        grid = replace(GRID, points_px=GRID.points_px.float(), strides_px=GRID.strides_px.float())
        losses = detection_losses(raw, targets.float(), grid)
        losses["total_loss"].backward()
        return losses, raw.grad

    monkeypatch.setattr("easnn.models.assignment._values_at_hand", lambda tensor: False)
    of_gpu, gradient_of_gpu = losses_and_gradient()
    monkeypatch.undo()
    losses, gradient = losses_and_gradient()
    torch.testing.assert_close(losses, of_gpu, rtol=1e-6, atol=0)
    assert torch.equal(gradient, gradient_of_gpu)


@pytest.mark.parametrize("rows", [0, 1, 50])
def test_images_without_boxes(rows):
    raw, _ = problem()
    losses = detection_losses(raw, torch.zeros(3, rows, 5), GRID)
    losses["total_loss"].backward()
    nothing = torch.nn.functional.softplus(raw[..., 4].detach()).sum().item()
    assert {name: value.item() for name, value in losses.items()} == pytest.approx(
        {
            "total_loss": nothing,
            "iou_loss": 0,
            "l1_loss": 0,
            "conf_loss": nothing,
            "cls_loss": 0,
            "num_fg": 1,
        }
    )
    assert raw.grad[..., :4].count_nonzero() == raw.grad[..., 5:].count_nonzero() == 0


def test_perfect_boxes_cost_nothing():
    targets = torch.tensor([[[1, 20.0, 28.0, 16.0, 24.0]]], dtype=torch.float64)
    raw = torch.zeros(1, ANCHORS, 7, dtype=torch.float64)
    raw[0, :, :4] = encode_boxes(
        targets[0, 0, 1:].expand(ANCHORS, 4), GRID.points_px, GRID.strides_px
    )
    losses = detection_losses(raw, targets, GRID)
    assert losses["num_fg"] == 9  # the ten largest IoUs add up to a little less than ten
    assert losses["iou_loss"].item() == pytest.approx(0, abs=1e-6)
    assert losses["l1_loss"].item() == pytest.approx(0, abs=1e-6)
    # All logits are 0: log 2 for each of two classes and nine positives, and for each of all
    # anchors.
    assert losses["cls_loss"].item() == pytest.approx(2 * math.log(2))
    assert losses["conf_loss"].item() == pytest.approx(ANCHORS * math.log(2) / 9)


def test_sizes_that_overflow_elsewhere_do_no_harm():
    raw, targets = problem()
    with torch.no_grad():
        raw[0, :, 2:4] = 1000.0  # the image without boxes
    losses = detection_losses(raw, targets, GRID)
    assert torch.isfinite(losses["total_loss"])


def test_total_is_the_sum_of_its_terms():
    raw, targets = problem()
    losses = detection_losses(raw, targets, GRID)
    terms = [losses[name] for name in ("iou_loss", "l1_loss", "conf_loss", "cls_loss")]
    torch.testing.assert_close(losses["total_loss"], sum(terms))


def test_hand_counted_iou():
    a = torch.tensor([[10.0, 10, 4, 4], [0, 0, 2, 2], [5, 5, 0, 0]])
    b = torch.tensor([[12.0, 10, 4, 4], [9, 9, 2, 2], [5, 5, 0, 0]])
    assert paired_iou(a, b).tolist() == pytest.approx([1 / 3, 0, 0])


def losses_of_my_images(at_hand):
    """Return the losses of the images of this process, and the gradients."""
    with pytest.MonkeyPatch.context() as patch:
        if not at_hand:
            patch.setattr("easnn.models.assignment._values_at_hand", lambda tensor: False)
        raw, targets = problem(images=4)
        mine = slice(2 * distributed.rank(), 2 * distributed.rank() + 2)
        losses = detection_losses(raw[mine], targets[mine], GRID)
        losses["total_loss"].backward()
        return {name: value.item() for name, value in losses.items()}, raw.grad.tolist()


def test_two_processes_equal_one_with_the_whole_batch(tmp_path, values):
    raw, targets = problem(images=4)
    whole = detection_losses(raw, targets, GRID)
    whole["total_loss"].backward()
    with World(losses_of_my_images, (values == "at hand",), 2, tmp_path) as world:
        (first, grad_first), (second, grad_second) = world.results()
    assert {name: (first[name] + second[name]) / 2 for name in whole} == pytest.approx(
        {name: value.item() for name, value in whole.items()}, rel=1e-12
    )
    averaged = (torch.tensor(grad_first) + torch.tensor(grad_second)) / 2
    torch.testing.assert_close(averaged, raw.grad.float())
