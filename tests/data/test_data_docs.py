from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs" / "data.md"


def test_the_example_of_own_recordings_works(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = re.search(r"runs this -->\n```python\n(.*?)```", DOCS.read_text(), re.DOTALL)[1]
    scope = {}
    exec(code, scope)
    assert scope["dataset"].class_names == ("cup", "hand", "pen")
    assert scope["frame"].events.shape == (1, 4, 2, 260, 346)
    assert scope["frame"].boxes.tolist() == [[2, 180, 90, 40, 30]]
    assert scope["frame"].events.sum() == 2  # the last event is in no slice
