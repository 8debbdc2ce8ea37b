from __future__ import annotations

import pytest
from caltech_layout import line_of, write_image
from raw_layout import write_recording

from easnn.data import DATASETS
from easnn.representations import FrameSpec

SPEC = FrameSpec(window=0, Tm=3, slicing="window")


@pytest.mark.parametrize("data_name", DATASETS)
def test_every_dataset_is_built_from_the_same_arguments(tmp_path, data_name):
    write_recording(tmp_path / "train", "a")
    write_image(tmp_path, "cup", 1)
    (tmp_path / "train.txt").write_text(line_of("cup", 1))
    source = DATASETS[data_name].source(tmp_path, ["train"])
    dataset = source.dataset(SPEC, num_classes=len(source.class_names))
    assert source.class_names == DATASETS[data_name].class_names
    assert (dataset.name, dataset.split, len(dataset)) == (data_name, "train", 1)
    assert dataset.sensor_hw == source.sensor_hw
    assert dataset.load(0).events.shape == (1, 3, 2, *dataset.sensor_hw)


def test_published_settings_of_each_dataset():
    assert {
        name: (kind.interpolation, kind.jitter, kind.tau_ms) for name, kind in DATASETS.items()
    } == {
        "n-caltech": ("cubic", 0.1, 10),
        "gen1": ("linear", 0.3, 50),
        "gen4": ("linear", 0.3, 50),
        "gen4-all": ("linear", 0.3, 50),
        "synthetic": ("linear", 0.3, 50),
    }
