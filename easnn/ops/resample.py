"""Resizing frames into the network's input, with one placement per image of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from easnn.ops.letterbox import Placement

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
    the placement outside of the output are cut off.

    Args:
        frames: ``[B, ..., H, W]`` of any numeric type.
        placements: one for each of the B images.
        out_hw: height h and width w of the network's input.
        interpolation: ``linear`` or ``cubic``.
        dtype: floating-point type of the result.

    Returns:
        ``[B, ..., h, w]`` of ``dtype``, on the device of ``frames``.
    """
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
