"""A room imports downwards only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "easnn"

# room -> rooms that it may import (beside itself)
ALLOWED: dict[str, set[str]] = {
    "utils": set(),
    "ops": {"utils"},
    "events": {"utils"},
    "representations": {"events", "utils"},
    "data": {"events", "representations", "ops", "utils"},
    "models": {"ops", "utils"},
    "evaluation": {"ops", "events", "utils"},
    "analysis": {"models", "ops", "representations", "events", "data", "evaluation", "utils"},
}
ALLOWED["engine"] = {*ALLOWED}
ALLOWED["exp"] = {*ALLOWED}
ALLOWED["sweep"] = {*ALLOWED}
ALLOWED["cli"] = {*ALLOWED}

ROOMS = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def imported_rooms(path: Path) -> set[str]:
    """Return the rooms that a file imports anywhere in it, inside functions too."""
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; import from `easnn.…`"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        rooms |= {name.split(".")[1] for name in names if name.startswith("easnn.")}
    return rooms - {"__version__"}


@pytest.mark.parametrize("room", ROOMS)
def test_room_imports_downwards_only(room: str) -> None:
    for path in sorted((PACKAGE / room).rglob("*.py")):
        upwards = imported_rooms(path) - ALLOWED[room] - {room}
        assert not upwards, f"{path.relative_to(PACKAGE.parent)} imports {sorted(upwards)}"


def test_only_neurons_import_spikingjelly() -> None:
    users = [
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("spikingjelly"))
        or (isinstance(node, ast.Import) and any(a.name.startswith("spikingjelly") for a in node.names))
    ]
    assert set(users) == {"models/neurons.py"}
