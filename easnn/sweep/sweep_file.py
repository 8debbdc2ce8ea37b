"""The sweep file, from which all runs are read and checked before the first one starts."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from easnn.config import Config, FilePath, key
from easnn.data import Split
from easnn.exp import EventExp, get_exp
from easnn.utils.errors import ConfigError, did_you_mean
from easnn.utils.files import read_text

DEFAULT_BATCH_SIZE = 64
"""Default of ``-b`` in training."""

TABLES = ("keys", "variants", "grid")
RESERVED_KEYS = ("exp_name", "output_dir", "seed")

Texts = dict[str, str]
"""Keys and values, both as on the command line."""


class SweepSettings(Config):
    """The entries of a sweep file that all runs share."""

    experiment: str | None = key(None, "name of an experiment, as -n")
    exp_file: FilePath | None = key(None, "experiment file, as -f")
    batch_size: int = key(DEFAULT_BATCH_SIZE, "samples per step, as -b", low=1)
    fp16: bool = key(False, "mixed precision, as --fp16")
    seeds: tuple[int, ...] = key(
        (), "seeds of each variant; (): the experiment's", low=0, high=2**63 - 1
    )
    split: Split = key("test", "split on which the runs are compared")
    checkpoint: Literal["best", "latest"] = key("best", "checkpoint that is evaluated")
    baseline: str | None = key(None, "variant that the others are compared with, seed by seed")
    strata: bool = key(False, "AP by strata, too, as --strata")
    energy_frames: int = key(0, "frames of the energy report of each run; 0: none", low=0)


@dataclass(frozen=True)
class SweepRun:
    """A training run and its evaluation.

    Attributes:
        variant: name of the variant, whose runs only differ in the seed.
        seed: seed of the training.
        varied: keys that distinguish the variant.
        texts: all keys to set, except the seed and the output directory.
        experiment: the experiment with these keys and the seed.
    """

    variant: str
    seed: int
    varied: Texts
    texts: Texts
    experiment: EventExp

    @property
    def name(self) -> str:
        """Name of the run in file names."""
        return f"{re.sub(r'[^a-zA-Z0-9_.,=+-]+', '_', self.variant)}_seed{self.seed}"


@dataclass(frozen=True)
class Sweep:
    """A sweep file and its runs: each variant with the first seed, then with the second, etc."""

    path: Path
    settings: SweepSettings
    runs: tuple[SweepRun, ...]


def read_sweep(path: Path, pairs: Sequence[str] = ()) -> Sweep:
    """Read a sweep file and check every run in it.

    Args:
        path: a TOML file, see docs/sweeps.md.
        pairs: keys and values of the command line. They are set in every run and override
            ``[keys]``.

    Raises:
        ConfigError: if something is wrong, with the file, and the entry or the variant and key.
    """
    contents = _read_toml(path)
    with _located(str(path)):
        settings = SweepSettings(
            **{name: value for name, value in contents.items() if name not in TABLES}
        )
    if (settings.experiment is None) == (settings.exp_file is None):
        raise ConfigError(
            f"{path} must have either `experiment` (a name, as -n) or `exp_file` (as -f)."
        )
    if len(set(settings.seeds)) < len(settings.seeds):
        raise ConfigError(
            f"{path}: `seeds` must name each seed once, but is {list(settings.seeds)}."
        )
    variants = _variants(path, contents)
    common = _texts(contents.get("keys", {}), f"{path}, [keys]")
    _experiment(settings).merge(pairs)
    given = _texts(dict(zip(pairs[::2], pairs[1::2], strict=True)), "The command line")
    with _located(f"{path}, [keys]"):
        _experiment(settings, common)

    runs = []
    for name, varied in variants.items():
        where = f"{path}, variant {name}" if name else f"{path}, [keys]"
        _check_set_once(varied, given, where, "on the command line")
        texts = common | given | varied
        with _located(where):
            experiment = _experiment(settings, texts)
            experiment.validate()
            seeds = settings.seeds or ((experiment.seed,) if experiment.seed is not None else ())
            with_seed = {
                seed: _experiment(settings, {**texts, "seed": str(seed)}) for seed in seeds
            }
        variant = name or str(experiment.exp_name)
        runs.append([SweepRun(variant, seed, varied, texts, with_seed[seed]) for seed in seeds])
    if not all(runs):
        raise ConfigError(
            f"{path} must have `seeds`, e.g. [1, 2, 3], because its experiment has no `seed`."
        )
    _check_distinct(path, [of_variant[0] for of_variant in runs])
    _check_baseline(path, settings.baseline, [of_variant[0].variant for of_variant in runs])
    return Sweep(path, settings, tuple(itertools.chain(*zip(*runs, strict=True))))


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        contents = tomllib.loads(read_text(path))
    except OSError as error:
        raise ConfigError(f"Cannot read the sweep file {path}: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, or nested very deeply
        raise ConfigError(f"{path} must be a TOML file, but is not: {error}.") from error
    known = (*SweepSettings.declarations(), *TABLES)
    if unknown := [name for name in contents if name not in known]:
        raise ConfigError(
            f"{path}: Unknown entry `{unknown[0]}`.{did_you_mean(unknown[0], known)} The entries "
            f"are {', '.join(known)}; keys of the experiment belong in [keys]."
        )
    return contents


def _variants(path: Path, contents: dict[str, Any]) -> dict[str, Texts]:
    """Return the keys of each variant: named variants × grid. Without both, the name is empty."""
    tables = _table(contents.get("variants", {}), f"{path}, [variants]")
    named = {name: _texts(table, f"{path}, variant {name}") for name, table in tables.items()}
    grid = {}
    for axis, values in _table(contents.get("grid", {}), f"{path}, [grid]").items():
        if not isinstance(values, list) or not values:
            raise ConfigError(
                f"{path}, [grid]: `{axis}` must be a list of values, but is {values!r}."
            )
        grid[axis] = [(axis, _texts({axis: value}, f"{path}, [grid]")[axis]) for value in values]
    variants: dict[str, Texts] = {}
    for name, texts in (named or {"": Texts()}).items():
        _check_set_once(texts, grid, f"{path}, variant {name}", "in [grid]")
        for point in itertools.product(*grid.values()):
            full_name = " ".join(filter(None, [name, *map("=".join, point)]))
            if full_name in variants:
                raise ConfigError(f"{path} must have one variant {full_name}, but has two.")
            variants[full_name] = texts | dict(point)
    return variants


def _texts(table: object, where: str) -> Texts:
    """Return a table of keys as on the command line, without keys that the sweep sets itself."""
    texts = {name: _text(value) for name, value in _table(table, where).items()}
    for name in RESERVED_KEYS:
        if name in texts:
            raise ConfigError(
                f"{where}: `{name}` must be omitted, because the sweep sets it: seeds are the list "
                "`seeds`, and --output is the folder of all runs."
            )
    return texts


def _text(value: object) -> str:
    """Return a TOML value as on the command line; it is validated later."""
    if not isinstance(value, list):
        return str(value)
    return ",".join(map(_text, value)) or "()"


def _table(value: object, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{where} must be a table, but is {value!r}.")
    return value


def _experiment(settings: SweepSettings, texts: Texts | None = None) -> EventExp:
    experiment = get_exp(settings.exp_file, settings.experiment)
    experiment.merge(list(itertools.chain(*(texts or {}).items())))
    return experiment


@contextmanager
def _located(where: str) -> Iterator[None]:
    """Prefix the message of a :class:`ConfigError` with the place in the file."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def _check_set_once(texts: Texts, others: Collection[str], where: str, others_where: str) -> None:
    for name in texts:
        if name in others:
            raise ConfigError(
                f"{where}: `{name}` must be set in one place, but is also set {others_where}."
            )


def _check_baseline(path: Path, baseline: str | None, variants: Sequence[str]) -> None:
    if baseline is not None and baseline not in variants:
        raise ConfigError(
            f"{path}: `baseline` must be a variant, but there is no variant {baseline}."
            f"{did_you_mean(baseline, variants)} The variants are {', '.join(variants)}."
        )


def _check_distinct(path: Path, runs: Sequence[SweepRun]) -> None:
    for one, other in itertools.combinations(runs, 2):
        names = f"{one.variant} and {other.variant}"
        if one.experiment.plain() == other.experiment.plain():
            raise ConfigError(f"{path}: Variants must differ, but {names} have the same keys.")
        if one.name == other.name:
            raise ConfigError(
                f"{path}: The variants {names} would share the files {one.name}. Rename one of "
                "them."
            )
