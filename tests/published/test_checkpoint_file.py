from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from easnn.models import DetectorConfig, build_detector
from easnn.published import PublishedCheckpoint, to_published
from easnn.utils.errors import OutputError
from easnn.utils.tensor_file import read_tensor_file

CONFIG = DetectorConfig(num_classes=2, depth=0.33, width=0.125)


@pytest.fixture(scope="module")
def weights() -> dict[str, torch.Tensor]:
    return to_published(CONFIG, build_detector(CONFIG).state_dict())


@pytest.mark.parametrize(
    ("entries", "epochs", "best_ap"),
    [
        ({"start_epoch": 30, "best_ap": np.float64(0.375)}, 30, 0.375),
        (
            {"start_epoch": np.int64(3), "best_ap": 0, "curr_ap": np.float32(0.1), "optimizer": {}},
            3,
            0.0,
        ),
        ({}, 0, None),
        ({"start_epoch": None, "best_ap": "good"}, 0, None),
    ],
)
def test_what_is_kept(weights, entries, epochs, best_ap):
    found = PublishedCheckpoint.of({"model": OrderedDict(weights), **entries}, Path("a.pth"))
    assert (found.config, found.epochs, found.best_ap) == (CONFIG, epochs, best_ap)
    assert type(found.best_ap) in (float, type(None))


def test_a_bare_state_dict(weights):
    found = PublishedCheckpoint.of(weights, Path("a.pth"))
    assert (found.config, found.epochs, found.best_ap) == (CONFIG, 0, None)
    assert len(found.weights) == len(weights)


@pytest.mark.parametrize("zipped", [True, False])
def test_old_and_new_files_of_torch(weights, tmp_path, zipped):
    path = tmp_path / "a.pth"
    torch.save({"model": weights}, path, _use_new_zipfile_serialization=zipped)
    found = PublishedCheckpoint.of(read_tensor_file(path), path)
    assert torch.equal(
        found.weights["head.levels.0.box_out.weight"], weights["head.reg_preds.0.weight"]
    )


def test_saved_as_published(weights, tmp_path):
    path = tmp_path / "a.pth"
    PublishedCheckpoint.of({"model": weights, "start_epoch": 4}, path).save(path)
    contents = torch.load(path, weights_only=True)
    assert list(contents) == ["start_epoch", "model", "best_ap"]
    assert (contents["start_epoch"], contents["best_ap"]) == (4, None)
    assert isinstance(contents["model"], OrderedDict)
    assert list(contents["model"]) == list(weights)


def test_a_folder_that_is_not_there(weights, tmp_path):
    with pytest.raises(OutputError, match="No such file or directory"):
        PublishedCheckpoint.of(weights, Path("a.pth")).save(tmp_path / "no" / "a.pth")
