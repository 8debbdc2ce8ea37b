from __future__ import annotations

import pytest

from easnn.sweep import sweep_devices
from easnn.utils.errors import ConfigError


@pytest.fixture
def four_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 4)


def test_a_gpu_each(four_gpus: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert sweep_devices(2) == [{"CUDA_VISIBLE_DEVICES": "0"}, {"CUDA_VISIBLE_DEVICES": "1"}]


def test_only_gpus_that_this_process_may_use(
    four_gpus: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "6, 2,3,1")
    assert sweep_devices(2) == [{"CUDA_VISIBLE_DEVICES": "6"}, {"CUDA_VISIBLE_DEVICES": "2"}]


def test_more_than_there_are(four_gpus: None) -> None:
    with pytest.raises(ConfigError) as caught:
        sweep_devices(5)
    assert str(caught.value) == (
        "`-d` must be at most 4, the number of GPUs of this machine (see CUDA_VISIBLE_DEVICES), "
        "but is 5."
    )


def test_the_number_of_threads_that_the_user_chose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert sweep_devices(2) == [{"OMP_NUM_THREADS": "3"}, {"OMP_NUM_THREADS": "3"}]
