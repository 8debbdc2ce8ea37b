"""Resizing frames into the network's input, with one placement per image of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from easnn.ops.letterbox import Placement
from easnn.ops.warp import Warp

Interpolation = Literal["linear", "cubic"]


def place_frames(
    frames: Tensor,
    placements: Sequence[Placement],
    out_hw: tuple[int, int],
    interpolation: Interpolation = "linear",
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Resize every image of a batch to its placement and paste it into an empty frame.

    Pixel centres are aligned as in ``cv2.resize``: pixel i of a side resized from n to m pixels
    samples the source position (i + ½) n / m − ½. ``linear`` interpolates between the 2 nearest
    source pixels of each axis, ``cubic`` between the 4 nearest (Keys' kernel with a = −¾), without
    antialiasing. The border is replicated. The output is zero outside of the placement; parts of
    the placement outside of the output are cut off. If a placement has a warp, all images of the
    batch are sampled at the positions of the output's pixels instead of axis by axis: the same up
    to rounding. What a placement erases is zero.

    Args:
        frames: ``[B, ..., H, W]`` of any numeric type.
        placements: one for each of the B images.
        out_hw: height h and width w of the network's input.
        interpolation: ``linear`` or ``cubic``.
        dtype: floating-point type of the result.

    Returns:
        ``[B, ..., h, w]`` of ``dtype``, on the device of ``frames``.
    """
    if any(placement.warp for placement in placements):
        placed = _place_warped(frames, placements, out_hw, interpolation, dtype)
    else:
        placed = _place_upright(frames, placements, out_hw, interpolation, dtype)
    return _erase(placed, placements)


def _place_upright(
    frames: Tensor,
    placements: Sequence[Placement],
    out_hw: tuple[int, int],
    interpolation: Interpolation,
    dtype: torch.dtype,
) -> Tensor:
    B, (in_height, in_width) = frames.shape[0], frames.shape[-2:]
    out_height, out_width = out_hw
    rows = _taps(
        in_height, out_height, [(p.height_px, p.top_px, False) for p in placements], interpolation
    )
    columns = _taps(
        in_width, out_width, [(p.width_px, p.left_px, p.flip) for p in placements], interpolation
    )
    arithmetic = torch.promote_types(dtype, torch.float32)
    # Weighted sums of rows are fast, of columns slow. So the image is transposed twice: before the
    # conversion from small integers to floats, and between the two axes.
    images = (
        frames.reshape(B, -1, in_height, in_width).transpose(-2, -1).contiguous().to(arithmetic)
    )
    images = _combine_rows(images, *columns).transpose(-2, -1).contiguous()
    images = _combine_rows(images, *rows)
    return images.view(*frames.shape[:-2], out_height, out_width).to(dtype)


def _place_warped(
    frames: Tensor,
    placements: Sequence[Placement],
    out_hw: tuple[int, int],
    interpolation: Interpolation,
    dtype: torch.dtype,
) -> Tensor:
    B, (out_height, out_width) = frames.shape[0], out_hw
    arithmetic = torch.promote_types(dtype, torch.float32)
    images = frames.reshape(B, -1, *frames.shape[-2:]).to(arithmetic)
    # The host does not wait for the copy. A matrix product could be rounded to TF32.
    maps = torch.tensor([_source_map(p) for p in placements], dtype=torch.float64)
    xx, xy, x0, yx, yy, y0 = maps.to(images, non_blocking=True)[:, :, None, None].unbind(
        1
    )  # each [B,1,1]
    x = torch.arange(out_width, device=images.device, dtype=arithmetic) + 0.5
    y = torch.arange(out_height, device=images.device, dtype=arithmetic)[:, None] + 0.5
    grid = torch.stack((xx * x + xy * y + x0, yx * x + yy * y + y0), dim=-1)
    mode = "bilinear" if interpolation == "linear" else "bicubic"
    placed = F.grid_sample(images, grid, mode, padding_mode="border", align_corners=False)
    placed = torch.where((grid.abs() <= 1).all(dim=-1)[:, None], placed, 0.0)
    return placed.view(*frames.shape[:-2], out_height, out_width).to(dtype)


def _source_map(placement: Placement) -> tuple[float, ...]:
    """Return the affine map from a point of the output, in pixels, to one of the source.

    The source reaches from −1 to 1 along both axes. The point (x, y) comes from
    (m0·x + m1·y + m2, m3·x + m4·y + m5).
    """
    warp = placement.warp or Warp((0.0, 0.0))
    (xx, xy), (yx, yy) = warp.inverse()
    centre_x, centre_y = warp.centre_px
    x0, y0 = centre_x - xx * centre_x - xy * centre_y, centre_y - yx * centre_x - yy * centre_y
    across = (-2 if placement.flip else 2) / placement.width_px
    down = 2 / placement.height_px
    return (
        across * xx,
        across * xy,
        across * (x0 - placement.left_px) + (1 if placement.flip else -1),
        down * yx,
        down * yy,
        down * (y0 - placement.top_px) - 1,
    )


def _erase(frames: Tensor, placements: Sequence[Placement]) -> Tensor:
    """Return frames ``[B, ..., h, w]`` that are zero in the erased rectangles."""
    if not any(placement.erased for placement in placements):
        return frames
    height, width = frames.shape[-2:]
    rows = torch.zeros(len(placements), height, 1, dtype=torch.bool)
    columns = torch.zeros(len(placements), 1, width, dtype=torch.bool)
    for number, placement in enumerate(placements):
        if (erased := placement.erased) is not None:
            rows[number, erased.top_px : erased.top_px + erased.height_px] = True
            columns[number, :, erased.left_px : erased.left_px + erased.width_px] = True
    inside = rows.to(frames.device, non_blocking=True) & columns.to(
        frames.device, non_blocking=True
    )
    return frames.masked_fill(inside.view(-1, *[1] * (frames.ndim - 3), height, width), 0.0)


def _linear(distance: Tensor) -> Tensor:
    return 1 - distance


def _cubic(distance: Tensor, a: float = -0.75) -> Tensor:
    near = ((a + 2) * distance - (a + 3)) * distance**2 + 1
    far = ((a * distance - 5 * a) * distance + 8 * a) * distance - 4 * a
    return torch.where(distance <= 1, near, far)


_KERNELS: dict[Interpolation, tuple[int, Callable[[Tensor], Tensor]]] = {
    "linear": (2, _linear),
    "cubic": (4, _cubic),
}


def _taps(
    in_size: int, out_size: int, segments: list[tuple[int, int, bool]], interpolation: Interpolation
) -> tuple[Tensor, Tensor]:
    """Return the source pixels of each output pixel along one axis, and their float64 weights.

    Args:
        in_size: length of the source axis.
        out_size: length of the output axis.
        segments: per image, length and start of the resized axis, and whether it is flipped.
        interpolation: ``linear`` or ``cubic``.

    Returns:
        Indices and weights, each ``[B, out_size, taps]``; the weights are 0 outside of the segment.
    """
    taps, kernel = _KERNELS[interpolation]
    length, start, flipped = torch.tensor(segments, dtype=torch.float64).T[:, :, None]
    pixel = torch.arange(out_size, dtype=torch.float64) - start
    inside = (pixel >= 0) & (pixel < length)
    pixel = torch.where(flipped > 0, length - 1 - pixel, pixel)
    position = (pixel + 0.5) * in_size / length - 0.5
    tap = position.floor()[..., None] + torch.arange(taps) - (taps // 2 - 1)
    weight = kernel((position[..., None] - tap).abs()) * inside[..., None]
    return tap.long().clamp(0, in_size - 1), weight


def _combine_rows(images: Tensor, indices: Tensor, weights: Tensor) -> Tensor:
    """Return images ``[B, K, R', M]`` whose rows are weighted sums of the rows of ``images``.

    Args:
        images: ``[B, K, R, M]``, contiguous.
        indices: ``[B, R', taps]``, on the host: the rows that row R' sums.
        weights: ``[B, R', taps]``, on the host: their weights.
    """
    B, K, R, M = images.shape
    first_row = torch.arange(0, B * K * R, R, device=images.device).view(B, K, 1, 1)
    # The host does not wait for the copies.
    rows = indices.to(images.device, non_blocking=True)
    bags = first_row + rows[:, None]
    bag_weights = weights.to(images, non_blocking=True)[:, None].expand_as(bags)
    taps = indices.shape[-1]
    combined = F.embedding_bag(
        bags.view(-1, taps),
        images.view(-1, M),
        per_sample_weights=bag_weights.reshape(-1, taps),
        mode="sum",
    )
    return combined.view(B, K, -1, M)
