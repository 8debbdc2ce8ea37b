from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from easnn.utils.errors import CheckpointError
from easnn.utils.state_dicts import check_finite, is_state_dict, unwrapped


@pytest.mark.parametrize(
    "weight",
    [
        torch.zeros(0),
        torch.zeros(2, 3),
        torch.tensor(3e38),
        torch.ones(3).half(),
        torch.ones(3).bfloat16(),
        torch.ones(3).to(torch.float8_e4m3fn),
        torch.tensor([True]),
        torch.tensor([2**62]),
        torch.nn.Parameter(torch.zeros(3)),
    ],
    ids=lambda weight: str(weight.dtype),
)
def test_finite_tensors_of_every_type(weight: Tensor) -> None:
    assert is_state_dict({"a": weight})
    check_finite({"a": weight}, "a.pth")


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "kind", [torch.float64, torch.float32, torch.float16, torch.float8_e5m2, torch.complex64]
)
def test_one_number_that_is_not_finite(number: float, kind: torch.dtype) -> None:
    weight = torch.zeros(5)
    weight[3] = number
    with pytest.raises(
        CheckpointError, match=r"^The weights of a\.pth must be finite, but .* in a"
    ):
        check_finite({"b": torch.ones(1), "a": weight.to(kind)}, "a.pth")


@pytest.mark.parametrize(
    "value",
    [
        None,
        [torch.zeros(1)],
        {"a": 1.0},
        {1: torch.zeros(1)},
        {"a": torch.zeros(2).to_sparse()},
        {"a": torch.zeros(2, dtype=torch.complex64)},
        {"a": torch.zeros(2, device="meta")},
    ],
    ids=str,
)
def test_no_state_dict(value: object) -> None:
    assert not is_state_dict(value)


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("head.bias", "head.bias"),
        ("module.head.bias", "head.bias"),
        ("module._orig_mod.module.head._orig_mod.bias", "head.bias"),
        ("head.module.bias", "head.module.bias"),
        ("submodule.my_orig_mod.bias", "submodule.my_orig_mod.bias"),
    ],
)
def test_names_without_wrappers(name: str, plain: str) -> None:
    assert unwrapped(name) == plain
