from __future__ import annotations

import pytest

from easnn.cli.sweep import Spread


def test_mean_and_sample_deviation() -> None:
    spread = Spread.of([1.0, 2.0, 6.0])  # mean 3; (4 + 1 + 9)/2 = 7
    assert spread == Spread(3.0, pytest.approx(7**0.5))
    assert spread.text(2) == "3.00 ± 2.65"


def test_one_number_has_no_deviation() -> None:
    spread = Spread.of([0.25])
    assert spread == Spread(0.25, None)
    assert spread.text(3) == "0.250"


@pytest.mark.parametrize("numbers", [[], [0.5, None]])
def test_nothing_to_average(numbers: list[float | None]) -> None:
    assert Spread.of(numbers) is None
