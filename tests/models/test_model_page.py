"""The example in docs/model.md does what it says."""

from __future__ import annotations

import re
from pathlib import Path

import torch

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "model.md").read_text()


def test_the_example_runs():
    code, remembering = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    events = torch.poisson(torch.full((2, 1, 4, 2, 32, 64), 0.3))
    names = {"events": events, "targets": torch.tensor([[[1, 30.0, 16, 20, 24]]] * 2)}
    with torch.no_grad():
        exec(code, names)
    assert list(names["losses"]) == re.findall(r"losses = .*# (.*)", code)[0].split(", ")
    assert names["detections"].shape == (2, 4 * 8 + 2 * 4 + 1 * 2, 7)
    assert torch.equal(names["trace"].output, names["frames"])
    assert names["config"].replace(T=4).T == 4
    with torch.no_grad():
        exec(remembering, names)
    assert [tuple(s.shape) for s in names["state"]] == [
        (2, 128, 4, 8),
        (2, 128, 2, 4),
        (2, 128, 1, 2),
    ]
