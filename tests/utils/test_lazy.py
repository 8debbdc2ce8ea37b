from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from easnn.data.rvt import RULES
from easnn.utils.lazy import lazy_names
from easnn.utils.options import RVT_DATASETS

LAZY = ("easnn.analysis", "easnn.benchmark", "easnn.simulator")


@pytest.mark.parametrize("package", LAZY)
def test_every_public_name_is_found_and_is_not_a_module(package: str) -> None:
    module = importlib.import_module(package)
    for name in module.__all__:
        assert not isinstance(getattr(module, name), ModuleType), name
        # An import of a module of this name would replace what the package provides.
        file = Path(str(module.__file__)).with_name(name)
        assert not file.is_dir() and not file.with_suffix(".py").exists(), name


def test_an_import_of_everything_gives_all_names() -> None:
    code = "\n".join(
        f"from {package} import *\nimport {package} as package\n"
        "assert {*package.__all__} <= {*globals()}, package"
        for package in LAZY
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_name_is_imported_from_its_module() -> None:
    load = lazy_names("json", {"decoder": "JSONDecoder JSONDecodeError", "encoder": "JSONEncoder"})
    import json

    assert load("JSONDecodeError") is json.JSONDecodeError
    assert load("JSONEncoder") is json.JSONEncoder


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match=r"^module 'easnn.analysis' has no attribute 'draw'$"):
        importlib.import_module("easnn.analysis").draw  # noqa: B018


def test_the_datasets_of_the_command_are_those_of_the_rules() -> None:
    assert tuple(RULES) == RVT_DATASETS
