"""Operations of small convolutions, counted by hand."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from easnn.analysis.energy import (
    accumulates,
    describe_conv,
    fan_out,
    multiply_accumulates,
    padded_macs,
    unpacked,
)
from easnn.models.embedding.packed import PackedConv2d, pack


def spikes(corner: float = 1, inside: float = 1) -> Tensor:
    """Two spikes in a 4×4 image: one in the corner (0, 0), one in row 1, column 2."""
    image = torch.zeros(1, 1, 4, 4)
    image[0, 0, 0, 0], image[0, 0, 1, 2] = corner, inside
    return image


@pytest.mark.parametrize(
    ("kernel", "options", "reached"),
    [
        (3, {"padding": 1}, 4 + 9),  # outputs around the corner and around (1, 2)
        (
            3,
            {"padding": 1, "stride": 2},
            1 + 2,
        ),  # outputs at 0 and 2; row 1 lies between, column 2 at one
        (3, {}, 1 + 4),  # outputs at 1 and 2
        (3, {"stride": 2}, 1 + 1),  # the only output is at (1, 1)
        (1, {}, 1 + 1),
        (1, {"stride": 2}, 1 + 0),  # row 1 is left out
        (3, {"padding": 2, "dilation": 2}, 4 + 4),  # taps two apart
        (2, {"stride": 2}, 1 + 1),  # windows side by side
        ((1, 3), {"padding": (0, 1)}, 2 + 3),  # in a row
    ],
)
def test_a_spike_reaches_the_outputs_that_have_a_tap_on_it(kernel, options, reached) -> None:
    conv = nn.Conv2d(1, 5, kernel, **options)
    assert accumulates(conv, spikes()) == 5 * reached


def test_a_sum_of_spikes_arrives_as_often() -> None:
    conv = nn.Conv2d(1, 5, 3, padding=1)
    assert accumulates(conv, spikes(corner=2, inside=3)) == 5 * (2 * 4 + 3 * 9)


def test_a_spike_reaches_the_outputs_of_its_group() -> None:
    image = torch.cat((spikes(inside=0), spikes(corner=0)), dim=1)
    assert accumulates(nn.Conv2d(2, 6, 3, padding=1, groups=2), image) == 3 * 4 + 3 * 9
    assert accumulates(nn.Conv2d(2, 2, 3, padding=1, groups=2), image) == 4 + 9
    assert accumulates(nn.Conv2d(2, 6, 3, padding=1), image) == 6 * 4 + 6 * 9


def test_fan_out_of_every_position() -> None:
    reached = fan_out(nn.Conv2d(1, 2, 3, padding=1, stride=2), (4, 5))
    rows, columns = [1, 2, 1, 1], [1, 2, 1, 2, 1]  # outputs at rows 0 and 2, at columns 0, 2 and 4
    assert reached.tolist() == [[2 * row * column for column in columns] for row in rows]


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("padding", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_every_arrival_is_one_in_the_output_of_ones(stride, padding, dilation, groups) -> None:
    conv = nn.Conv2d(4, 6, (3, 2), stride, padding, dilation, groups, bias=False).double()
    nn.init.ones_(conv.weight)
    image = torch.randint(0, 4, (3, 4, 9, 8), generator=torch.Generator().manual_seed(1)).double()
    assert accumulates(conv, image) == conv(image).sum()
    assert multiply_accumulates(conv, image) == conv(torch.ones_like(image)).sum()


def test_padding_is_not_multiplied() -> None:
    conv, images = nn.Conv2d(2, 5, 3, padding=1), torch.ones(7, 2, 4, 4)
    assert multiply_accumulates(conv, images) == 7 * 2 * 5 * (2 + 3 + 3 + 2) ** 2
    assert padded_macs(conv, conv(images)) == 7 * 2 * 5 * (3 * 4) ** 2


def test_a_packed_convolution_counts_as_what_it_stands_for() -> None:
    conv = PackedConv2d(1, 5, 3)
    cells = pack(spikes())
    assert accumulates(conv, unpacked(conv, cells)) == 5 * (4 + 9)
    assert multiply_accumulates(conv, unpacked(conv, cells)) == 5 * 10**2
    assert (
        padded_macs(conv, unpacked(conv, conv(cells)))
        == padded_macs(conv, conv(cells))
        == 5 * 12**2
    )


def test_description() -> None:
    assert describe_conv(nn.Conv2d(4, 8, 3, 2)) == "4→8 3×3/2"
    assert describe_conv(nn.Conv2d(4, 8, (1, 3), groups=4)) == "4→8 1×3 in 4 groups"
