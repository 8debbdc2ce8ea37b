"""The code of docs/tutorial.ipynb runs and detects something."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).resolve().parents[1] / "docs" / "tutorial.ipynb"
CELLS = json.loads(NOTEBOOK.read_text())["cells"]


@pytest.mark.timeout(300)
def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # goes back at the end
    monkeypatch.setattr("tempfile.mkdtemp", lambda: str(tmp_path))
    scope: dict[str, Any] = {}
    for cell in CELLS:
        if cell["cell_type"] == "code":
            exec("".join(cell["source"]), scope)
    assert scope["exit_code"] == 0
    assert scope["result"].counts.frames == 20
    assert scope["result"].ap50 > 0.02  # an untrained network has 0
    assert Path("YOLOX_outputs/tutorial/best_ckpt.pth").is_file()


def test_the_tutorial_shows_its_output() -> None:
    silent = ["chdir", "import main", "Predictor.load"]
    for cell in CELLS:
        if cell["cell_type"] == "code" and not any(
            word in "".join(cell["source"]) for word in silent
        ):
            assert cell["outputs"], cell["source"]
