"""The published formulations give the numbers of the published code, in float64."""

from __future__ import annotations

import pytest
import torch
from golden_case import GoldenCase

from easnn.benchmark.reference import PublishedDetector
from easnn.models import published_names


def test_golden_case(golden):
    case = GoldenCase.read(golden, "s_full_spike_v2")
    ours = case.model()
    model = PublishedDetector(ours).eval()
    with torch.no_grad():
        outputs = model(case.events)
    largest = case.outputs.abs().max().item()
    torch.testing.assert_close(outputs, case.outputs, rtol=0, atol=1e-5 * largest)

    losses = model.train()(case.events, case.targets)
    losses["total_loss"].backward()
    expected = case.expected
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(expected["losses"], rel=1e-9)
    names = published_names(ours)
    norms = {
        names[k]: None if p.grad is None else p.grad.norm().item()
        for k, p in model.network.named_parameters()
    }
    assert norms == pytest.approx(expected["grad_norms"], rel=1e-6, abs=1e-12)
