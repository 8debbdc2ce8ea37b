"""A sweep whose trainings take milliseconds."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from easnn.cli.sweep import Tools, main

STAND_IN = (sys.executable, "-S", str(Path(__file__).with_name("stand_in_tools.py")))
TOOLS = Tools(train=(*STAND_IN, "train"), evaluate=(*STAND_IN, "evaluate"))


class SweepCase:
    """A sweep file and the folder of its runs, made by the stand-in of the tools."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "sweep.toml"
        self.output = folder / "out"

    def write(self, text: str) -> None:
        """Write the file; the experiment and a batch size are there already."""
        self.file.write_text('experiment = "e-yolox-demo"\nbatch_size = 4\n' + text)

    def sweep(self, *words: str) -> int:
        """Run the command and return its exit code."""
        return main([str(self.file), "--output", str(self.output), *words], tools=TOOLS)

    def calls(self) -> list[dict[str, Any]]:
        """Return what the stand-in was called with since the last question."""
        path = self.output / "calls.jsonl"
        if not path.exists():
            return []
        calls = [json.loads(line) for line in path.read_text().splitlines()]
        path.unlink()
        return calls

    def called(self) -> list[str]:
        """Return the same as ``train RUN`` or ``evaluate RUN``, with ``--resume`` if it was given."""
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
