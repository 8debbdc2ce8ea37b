from __future__ import annotations

import math

import pytest
import torch

from easnn.engine import ModelEma


def test_average_follows_the_formula():
    model = torch.nn.Linear(1, 1, bias=False).double()
    torch.nn.init.constant_(model.weight, 1.0)
    ema = ModelEma(model)
    expected = 1.0
    for n, value in enumerate((5.0, -3.0, 2.0), start=1):
        torch.nn.init.constant_(model.weight, value)
        ema.update(model)
        decay = 0.9998 * (1 - math.exp(-n / 2000))
        expected = decay * expected + (1 - decay) * value
        assert ema.model.weight.item() == pytest.approx(expected, rel=1e-14)
    assert ema.updates == 3


def test_float_buffers_are_averaged_and_integers_copied():
    model = torch.nn.BatchNorm1d(2)
    ema = ModelEma(model, decay=0.5, tau=1e-9)
    model.running_mean.fill_(4.0)
    model.num_batches_tracked.fill_(7)
    ema.update(model)
    assert ema.model.running_mean.tolist() == [2.0, 2.0]
    assert ema.model.num_batches_tracked.item() == 7


def test_average_shares_nothing_with_the_model_and_is_in_evaluation_mode():
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2)).train()
    ema = ModelEma(model)
    torch.nn.init.constant_(model[0].weight, 9.0)
    assert not ema.model.training
    assert model.training
    assert not torch.equal(ema.model[0].weight, model[0].weight)
    assert all(not p.requires_grad for p in ema.model.parameters())
