"""A named pipe, a socket or a device in the place of a file is refused before it is opened."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable
from pathlib import Path

import pytest
from caltech_layout import open_caltech, write_image

from easnn.data.dataset_json import read_dataset_info
from easnn.events import (
    open_aedat4,
    open_dat,
    open_hdf5,
    open_n_mnist,
    open_npz,
    open_raw,
    open_recording,
    read_boxes,
    read_contours,
)
from easnn.utils.errors import CheckpointError, DataError
from easnn.utils.tensor_file import read_tensor_file

READERS = (
    open_recording,
    open_dat,
    open_raw,
    open_hdf5,
    open_npz,
    open_aedat4,
    open_n_mnist,
    read_boxes,
    read_contours,
)


def refused(path: Path, kind: str = "a named pipe (FIFO)") -> str:
    return f"^{re.escape(f'{path} is not a regular file, but {kind}. Give a file instead.')}$"


@pytest.mark.parametrize("read", READERS)
def test_every_reader(tmp_path: Path, read: Callable[[Path], object]):
    pipe, link = tmp_path / "pipe.dat", tmp_path / "link.dat"
    os.mkfifo(pipe)
    link.symlink_to(pipe)
    for path in (pipe, link):
        with pytest.raises(DataError, match=refused(path)):
            read(path)
    with pytest.raises(DataError, match=refused(Path("/dev/zero"), "a device")):
        read(Path("/dev/zero"))


def test_a_socket(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the names of sockets must be short
    with socket.socket(socket.AF_UNIX) as endpoint:
        endpoint.bind("a.dat")
        with pytest.raises(DataError, match=refused(Path("a.dat"), "a socket")):
            open_recording("a.dat")


def test_dataset_json(tmp_path):
    os.mkfifo(tmp_path / "dataset.json")
    with pytest.raises(DataError, match=refused(tmp_path / "dataset.json")):
        read_dataset_info(tmp_path)


def test_checkpoint(tmp_path):
    os.mkfifo(path := tmp_path / "a.pth")
    message = (
        f"Checkpoint {path} is not a regular file, but a named pipe (FIFO). Check the path given "
        "with -c."
    )
    with pytest.raises(CheckpointError, match=f"^{re.escape(message)}$"):
        read_tensor_file(path)


def test_list_of_a_split(tmp_path):
    write_image(tmp_path, "cup", 1)
    os.mkfifo(tmp_path / "train.txt")
    with pytest.raises(DataError, match=refused(tmp_path / "train.txt")):
        open_caltech(tmp_path)
