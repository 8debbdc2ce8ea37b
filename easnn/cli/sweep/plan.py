"""A sweep file: which runs there are. They are all checked before the first one begins."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

from easnn.cli.arguments import DEFAULT_BATCH_SIZE
from easnn.exp import EventExp, Key, get_exp
from easnn.exp.keys import SPLITS
from easnn.exp.kinds import boolean, choice, integer, optional, several, words
from easnn.exp.settings import Settings
from easnn.utils.errors import ConfigError, did_you_mean

GIVEN_BY_THE_SWEEP = ("exp_name", "output_dir", "seed")
TABLES = ("keys", "variants", "grid")

Texts = dict[str, str]
"""Keys and their values as on the command line."""


class SweepSettings(Settings):
    """The entries of a sweep file that all runs share, beside the keys of their experiment."""

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
class SweepRun:
    """A training and its evaluation.

    Attributes:
        variant: what it shares with the runs that differ from it in the seed only.
        seed: its seed.
        texts: the keys that it sets, without those that the sweep gives (:data:`GIVEN_BY_THE_SWEEP`).
        experiment: what they make of the experiment, seed included.
    """

    variant: str
    seed: int
    texts: Texts
    experiment: EventExp

    @property
    def name(self) -> str:
        """Its name in file names."""
        return f"{re.sub(r'[^a-zA-Z0-9_.=,+-]+', '_', self.variant)}_seed{self.seed}"


@dataclass(frozen=True)
class Sweep:
    """All runs of a sweep file, a seed of every variant before the next seed.

    Attributes:
        path: the file.
        settings: what the runs share.
        runs: the runs.
    """

    path: Path
    settings: SweepSettings
    runs: tuple[SweepRun, ...]

    @property
    def variants(self) -> tuple[str, ...]:
        """The variants in the order of the file."""
        return tuple(dict.fromkeys(run.variant for run in self.runs))


def read_sweep(path: Path, pairs: Sequence[str] = ()) -> Sweep:
    """Read a sweep file and check every run in it.

    Args:
        path: a TOML file, see docs/sweeps.md.
        pairs: keys and values of the command line. They are set in every run and win over ``[keys]``.

    Raises:
        ConfigError: naming the file, and the entry or the variant and key, if something in it is wrong.
    """
    contents = _contents(path)
    settings = _settings(path, contents)
    of_file = _texts(contents.get("keys", {}), f"{path}, [keys]")
    _merged(settings, of_file, f"{path}, [keys]")
    given = _given(settings, pairs)
    common = of_file | given
    runs: list[SweepRun] = []
    variants = _variants(path, contents)
    for name, texts in variants.items():
        place = f"{path}, variant {name}" if name else f"{path}, [keys]"
        if twice := sorted(given.keys() & texts.keys()):
            raise ConfigError(f"{place}: it sets `{twice[0]}`, which the command line must not set, too.")
        experiment = _experiment(settings, common | texts, place)
        seeds = settings.seeds or _seeds_of(experiment, path)
        variant = name or str(experiment.exp_name)
        for seed in seeds:
            of_seed = _experiment(settings, {**common, **texts, "seed": str(seed)}, place)
            runs.append(SweepRun(variant, seed, common | texts, of_seed))
    sweep = Sweep(path, settings, tuple(sorted(runs, key=lambda run: _order(settings.seeds, run))))
    _check_different(sweep)
    return sweep


def _contents(path: Path) -> dict[str, Any]:
    try:
        contents = tomllib.loads(path.read_text())
    except OSError as error:
        raise ConfigError(f"Cannot read the sweep file {path}: {error.strerror}.") from error
    except ValueError as error:  # of TOML, or of UTF-8
        raise ConfigError(f"{path} must be a TOML file, but: {error}") from error
    known = (*SweepSettings.declarations(), *TABLES)
    for name in contents:
        if name not in known:
            raise ConfigError(
                f"{path}: Unknown entry `{name}`.{did_you_mean(name, known)} The entries are {', '.join(known)}."
            )
    for name in TABLES:
        _check_table(contents.get(name, {}), f"{path}, [{name}]")
    return contents


def _settings(path: Path, contents: Mapping[str, Any]) -> SweepSettings:
    settings = SweepSettings()
    try:
        settings.load_plain({name: value for name, value in contents.items() if name not in TABLES})
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    if (settings.experiment is None) == (settings.exp_file is None):
        raise ConfigError(f"{path} must have either `experiment` (a name, as -n) or `exp_file` (as -f).")
    if len(set(settings.seeds)) != len(settings.seeds):
        raise ConfigError(f"{path}: `seeds` must name each seed once, but is {list(settings.seeds)}.")
    return settings


def _variants(path: Path, contents: Mapping[str, Any]) -> dict[str, Texts]:
    """Return what each variant sets: ``[variants]`` times the points of ``[grid]``; the name may be empty."""
    listed = {"": Texts()}
    if contents.get("variants"):
        listed = {
            name: _texts(table, f"{path}, variant {name}") for name, table in contents["variants"].items()
        }
    axes = []
    for key, values in contents.get("grid", {}).items():
        if not isinstance(values, list) or not values:
            raise ConfigError(f"{path}, [grid]: `{key}` must be a list of values, but is {values!r}.")
        axes.append([_texts({key: value}, f"{path}, [grid]") for value in values])
    variants: dict[str, Texts] = {}
    for (name, texts), point in itertools.product(listed.items(), itertools.product(*axes)):
        of_grid = {key: text for axis in point for key, text in axis.items()}
        if twice := sorted(of_grid.keys() & texts.keys()):
            raise ConfigError(f"{path}, variant {name}: `{twice[0]}` must not be in [grid], too.")
        full_name = " ".join(filter(None, [name, *(f"{key}={text}" for key, text in of_grid.items())]))
        if full_name in variants:
            raise ConfigError(f"{path}: there must be one variant {full_name}, but there are two.")
        variants[full_name] = texts | of_grid
    return variants


def _check_table(value: object, place: str) -> None:
    if not isinstance(value, dict):
        raise ConfigError(f"{place} must be a table of keys, but is {value!r}.")


def _texts(table: object, place: str) -> Texts:
    _check_table(table, place)
    texts = {key: _text(value) for key, value in cast(dict[str, Any], table).items()}
    if reserved := sorted(texts.keys() & set(GIVEN_BY_THE_SWEEP)):
        raise ConfigError(
            f"{place}: `{reserved[0]}` must be left out, because the sweep gives it. Seeds are the list `seeds`, "
            "the folder is --output."
        )
    return texts


def _text(value: object) -> str:
    """Return a value of TOML as on the command line; what no key can be is left for the key to refuse."""
    return ",".join(map(_text, value)) or "()" if isinstance(value, list) else str(value)


def _given(settings: SweepSettings, pairs: Sequence[str]) -> Texts:
    get_exp(settings.exp_file, settings.experiment).merge(pairs)
    return _texts(dict(zip(pairs[::2], pairs[1::2], strict=True)), "the command line")


def _merged(settings: SweepSettings, texts: Texts, place: str) -> EventExp:
    experiment = get_exp(settings.exp_file, settings.experiment)
    try:
        experiment.merge([word for pair in texts.items() for word in pair])
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error
    return experiment


def _experiment(settings: SweepSettings, texts: Texts, place: str) -> EventExp:
    experiment = _merged(settings, texts, place)
    try:
        experiment.validate()
    except ConfigError as error:
        raise ConfigError(f"{place}: {error}") from error
    return experiment


def _seeds_of(experiment: EventExp, path: Path) -> tuple[int, ...]:
    if experiment.seed is None:
        raise ConfigError(f"{path} must have `seeds`, such as [1, 2, 3], because its experiment has no seed.")
    return (experiment.seed,)


def _order(seeds: Sequence[int], run: SweepRun) -> int:
    return seeds.index(run.seed) if seeds else 0


def _check_different(sweep: Sweep) -> None:
    """Refuse two variants that are the same, and two names that would share their files."""
    names: dict[str, SweepRun] = {}
    settings: dict[str, SweepRun] = {}
    for run in sweep.runs:
        same = settings.setdefault(repr(run.experiment.plain()), run)
        if same is not run:
            raise ConfigError(
                f"{sweep.path}: the variants must differ, but {same.variant} and {run.variant} set the same."
            )
        namesake = names.setdefault(run.name, run)
        if namesake is not run:
            raise ConfigError(
                f"{sweep.path}: the variants {namesake.variant} and {run.variant} would share the files "
                f"{run.name}. Name one of them differently."
            )
