"""Finding experiments by name or file."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import ModuleType

from easnn.exp.event_exp import EventExp
from easnn.exp.experiment_file import run_file
from easnn.utils.errors import ConfigError, did_you_mean
from easnn.utils.files import expand_home

NAMED_EXPERIMENTS = Path(__file__).resolve().parent / "default"
"""Folder of the experiments that come with the package."""


def get_exp(exp_file: str | Path | None = None, exp_name: str | None = None) -> EventExp:
    """Return a new experiment, from a file or by the name of one that comes with the package.

    The file is executed as Python and defines ``class Exp(EventExp)``; it may import the files
    beside it. Errors in it are raised
    unchanged, except that the :class:`ConfigError` of a wrong key or value also names the line.

    Args:
        exp_file: path of an experiment file.
        exp_name: e.g. ``e-yolox-s``, for ``easnn/exp/default/e_yolox_s.py``.

    Raises:
        ConfigError: if not exactly one of the two is given, there is no such file or name, or the
            file defines no experiment.
    """
    if (exp_file is None) == (exp_name is None):
        raise ConfigError(
            "Give either the name of an experiment (-n) or an experiment file (-f). The names are "
            f"{', '.join(experiment_names())}."
        )
    path = Path(expand_home(exp_file)) if exp_file is not None else _path_of_name(str(exp_name))
    experiment = _load(path)
    if experiment.exp_name is None:
        experiment.exp_name = path.stem
    return experiment


def experiment_names() -> list[str]:
    """Return the names that :func:`get_exp` knows."""
    return sorted(path.stem.replace("_", "-") for path in NAMED_EXPERIMENTS.glob("[!_.]*.py"))


def source_file(experiment: EventExp) -> Path | None:
    """Return the resolved path of the file that defines ``experiment``; ``EventExp``: ``None``."""
    if type(experiment) is EventExp:
        return None
    file = sys.modules[type(experiment).__module__].__file__
    return None if file is None else Path(file).resolve()


def source_name(experiment: EventExp) -> str | None:
    """Return the name by which :func:`get_exp` finds an experiment, or ``None`` if it has none."""
    file = source_file(experiment)
    named = file is not None and file.parent == NAMED_EXPERIMENTS
    return file.stem.replace("_", "-") if file is not None and named else None


def _path_of_name(name: str) -> Path:
    names = experiment_names()
    if name.replace("_", "-") not in names:
        raise ConfigError(
            f"Unknown experiment `{name}`.{did_you_mean(name, names)} The names are "
            f"{', '.join(names)}; give any other experiment as a file (-f)."
        )
    return NAMED_EXPERIMENTS / f"{name.replace('-', '_')}.py"


def _load(path: Path) -> EventExp:
    module = _execute(path)
    experiment_class = getattr(module, "Exp", None)
    if not (isinstance(experiment_class, type) and issubclass(experiment_class, EventExp)):
        found = "defines no `Exp`" if experiment_class is None else "its `Exp` is something else"
        raise ConfigError(f"Experiment file {path} must define `class Exp(EventExp)`, but {found}.")
    try:
        return experiment_class()
    except ConfigError as error:
        raise _located(error, path) from error


def _execute(path: Path) -> ModuleType:
    if not path.is_file() or path.suffix != ".py":
        raise ConfigError(
            f"Experiment file {path} must be a Python file, but there is none in {Path.cwd()}."
        )
    try:
        return run_file(path.resolve())
    except ConfigError as error:
        raise _located(error, path) from error


def _located(error: ConfigError, path: Path) -> ConfigError:
    """Return the error with the line that raised it, of the experiment file or of one beside it."""
    folder = path.resolve().parent
    lines = [
        (frame.filename, frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).parent == folder
    ]
    if not lines:
        return ConfigError(f"{path}: {error}")
    file, number = lines[-1]
    return ConfigError(f"{path if Path(file) == path.resolve() else file}, line {number}: {error}")
