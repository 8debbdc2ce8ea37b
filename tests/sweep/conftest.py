from __future__ import annotations

from pathlib import Path

import pytest
from sweep_case import SweepCase


@pytest.fixture
def case(tmp_path: Path) -> SweepCase:
    return SweepCase(tmp_path)
