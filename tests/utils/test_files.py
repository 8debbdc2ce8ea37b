from __future__ import annotations

import errno
import json
import os
import stat
import tempfile
import time
from pathlib import Path

import pytest

from easnn.utils.errors import OutputError, did_you_mean
from easnn.utils.files import (
    ABANDONED_S,
    atomic_write,
    flush,
    make_directory,
    refuse_inside,
    remove_unfinished,
    temporary_folder,
    write_json,
)


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


@pytest.mark.parametrize("name", ["raw", "raw/new", "link/new/deep", "out/../raw"])
def test_nothing_is_written_into_what_is_read(tmp_path: Path, name: str) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(raw)
    with pytest.raises(OutputError) as caught:
        refuse_inside(tmp_path / name, raw)
    assert str(caught.value) == (
        f"Nothing can be written to {tmp_path / name}, because it is in {raw}, which is read. "
        "Choose a folder outside of it."
    )
    with pytest.raises(OutputError):
        refuse_inside(raw / "new", tmp_path / "link")


@pytest.mark.parametrize("name", ["raw2", "out", "raw/../out"])
def test_beside_what_is_read_is_allowed(tmp_path: Path, name: str) -> None:
    refuse_inside(tmp_path / name, tmp_path / "raw")


def test_a_temporary_folder_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with temporary_folder("a-") as folder:
        (folder / "file").write_text("x")
        assert (folder.parent, folder.name[:2]) == (tmp_path, "a-")
    assert list(tmp_path.iterdir()) == []


def test_without_a_place_for_temporary_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    with pytest.raises(OutputError) as caught, temporary_folder("a-"):
        pass
    assert str(caught.value) == (
        "Cannot make a temporary folder: No such file or directory. Set TMPDIR to a folder with "
        "some space that can be written to."
    )


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


def _leave(folder: Path, name: str, *, age_s: float) -> Path:
    path = folder / name
    path.write_bytes(b"half")
    os.utime(path, times=(time.time() - age_s,) * 2)
    return path


def test_what_nobody_writes_any_more_is_removed(tmp_path: Path) -> None:
    old = _leave(tmp_path, ".a.json.abcd1234", age_s=2 * ABANDONED_S)
    kept = [
        _leave(tmp_path, ".a.json.dcba4321", age_s=0),  # perhaps written by another machine
        _leave(tmp_path, ".b.json.abcd1234", age_s=2 * ABANDONED_S),
        _leave(tmp_path, ".a.json.backup", age_s=2 * ABANDONED_S),
        _leave(tmp_path, "a.json", age_s=2 * ABANDONED_S),
    ]
    with atomic_write(tmp_path / "a.json") as file:
        [written] = set(tmp_path.iterdir()) - {old, *kept}
        os.utime(written, (0, 0))
        assert remove_unfinished(tmp_path, "a.*") == [old]
        file.write(b"new")
    assert set(tmp_path.iterdir()) == set(kept)
    assert (tmp_path / "a.json").read_bytes() == b"new"


def test_who_writes_alone_removes_everything_unfinished(tmp_path: Path) -> None:
    new = _leave(tmp_path, ".a.json.abcd1234", age_s=0)
    assert remove_unfinished(tmp_path, "a.json", alone=True) == [new]
    assert remove_unfinished(tmp_path / "missing", "a.json", alone=True) == []


def test_a_file_system_without_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(_file: object, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    old = _leave(tmp_path, ".a.json.abcd1234", age_s=2 * ABANDONED_S)
    new = _leave(tmp_path, ".a.json.dcba4321", age_s=0)
    with atomic_write(tmp_path / "a.json") as file:
        file.write(b"new")
    assert remove_unfinished(tmp_path, "a.json") == [old]
    assert new.exists()
