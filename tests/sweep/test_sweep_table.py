from __future__ import annotations

import pytest

from easnn.sweep.sweep_table import spread


def test_mean_and_sample_deviation() -> None:
    # mean 3; (4 + 1 + 9)/2 = 7
    assert spread([1.0, 2.0, 6.0]) == {"mean": 3.0, "deviation": pytest.approx(7**0.5)}


def test_one_number_has_no_deviation() -> None:
    assert spread([0.25]) == {"mean": 0.25, "deviation": None}


@pytest.mark.parametrize("numbers", [[], [0.5, None]])
def test_nothing_to_average(numbers: list[float | None]) -> None:
    assert spread(numbers) is None
