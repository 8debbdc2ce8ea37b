"""Errors of the operating system as sentences."""

from __future__ import annotations

import errno
import os

import pytest

from easnn.utils.errors import said_plainly


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            PermissionError(errno.EACCES, "Permission denied", "/data/gen1"),
            "Cannot use /data/gen1: Permission denied. Change its permissions, or give another "
            "path.",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "No space left on device. Free some space, or give a path on another disk.",
        ),
        (
            OSError(errno.EXDEV, "Invalid cross-device link", b"/a\xff", None, "/b"),
            "Cannot use /a\udcff and /b: Invalid cross-device link.",
        ),
        (
            FileNotFoundError(errno.ENOENT, "No usable temporary directory found in ['/tmp']"),
            "No usable temporary directory found in ['/tmp'].",
        ),
        (OSError(errno.EIO, None, 3), f"{os.strerror(errno.EIO)}."),
    ],
)
def test_the_path_the_reason_and_what_to_do(error: OSError, message: str) -> None:
    assert str(said_plainly(error)) == message


def test_what_does_not_come_from_the_operating_system_may_be_a_bug() -> None:
    assert said_plainly(OSError("no header")) is None
