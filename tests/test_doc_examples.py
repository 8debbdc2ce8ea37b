"""The examples of all pages name what exists: packages, their objects, commands."""

from __future__ import annotations

import ast
import importlib
import re
from pathlib import Path

import pytest

from easnn.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_import_what_exists(page: Path) -> None:
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.S):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("easnn"):
                module = importlib.import_module(node.module or "")
                assert [a.name for a in node.names if not hasattr(module, a.name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_exist(page: Path) -> None:
    text = page.read_text()
    shells = re.findall(r"```\n(.*?)```", text, re.S)
    lines = [line for shell in shells for line in shell.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", text)
    commands = {
        m[1] for line in lines if (m := re.match(r"(?:\$ |python -m )?easnn ([a-z][a-z-]*)", line))
    }
    assert commands <= COMMANDS.keys()
