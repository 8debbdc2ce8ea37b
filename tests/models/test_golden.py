"""The published implementation's numbers, in float64."""

from __future__ import annotations

import pytest
import torch
from golden_case import CASES, GoldenCase, config_of

from easnn.models import build_detector, published_names


@pytest.fixture(scope="module", params=CASES)
def case(request, golden):
    return GoldenCase.read(golden, request.param)


def test_every_case_of_the_folder_is_tested(golden):
    assert sorted(path.stem for path in (golden / "model").glob("*.json")) == sorted(CASES)


def test_embedding_and_detections_agree(case):
    model = case.model().eval()
    with torch.no_grad():
        embedding, outputs = model.embedding(case.events), model(case.events)
    for found, expected in ((embedding, case.embedding), (outputs, case.outputs)):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * expected.abs().max().item())


def test_one_training_step_agrees(case):
    model, expected = case.model().train(), case.expected
    assert sum(p.numel() for p in model.parameters()) == expected["num_params"]
    losses = model(case.events, case.targets)
    losses["total_loss"].backward()
    assert {k: v.item() for k, v in losses.items()} == pytest.approx(expected["losses"], rel=1e-9)

    names = published_names(model)
    gradients = {
        names[k]: None if p.grad is None else p.grad.norm().item()
        for k, p in model.named_parameters()
    }
    assert gradients == pytest.approx(expected["grad_norms"], rel=1e-6, abs=1e-12)
    statistics = {
        names[k]: v.norm().item() for k, v in model.state_dict().items() if "running_" in k
    }
    assert statistics == pytest.approx(expected["bn_norms_after_one_train_forward"], rel=1e-9)


def test_published_names_are_complete(case):
    model = build_detector(config_of(case.expected))
    state = model.state_dict()
    shapes = {
        published: list(state[ours].shape) for ours, published in published_names(model).items()
    }
    assert shapes == dict(case.expected["state_dict"])
