from __future__ import annotations

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from easnn.utils.errors import CheckpointError
from easnn.utils.tensor_file import read_tensor_file


@pytest.mark.parametrize(
    "scalar",
    [np.float64(0.375), np.float32(0.5), np.float16(2), np.int64(-3), np.uint8(7), np.bool_(True)],
    ids=lambda scalar: scalar.dtype.name,
)
@pytest.mark.parametrize("zipped", [True, False])
def test_numbers_of_numpy_are_let_in(tmp_path: Path, scalar: np.generic, zipped: bool) -> None:
    path = tmp_path / "a.pth"
    torch.save({"best_ap": scalar}, path, _use_new_zipfile_serialization=zipped)
    found = read_tensor_file(path)
    assert isinstance(found, dict)
    assert found["best_ap"] == scalar
    assert found["best_ap"].dtype == scalar.dtype


@pytest.mark.parametrize("core", [b"core", b"_core"])
def test_numpy_1_and_2_call_it_differently(tmp_path: Path, core: bytes) -> None:
    path = tmp_path / "a.pth"
    torch.save({"best_ap": np.float64(0.375)}, path, _use_new_zipfile_serialization=False)
    contents = path.read_bytes()
    assert b"cnumpy._core.multiarray\n" in contents
    path.write_bytes(
        contents.replace(b"cnumpy._core.multiarray\n", b"cnumpy." + core + b".multiarray\n")
    )
    assert read_tensor_file(path) == {"best_ap": 0.375}


@pytest.mark.parametrize("value", [np.arange(3), Path("a"), len, os.system])
@pytest.mark.parametrize("zipped", [True, False])
def test_everything_else_is_refused(tmp_path: Path, value: object, zipped: bool) -> None:
    path = tmp_path / "a.pth"
    torch.save({"best_ap": value}, path, _use_new_zipfile_serialization=zipped)
    with pytest.raises(
        CheckpointError, match="contains objects other than tensors and plain values"
    ):
        read_tensor_file(path)


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    """Check a byte of each part of the zip: of the tensors, the pickle and the directory."""
    path = tmp_path / "a.pth"
    torch.save({"weight": torch.arange(64.0)}, path)
    whole = path.read_bytes()
    first_weight = whole.index(torch.arange(64.0).numpy().tobytes()) + 4
    pickled = whole.index(b"weight")
    for position in (first_weight, pickled, whole.rindex(b"PK\x01\x02")):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(CheckpointError, match="is truncated, damaged, or not a checkpoint"):
            read_tensor_file(path)


def test_a_function_called_on_the_allowed_ones_is_not_run(tmp_path: Path) -> None:
    """Code in the state of an allowed class is code all the same."""
    target = tmp_path / "made_by_the_bomb"
    path = tmp_path / "a.pth"
    bomb = b"\x80\x02cnumpy\ndtype\n(cos\nmkdir\n(X" + len(str(target)).to_bytes(4, "little")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", bomb + str(target).encode() + b"tRtR.")
        archive.writestr("a/version", "3\n")
    with pytest.raises(CheckpointError):
        read_tensor_file(path)
    assert not target.exists()
    assert pickle.loads(bomb + str(target).encode() + b"tR.") is None
    assert target.is_dir()  # plain unpickling runs the code
