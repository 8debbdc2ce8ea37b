"""A sweep whose trainings take milliseconds.

``python sweep_case.py FOLDER OPTIONS`` runs the sweep in ``FOLDER`` as a process, for tests that
send signals.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from easnn.cli.sweep import main

PROGRAM = (sys.executable, "-S", str(Path(__file__).with_name("stand_in_program.py")))


class SweepCase:
    """A sweep file and the folder of its runs, which the stand-in makes."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "sweep.toml"
        self.output = folder / "out"

    def write(self, text: str) -> None:
        """Write the file; the experiment and a batch size are given."""
        self.file.write_text('experiment = "e-yolox-demo"\nbatch_size = 4\n' + text)

    def sweep(self, *words: str) -> int:
        """Run the command and return its exit code."""
        return main([str(self.file), "--output", str(self.output), *words], program=PROGRAM)

    def start(self, *words: str, active: tuple[str, ...]) -> subprocess.Popen[str]:
        """Start the command as a process, and wait until some trainings wait for a signal."""
        sweep = subprocess.Popen(
            [sys.executable, __file__, str(self.file.parent), *words],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            stderr=subprocess.PIPE,
            text=True,
        )
        while sweep.poll() is None and not all(
            (self.output / run / "waits").exists() for run in active
        ):
            time.sleep(0.02)
        return sweep

    def calls(self) -> list[dict[str, Any]]:
        """Return the calls of the stand-in since the last time."""
        path = self.output / "calls.jsonl"
        if not path.exists():
            return []
        calls = [json.loads(line) for line in path.read_text().splitlines()]
        path.unlink()
        return calls

    def called(self) -> list[str]:
        """Return the same as ``train RUN`` or ``eval RUN``, with ``--resume`` if it was given."""
        return [
            " ".join(
                [
                    call["words"][0],
                    call["words"][call["words"].index("exp_name") + 1],
                    *(["--resume"] if "--resume" in call["words"] else []),
                ]
            )
            for call in self.calls()
        ]


if __name__ == "__main__":
    sys.exit(SweepCase(Path(sys.argv[1])).sweep(*sys.argv[2:]))
