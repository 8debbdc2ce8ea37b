from __future__ import annotations

import pytest
import torch

from easnn.models.blocks import mean_over_time


@pytest.mark.parametrize("shape", [(6, 3, 4, 5), (6, 3, 1, 1), (6, 1, 4, 5), (6, 3)])
def test_the_mean_over_time_keeps_the_layout(shape):
    x = torch.rand(shape)
    expected = x.reshape(3, 2, *shape[1:]).mean(dim=0)
    torch.testing.assert_close(mean_over_time(x, 3), expected)
    if len(shape) == 4:
        last = mean_over_time(x.contiguous(memory_format=torch.channels_last), 3)
        torch.testing.assert_close(last, expected)
        assert last.is_contiguous(memory_format=torch.channels_last)
