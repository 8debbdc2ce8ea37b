from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from easnn.utils.errors import OutputError, did_you_mean
from easnn.utils.files import atomic_write, flush, make_directory, write_json


def test_atomic_write_replaces_only_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(b"old")
    with atomic_write(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_file_and_folder_are_flushed_around_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.json"
    done = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        done.append((kind, path.exists()))
        fsync(descriptor)

    monkeypatch.setattr("easnn.utils.files.os.fsync", noting)
    with atomic_write(path) as file:
        file.write(b"new")
    assert done == [("file", False), ("folder", True)]


def test_a_folder_that_cannot_be_flushed_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr("easnn.utils.files.os.fsync", refuse)
    flush(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="Invalid argument"):
        flush(tmp_path / "file")


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "ckpt.pth"
    path.write_bytes(b"old")
    with pytest.raises(OutputError) as caught, atomic_write(path) as file:
        file.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")
    assert str(caught.value) == (
        f"Cannot write {path}: No space left on device. Nothing was replaced; free some space or "
        "choose another directory."
    )
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["ckpt.pth"]


def test_a_program_error_inside_the_block_is_passed_on(tmp_path: Path) -> None:
    with pytest.raises(KeyError), atomic_write(tmp_path / "a") as file:
        file.write(b"half")
        raise KeyError("x")
    assert list(tmp_path.iterdir()) == []


def test_write_json_refuses_numbers_that_json_does_not_have(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"ap": 0.5})
    assert json.loads((tmp_path / "a.json").read_text()) == {"ap": 0.5}
    with pytest.raises(ValueError, match="Out of range float"):
        write_json(tmp_path / "a.json", {"ap": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"ap": 0.5}


def test_a_directory_below_a_file_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError) as caught:
        make_directory(tmp_path / "file" / "run")
    assert str(caught.value) == (
        f"Cannot write to directory {tmp_path / 'file' / 'run'}: Not a directory. Choose another "
        "directory or free some space."
    )


def test_did_you_mean() -> None:
    assert did_you_mean("max_epochs", ["max_epoch", "seed"]) == " Did you mean `max_epoch`?"
    assert did_you_mean("zzz", ["max_epoch", "seed"]) == ""
