"""A package imports from those below it only, and no two files import each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "easnn"

# package -> packages that it may import (besides itself), from the bottom up
BELOW_EXP = {
    "utils",
    "config",
    "ops",
    "events",
    "representations",
    "data",
    "models",
    "optim",
    "evaluation",
}
ALLOWED: dict[str, set[str]] = {
    "utils": set(),
    "config": {"utils"},
    "native": {"utils"},
    "kernels": {"native", "utils"},
    "ops": {"utils"},
    "events": {"native", "utils"},
    "simulator": {"events", "utils"},
    "representations": {"events", "config", "utils"},
    "data": {"events", "representations", "ops", "config", "utils"},
    "models": {"kernels", "ops", "config", "utils"},
    "optim": {"config", "utils"},
    "evaluation": {"ops", "events", "utils"},
    "exp": BELOW_EXP,
    "published": {*BELOW_EXP, "exp"},
    "checkpoints": {*BELOW_EXP, "exp", "published"},
    "inference": {*BELOW_EXP, "exp", "published", "checkpoints"},
    "engine": {*BELOW_EXP, "exp", "checkpoints", "inference"},
    "analysis": {*BELOW_EXP, "exp", "inference"},
    "sweep": {*BELOW_EXP, "exp", "engine"},
    "soak": {*BELOW_EXP, "simulator", "exp", "checkpoints", "engine"},
    "gpu_check": {*BELOW_EXP, "exp", "inference", "engine", "analysis"},
    "benchmark": {*BELOW_EXP, "kernels", "exp", "inference", "engine", "analysis"},
}
ALLOWED["cli"] = {*ALLOWED}

PACKAGES = sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def imported_packages(path: Path) -> set[str]:
    """Return the packages that a file imports anywhere in it, inside functions too."""
    packages = set()
    for node in ast.walk(ast.parse(path.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import; import from `easnn.…`"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        packages |= {name.split(".")[1] for name in names if name.startswith("easnn.")}
    return packages - {"__version__"}


@pytest.mark.parametrize("package", PACKAGES)
def test_a_package_imports_downwards_only(package: str) -> None:
    for path in sorted((PACKAGE / package).rglob("*.py")):
        upwards = imported_packages(path) - ALLOWED[package] - {package}
        assert not upwards, f"{path.relative_to(PACKAGE.parent)} imports {sorted(upwards)}"


def test_only_neurons_and_their_kernels_import_spikingjelly() -> None:
    users = [
        path.relative_to(PACKAGE).as_posix()
        for path in sorted(PACKAGE.rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("spikingjelly"))
        or (
            isinstance(node, ast.Import)
            and any(a.name.startswith("spikingjelly") for a in node.names)
        )
    ]
    assert set(users) == {"kernels/norm_plif.py", "kernels/plif.py", "models/neurons.py"}


def test_every_package_has_its_place() -> None:
    assert {*PACKAGES} == {*ALLOWED}


def test_no_two_files_import_each_other() -> None:
    """Find import cycles; the ``__init__`` of a package stands for the files it re-exports."""
    graph = {module_of(path): imported_modules(path) for path in PACKAGE.rglob("*.py")}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, f"circle: {' -> '.join((*trail, module))}"
        if module not in done:
            for imported in sorted(graph.get(module, set())):
                visit(imported, (*trail, module))
            done.add(module)

    for module in sorted(graph):
        visit(module, ())


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


def imported_modules(path: Path) -> set[str]:
    """Return the modules of the project that a file imports when it is loaded."""
    tree = ast.parse(path.read_text())
    found = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("easnn.")}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("easnn"):
            for name in (f"{node.module}.{alias.name}" for alias in node.names):
                is_module = (PACKAGE.parent / (name.replace(".", "/") + ".py")).exists()
                found.add(name if is_module else str(node.module))
    return found
