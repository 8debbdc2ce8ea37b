"""The fuzzing of everything that reads: a sample, and that findings are found."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

BAD_TARGETS = """\
import sys, time
sys.path.insert(0, {here!r})
import fuzz, fuzz_targets
from easnn.utils.errors import DataError
import numpy as np

def write(folder):
    (folder / "a").write_bytes(b"valid")
    return folder / "a"

def reading(act):
    return lambda path: None if path.read_bytes() == b"valid" else act(path)

def refuse(path):
    raise DataError("no")

acts = {{"fault": lambda path: 1 / 0, "memory": lambda path: np.ones(2**40), "refused": refuse,
         "slow": lambda path: time.sleep(60)}}
fuzz.LIMIT_S = 0.05
fuzz_targets.TARGETS = tuple(
    fuzz_targets.Target(name, write, reading(act)) for name, act in acts.items()
)
fuzz.main(["--worker", "all", "--inputs", "1"])
"""


def test_a_sample() -> None:
    command = [sys.executable, str(HERE / "fuzz.py"), "--inputs", "40", "--seed", "0"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith(" inputs, 0 findings")


def test_findings_are_found() -> None:
    code = BAD_TARGETS.format(here=str(HERE))
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    found = {m["row"]["target"]: m["findings"] for m in messages if "row" in m}
    assert [text.split(":")[1].strip() for texts in found.values() for text in texts] == [
        "ZeroDivisionError",
        "MemoryError",
        "TooSlowError",
    ]
    assert found["refused"] == []
