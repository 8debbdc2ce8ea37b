from __future__ import annotations

import pytest

from easnn.sweep.sweep_table import paired, spread


def test_mean_and_sample_deviation() -> None:
    # mean 3; (4 + 1 + 9)/2 = 7
    assert spread([1.0, 2.0, 6.0]) == {"mean": 3.0, "deviation": pytest.approx(7**0.5)}


def test_one_number_has_no_deviation() -> None:
    assert spread([0.25]) == {"mean": 0.25, "deviation": None}


@pytest.mark.parametrize("numbers", [[], [0.5, None]])
def test_nothing_to_average(numbers: list[float | None]) -> None:
    assert spread(numbers) is None


def test_a_paired_test_of_a_few_seeds() -> None:
    # mean 0.02; deviation 0.01; standard error 0.01/√3; t = 3.464; t(0.975; 2) = 4.3027
    found = paired([0.01, 0.02, 0.03])
    assert found == {
        "mean": pytest.approx(0.02),
        "low": pytest.approx(0.02 - 4.3027 * 0.01 / 3**0.5, abs=1e-6),
        "high": pytest.approx(0.02 + 4.3027 * 0.01 / 3**0.5, abs=1e-6),
        "p": pytest.approx(0.0742, abs=1e-4),
    }


@pytest.mark.parametrize("differences", [[0.1], [0.1, 0.1]])
def test_without_a_deviation_there_is_only_a_mean(differences: list[float]) -> None:
    assert paired(differences) == {"mean": 0.1, "low": None, "high": None, "p": None}


def test_without_common_seeds_there_is_nothing() -> None:
    assert paired([]) is None
