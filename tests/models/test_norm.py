from __future__ import annotations

import torch
from torch import nn

from easnn.models.norm import batch_norm


def test_frames_that_stand_for_several_steps_count_as_often():
    once, always = batch_norm(3, repeats=4).double(), batch_norm(3).double()
    for norm in (once, always):
        nn.init.constant_(norm.running_var, 0.7)
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64)
    for _ in range(2):
        torch.testing.assert_close(once(x).repeat(4, 1, 1, 1), always(x.repeat(4, 1, 1, 1)))
    torch.testing.assert_close(once.state_dict(), always.state_dict(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(once.eval()(x), always.eval()(x))


def test_constants_are_those_of_yolox():
    assert (batch_norm(3).eps, batch_norm(3).momentum) == (1e-3, 0.03)
    assert (batch_norm(3, 2).eps, batch_norm(3, 2).momentum) == (1e-3, 0.03)
