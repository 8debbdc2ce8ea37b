"""Damaged files of a preprocessed sequence: an error that names the file, or valid frames."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
from fuzzing import mutated
from rvt_layout import HALVED, HISTOGRAMS, open_rvt, write_sequence

from easnn.utils.errors import DataError

CASES = 60

FILES = [
    HISTOGRAMS / HALVED,
    HISTOGRAMS / "timestamps_us.npy",
    HISTOGRAMS / "objframe_idx_2_repr_idx.npy",
    "labels_v2/labels.npz",
    "labels_v2/timestamps_us.npy",
]


@pytest.mark.parametrize("name", FILES, ids=str)
def test_damaged_files(tmp_path, name):
    write_sequence(tmp_path / "train" / "a")
    path = tmp_path / "train" / "a" / name
    content = path.read_bytes()
    rng = np.random.default_rng(zlib.crc32(str(name).encode()))
    refused = 0
    for _ in range(CASES):
        path.unlink()  # an open file stays as it is
        path.write_bytes(mutated(content, rng))
        try:
            dataset = open_rvt(tmp_path)
            frames = [dataset.load(index) for index in range(len(dataset))]
        except DataError as error:
            assert str(tmp_path) in str(error)
            refused += 1
            continue
        assert frames
        for frame in frames:
            assert frame.events.shape == (4, 1, 2, *dataset.sensor_hw)
            assert (frame.boxes[:, 0] < 3).all()
            assert (frame.boxes[:, 1:] >= 0).all()
    assert refused
