"""The examples in docs/experiments.md do what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from easnn.exp import EventExp, get_exp
from easnn.utils.errors import ConfigError

CHECKOUT = Path(__file__).resolve().parents[2]
PAGE = (CHECKOUT / "docs" / "experiments.md").read_text()
EXPERIMENT_FILES = [
    code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "class Exp" in code
]


@pytest.mark.parametrize("code", EXPERIMENT_FILES)
def test_example_files_are_valid(code: str, tmp_path: Path) -> None:
    path = tmp_path / "example.py"
    path.write_text(code)
    exp = get_exp(exp_file=path)
    exp.validate()
    assert exp.plain() != {**EventExp().plain(), "exp_name": "example"}


def test_the_python_example_runs() -> None:
    (code,) = [
        code for code in re.findall(r"```python\n(.*?)```", PAGE, re.S) if "get_model" in code
    ]
    names: dict[str, object] = {}
    exec(code, names)
    assert "model" in names


@pytest.mark.parametrize(
    ("words", "message"),
    zip(
        ["embeding_depth 2", "spike_attach true", "use_spike True embedding arsnn T 3 Ts 2"],
        re.findall(r"^error: (.*)$", PAGE, re.M),
        strict=True,
    ),
)
def test_example_errors_are_what_is_shown(words: str, message: str) -> None:
    exp = EventExp()
    with pytest.raises(ConfigError) as error:
        exp.merge(words.split())
        exp.validate()
    assert str(error.value) == message


def test_an_experiment_may_start_from_a_named_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(CHECKOUT)  # as the tools do
    path = tmp_path / "derived.py"
    path.write_text(
        "from exps.default.e_yolox_s import Exp as Small\n\n"
        "class Exp(Small):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.T = 7\n"
    )
    exp = get_exp(exp_file=path)
    assert (exp.depth, exp.T, exp.exp_name) == (0.33, 7, "derived")
