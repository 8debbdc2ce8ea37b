from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

from easnn.utils.allocator import OWN_SETTINGS, reuse_freed_memory

FAULTS = """
import resource
from easnn.utils.allocator import reuse_freed_memory
import numpy as np
if {reuse}:
    assert reuse_freed_memory()
def touch():
    np.ones(4_000_000)  # 32 MB
touch()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(5):
    touch()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")


def page_faults(*, reuse: bool) -> int:
    """Return the page faults of five large allocations in a process of its own."""
    environment = {name: value for name, value in os.environ.items() if name not in OWN_SETTINGS}
    code = FAULTS.format(reuse=reuse)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@glibc
def test_freed_memory_is_used_again() -> None:
    assert page_faults(reuse=True) < page_faults(reuse=False) / 4


def test_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "100000")
    assert not reuse_freed_memory()
