from __future__ import annotations

import pytest
from engine_toys import build_trainer
from trainer_runs import PLAN

from easnn.engine import RunDirectory


@pytest.fixture
def whole_run(tmp_path):
    """A run that nothing interrupts."""
    build_trainer(tmp_path / "whole", PLAN).train()
    return RunDirectory(tmp_path / "whole")
