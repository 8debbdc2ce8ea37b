from __future__ import annotations

import errno
import multiprocessing
import os
import signal

import pytest

from easnn.utils.files import file_stamp
from easnn.utils.locks import LocksMissingError, exclusive, hold, is_held, lock_alone, only_one


def _hold_and_be_killed(path) -> None:
    held = hold(path)
    assert is_held(path)
    os.kill(os.getpid(), signal.SIGKILL)
    held.close()


def test_a_file_is_held_until_its_last_holder_lets_go(tmp_path):
    path = tmp_path / "lock"
    assert not is_held(path)
    with hold(path):
        with hold(path):
            assert is_held(path)
        assert is_held(path)
    assert not is_held(path)


def test_a_killed_process_holds_nothing(tmp_path):
    process = multiprocessing.get_context("fork").Process(
        target=_hold_and_be_killed, args=(tmp_path / "lock",)
    )
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert not is_held(tmp_path / "lock")


def test_an_exclusive_block_is_held(tmp_path):
    with exclusive(tmp_path / "lock"):
        assert is_held(tmp_path / "lock")
    assert not is_held(tmp_path / "lock")


def test_only_one_process_has_a_folder(tmp_path):
    with only_one(tmp_path) as first:
        with only_one(tmp_path) as second:
            assert first is not None
            assert second is None
        with only_one(tmp_path) as third:
            assert third is None
    with only_one(tmp_path) as later:
        assert later is not None
    assert list(tmp_path.iterdir()) == []


def test_a_stamp_tells_size_and_time(tmp_path):
    path = tmp_path / "file"
    assert file_stamp(path) == (-1, -1)
    path.write_bytes(b"abc")
    os.utime(path, ns=(5, 7))
    assert file_stamp(path) == (3, 7)


def test_a_lock_alone(tmp_path):
    path = tmp_path / "lock"
    first = lock_alone(path)
    assert first is not None
    assert lock_alone(path) is None
    path.unlink()  # by the holder, when it ends
    later = lock_alone(path)
    assert later is not None, "a lock on a file that is there"
    first.close()
    assert lock_alone(path) is None
    later.close()


def test_a_file_system_without_locks(tmp_path, monkeypatch):
    def no_locks(_file, _operation):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(LocksMissingError):
        lock_alone(tmp_path / "lock")
