"""The numbers of a run that a sweep compares."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class RunResult:
    """What the evaluation of a run gave; ``None`` where a measure is not defined."""

    ap: float | None
    ap50: float | None

    @classmethod
    def read(cls, path: Path) -> RunResult:
        """Read the file that ``tools/eval_event.py`` writes."""
        result = json.loads(path.read_text())
        return cls(result["ap"], result["ap50"])

    def __str__(self) -> str:
        return f"AP {shown(self.ap, 4)}, AP50 {shown(self.ap50, 4)}"


def shown(number: float | None, digits: int) -> str:
    """Return a number with so many digits behind the point, a dash for none."""
    return "–" if number is None else f"{number:.{digits}f}"
