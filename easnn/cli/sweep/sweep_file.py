"""A sweep file as it is written: TOML, its entries checked one by one."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from easnn.cli.arguments import DEFAULT_BATCH_SIZE
from easnn.data import SPLITS
from easnn.exp import Key
from easnn.exp.kinds import boolean, choice, integer, optional, several, words
from easnn.exp.settings import Settings
from easnn.utils.errors import ConfigError, did_you_mean

TABLES = ("keys", "variants", "grid")
GIVEN_BY_THE_SWEEP = ("exp_name", "output_dir", "seed")

Texts = dict[str, str]
"""Keys and their values as on the command line."""


class SweepSettings(Settings):
    """The entries of a sweep file beside its tables: what all runs share."""

    experiment = Key(None, optional(words()), "name of an experiment, as -n")
    exp_file = Key(None, optional(words()), "experiment file, as -f")
    batch_size = Key(DEFAULT_BATCH_SIZE, integer(low=1), "samples per step, as -b")
    fp16 = Key(False, boolean(), "mixed precision, as --fp16")
    seeds = Key(
        (), several(integer(low=0, high=2**63 - 1)), "a run of each variant with each; (): the experiment's"
    )
    split = Key("test", choice(*SPLITS), "split that the table is about")
    checkpoint: Key[Literal["best", "latest"]] = Key(
        "best", choice("best", "latest"), "checkpoint of each run that is evaluated on it"
    )


@dataclass(frozen=True)
class SweepFile:
    """What a sweep file says; its keys are not compared with any experiment yet.

    Attributes:
        path: the file.
        settings: what all runs share.
        keys: set in all runs.
        variants: what each named variant sets.
        grid: values of each key whose combinations are all made.
    """

    path: Path
    settings: SweepSettings
    keys: Texts
    variants: dict[str, Texts]
    grid: dict[str, list[str]]


def read_sweep_file(path: Path) -> SweepFile:
    """Read a sweep file.

    Raises:
        ConfigError: if it cannot be read, or an entry is unknown or wrong.
    """
    contents = _contents(path)
    variants = _table(contents.get("variants", {}), f"{path}, [variants]")
    return SweepFile(
        path,
        _settings(path, {name: value for name, value in contents.items() if name not in TABLES}),
        key_texts(contents.get("keys", {}), f"{path}, [keys]"),
        {name: key_texts(table, f"{path}, variant {name}") for name, table in variants.items()},
        _grid(contents.get("grid", {}), f"{path}, [grid]"),
    )


def key_texts(table: object, place: str) -> Texts:
    """Return keys with their values as on the command line.

    Args:
        table: keys with values of TOML.
        place: where it stands, for messages.

    Raises:
        ConfigError: if it is no table, or has a key that the sweep sets itself.
    """
    texts = {key: _text(value) for key, value in _table(table, place).items()}
    if reserved := sorted(texts.keys() & set(GIVEN_BY_THE_SWEEP)):
        raise ConfigError(
            f"{place}: `{reserved[0]}` must be left out, because the sweep sets it: seeds are the list `seeds`, "
            "and --output is the folder of all runs."
        )
    return texts


def _contents(path: Path) -> dict[str, Any]:
    try:
        contents = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"Cannot read the sweep file {path}: {error.strerror}.") from error
    except ValueError as error:  # of TOML, or of UTF-8
        raise ConfigError(f"{path} must be a TOML file, but is none: {error}.") from error
    known = (*SweepSettings.declarations(), *TABLES)
    for name in contents:
        if name not in known:
            raise ConfigError(
                f"{path}: Unknown entry `{name}`.{did_you_mean(name, known)} The entries are {', '.join(known)}; "
                "keys of the experiment stand in [keys]."
            )
    return contents


def _settings(path: Path, entries: dict[str, object]) -> SweepSettings:
    settings = SweepSettings()
    try:
        settings.load_plain(entries)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if (settings.experiment is None) == (settings.exp_file is None):
        raise ConfigError(f"{path} must have either `experiment` (a name, as -n) or `exp_file` (as -f).")
    if len(set(settings.seeds)) < len(settings.seeds):
        raise ConfigError(f"{path}: `seeds` must name each seed once, but is {list(settings.seeds)}.")
    return settings


def _grid(table: object, place: str) -> dict[str, list[str]]:
    grid = {}
    for key, values in _table(table, place).items():
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{place}: `{key}` must be a list of values, but is {values!r}.")
        grid[key] = [key_texts({key: value}, place)[key] for value in values]
    return grid


def _table(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ConfigError(f"{place} must be a table, but is {value!r}.")
    return value


def _text(value: object) -> str:
    """Return a value of TOML as on the command line; what no key can be is left for the key to refuse."""
    return ",".join(map(_text, value)) or "()" if isinstance(value, list) else str(value)
