"""The benchmark: measurement, tables and the file of all numbers."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from loguru import logger

from easnn.benchmark import (
    FULL,
    QUICK,
    TITLES,
    SectionResult,
    Settings,
    chosen_sections,
    describe_machine,
    machine_text,
    measure_ceilings,
    run_section,
    torch_threads,
)
from easnn.exp import EventExp, keys_table
from easnn.utils.device import available_cores
from easnn.utils.errors import ConfigError
from easnn.utils.files import make_directory, write_json
from easnn.utils.logging import setup_logging


def print_keys() -> None:
    """Print every key with its default."""
    print(keys_table(EventExp()))


def benchmark(names: Sequence[str], options: argparse.Namespace, words: Sequence[str]) -> None:
    """Measure, print a table for each section and write the numbers.

    Args:
        names: the sections at the start of the command line.
        options: the options and keys.
        words: the command line.

    Raises:
        ConfigError: if a section, an option or a key is wrong.
        OutputError: if the file cannot be written.
        TrainingError: if the process that measures memory fails.
    """
    setup_logging()
    sections = chosen_sections([*names, *_neither_section_nor_key(words[len(names) :])])
    settings = settings_of(options)
    if options.json is not None:
        make_directory(options.json.parent)
    with torch_threads(settings.threads):
        machine = describe_machine()
        has_work = any(section.has_work for section in sections)
        ceilings = measure_ceilings() if has_work else None
        print(machine_text(machine, ceilings), flush=True)
        report = {
            "command": shlex.join(["easnn", "benchmark", *words]),
            "date": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": machine,
            "ceilings": None if ceilings is None else ceilings.to_dict(),
            "settings": asdict(settings),
        }
        results: list[SectionResult] = []
        for section in sections:
            results.append(run_section(section, settings, ceilings))
            print(f"\n{results[-1].table()}", flush=True)
            if options.json is not None:  # complete after each section, if the user stops it
                write_json(
                    options.json, {**report, "sections": [result.to_dict() for result in results]}
                )
    if options.json is not None:
        logger.info("The numbers are in {}", options.json)


def settings_of(options: argparse.Namespace) -> Settings:
    """Return what the options and keys say, checked.

    Raises:
        ConfigError: if they are wrong.
    """
    misplaced = [name for name in options.pairs[::2] if name in TITLES]
    if misplaced:
        raise ConfigError(
            f"Sections come before options: `easnn benchmark {misplaced[0]} …`, but "
            f"`{misplaced[0]}` is after one."
        )
    defaults = QUICK if options.quick else FULL
    settings = Settings(
        models=tuple(options.model or defaults.models),
        sizes=tuple(options.size or defaults.sizes),
        spikes=tuple(options.spike or defaults.spikes),
        precisions=tuple(options.precision or defaults.precisions),
        runtimes=tuple(options.runtime or defaults.runtimes),
        batch=options.batch,
        rounds=defaults.rounds if options.rounds is None else options.rounds,
        threads=available_cores() if options.threads is None else options.threads,
        workers=tuple(options.workers or defaults.workers),
        frames=defaults.frames if options.frames is None else options.frames,
        quick=options.quick,
        words=tuple(options.pairs),
    )
    settings.check()
    return settings


def _neither_section_nor_key(words: Sequence[str]) -> list[str]:
    """Return the first of the words after the known sections if it is neither option nor key."""
    keys = EventExp.declarations()
    return [word for word in words[:1] if not word.startswith("-") and word not in keys]
