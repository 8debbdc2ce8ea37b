from __future__ import annotations

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from easnn.models import DetectorConfig, build_detector
from easnn.published import PublishedCheckpoint, to_published
from easnn.utils.errors import CheckpointError, OutputError
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


def test_weights_that_are_not_finite_are_named(weights):
    """Under our names; a membrane that the file holds beside them may be anything."""
    bias = "head.obj_preds.1.bias"
    broken = {
        **weights,
        bias: torch.full_like(weights[bias], np.inf),
        "backbone.backbone.dark2.0.act.v": torch.tensor(np.nan),
    }
    with pytest.raises(CheckpointError) as error:
        PublishedCheckpoint.of({"model": broken}, Path("a.pth"))
    assert str(error.value) == (
        "The weights of a.pth must be finite, but there are NaN or infinite values in "
        "head.levels.1.object_out.bias. Use another checkpoint, e.g. an earlier one of the same "
        "run."
    )


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
