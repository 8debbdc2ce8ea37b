"""Which runs a sweep consists of. They are all checked before the first one begins."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from easnn.cli.sweep.sweep_file import SweepFile, SweepSettings, Texts, key_texts, read_sweep_file
from easnn.exp import EventExp, get_exp
from easnn.utils.errors import ConfigError


@dataclass(frozen=True)
class SweepRun:
    """A training and its evaluation.

    Attributes:
        variant: name of what it shares with the runs that differ from it in the seed only.
        seed: its seed.
        varied: the keys in which its variant differs from others.
        texts: all keys that it sets, without the seed and where it writes.
        experiment: what they and the seed make of the experiment.
    """

    variant: str
    seed: int
    varied: Texts
    texts: Texts
    experiment: EventExp

    @property
    def name(self) -> str:
        """Its name in file names."""
        return f"{re.sub(r'[^a-zA-Z0-9_.,=+-]+', '_', self.variant)}_seed{self.seed}"


@dataclass(frozen=True)
class Sweep:
    """All runs, one of every variant before the next seed.

    Attributes:
        path: the sweep file.
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
    file = read_sweep_file(path)
    get_exp(file.settings.exp_file, file.settings.experiment).merge(pairs)
    given = key_texts(dict(zip(pairs[::2], pairs[1::2], strict=True)), "The command line")
    _merged(file.settings, file.keys, f"{path}, [keys]")
    variants = _variants(file)
    by_variant = [_runs_of(file, name, varied, given) for name, varied in variants.items()]
    _check_different(path, [runs[0] for runs in by_variant])
    one_of_each_first = itertools.chain.from_iterable(zip(*by_variant, strict=True))
    return Sweep(path, file.settings, tuple(one_of_each_first))


def _variants(file: SweepFile) -> dict[str, Texts]:
    """Return what each variant sets: the named ones times the grid; the name is empty if there is neither."""
    axes = [[(key, text) for text in texts] for key, texts in file.grid.items()]
    variants: dict[str, Texts] = {}
    for name, texts in (file.variants or {"": Texts()}).items():
        _check_set_once(texts, file.grid, f"{file.path}, variant {name}", "in [grid]")
        for point in itertools.product(*axes):
            full_name = " ".join(filter(None, [name, *(f"{key}={text}" for key, text in point)]))
            if full_name in variants:
                raise ConfigError(f"{file.path} must have one variant {full_name}, but has two.")
            variants[full_name] = texts | dict(point)
    return variants


def _runs_of(file: SweepFile, name: str, varied: Texts, given: Texts) -> list[SweepRun]:
    """Return the runs of a variant, one for each seed."""
    place = f"{file.path}, variant {name}" if name else f"{file.path}, [keys]"
    _check_set_once(varied, given, place, "on the command line")
    texts = file.keys | given | varied
    experiment = _experiment(file.settings, texts, place)
    if not file.settings.seeds and experiment.seed is None:
        raise ConfigError(
            f"{file.path} must have `seeds`, e.g. [1, 2, 3], because its experiment has no `seed`."
        )
    seeds = file.settings.seeds or (cast(int, experiment.seed),)
    return [
        SweepRun(
            name or str(experiment.exp_name),
            seed,
            varied,
            texts,
            _experiment(file.settings, {**texts, "seed": str(seed)}, place),
        )
        for seed in seeds
    ]


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


def _check_set_once(texts: Texts, others: Collection[str], place: str, others_place: str) -> None:
    for key in texts:
        if key in others:
            raise ConfigError(f"{place}: `{key}` must be set in one place, but is set {others_place}, too.")


def _check_different(path: Path, runs: Sequence[SweepRun]) -> None:
    """Refuse two variants that are the same, and two names that would share their files."""
    for one, other in itertools.combinations(runs, 2):
        if one.experiment.plain() == other.experiment.plain():
            raise ConfigError(
                f"{path}: Variants must differ, but {one.variant} and {other.variant} have the same keys."
            )
        if one.name == other.name:
            raise ConfigError(
                f"{path}: The variants {one.variant} and {other.variant} would share the files {one.name}. "
                "Name one of them differently."
            )
