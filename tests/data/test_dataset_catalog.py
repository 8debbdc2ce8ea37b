from __future__ import annotations

import pytest
from raw_layout import write_recording

from easnn.data import DATASETS, build_dataset
from easnn.utils.errors import ConfigError

FRAMES = {
    "window_ms": -20,
    "Tl": 1,
    "Tm": 3,
    "aggregation": "micro_sum",
    "slicing": "window",
    "measure": "count",
    "tau_us": 50_000,
    "num_classes": 2,
}


@pytest.mark.parametrize("data_name", DATASETS)
def test_every_dataset_is_built_from_the_same_arguments(tmp_path, data_name):
    write_recording(tmp_path / "train", "a")
    dataset = build_dataset(data_name, tmp_path, ["train"], **FRAMES)
    assert (dataset.name, dataset.split, len(dataset)) == (data_name, "train", 1)
    assert dataset.load(0).events.shape == (1, 3, 2, 24, 32)


@pytest.mark.parametrize("data_name", ["gen4", "n-caltech"])
def test_unknown_dataset(tmp_path, data_name):
    with pytest.raises(ConfigError) as caught:
        build_dataset(data_name, tmp_path, ["train"], **FRAMES)
    assert str(caught.value) == (
        "`data_name` must be one of gen1, synthetic, the datasets that this version reads, but is "
        f"{data_name}."
    )
