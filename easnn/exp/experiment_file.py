"""Running experiment files, which may import the files beside them."""

from __future__ import annotations

import builtins
import hashlib
import importlib
import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

PREFIX = "easnn_experiment"
"""Beginning of the names of the packages that stand for the folders of experiment files."""


def run_file(path: Path) -> ModuleType:
    """Execute a Python file and return its module.

    The file and those beside it form a package of their own, whatever the folder is called. They
    import one another as in a program (``import base``) or in a package (``from . import base``),
    also within functions that are called later. Nobody else finds them: ``sys.path`` stays as it
    is, and files of the same name in two folders do not mix. A file beside takes precedence over an
    installed module, except over the standard library and easnn.

    Args:
        path: the file, resolved.

    Raises:
        Exception: what the file raises.
    """
    package = _package(path.parent)
    importlib.invalidate_caches()  # files beside may be new
    name = f"{package}.{_identifier(path.stem)}"
    spec = spec_from_file_location(name, path, loader=_FileLoader(name, str(path)))
    assert spec is not None and spec.loader is not None, path
    module = module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses and pickle look for the module of a class
    spec.loader.exec_module(module)
    return module


def _package(folder: Path) -> str:
    """Return the name of the package that stands for a folder, after making it if it is new."""
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]
    name = f"{PREFIX}_{_identifier(folder.name)}_{digest}"
    if name not in sys.modules:
        package = ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    return name


def _identifier(name: str) -> str:
    return re.sub(r"\W", "_", name)


class _FileLoader(SourceFileLoader):
    """Loads a file whose ``import`` statements also find the files beside the experiment file."""

    def exec_module(self, module: ModuleType) -> None:
        package = module.__name__.partition(".")[0]
        # Python takes `__import__` from here for all statements of the file.
        vars(module)["__builtins__"] = {**vars(builtins), "__import__": _Import(package)}
        super().exec_module(module)


class _Finder(MetaPathFinder):
    """Finds the modules of packages that stand for folders, for :class:`_FileLoader`."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the specification of a module, or ``None`` if it is no file of such a package."""
        if not fullname.startswith(PREFIX):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, SourceFileLoader):
            spec.loader = _FileLoader(fullname, spec.loader.path)
        return spec


_FINDER = _Finder()


class _Import:
    """The function ``__import__`` of the files in a folder.

    Args:
        package: the package that stands for the folder.
    """

    def __init__(self, package: str) -> None:
        self._package = package
        self._folder = Path(sys.modules[package].__path__[0])

    def __call__(
        self,
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> Any:
        """Import a module as Python does, but one of this folder from its package."""
        if level == 0 and self._is_beside(name.partition(".")[0]):
            globals, level = {"__package__": self._package}, 1
        return builtins.__import__(name, globals, locals, fromlist or (), level)

    def _is_beside(self, name: str) -> bool:
        if name == "easnn" or name in sys.stdlib_module_names:
            return False
        return any(
            (self._folder / file).is_file() for file in (f"{name}.py", f"{name}/__init__.py")
        )
