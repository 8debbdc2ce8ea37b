"""Measure the speed of easnn on this machine: ``easnn benchmark``."""

from __future__ import annotations

import argparse
import re
import shlex
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import takewhile
from pathlib import Path
from types import MappingProxyType

from loguru import logger

from easnn.benchmark import (
    PRECISIONS,
    SECTIONS,
    SPIKE_MODES,
    SectionResult,
    Settings,
    chosen_sections,
    describe_machine,
    machine_text,
    measure_ceilings,
    run_section,
    size_text,
    torch_threads,
)
from easnn.cli.arguments import exit_code_of, parse, plain_parser, sensor_size
from easnn.exp import EventExp, keys_table
from easnn.utils.device import available_cores
from easnn.utils.errors import ConfigError
from easnn.utils.files import make_directory, write_json
from easnn.utils.logging import setup_logging

OPTIONAL = ", ".join(name for name, section in SECTIONS.items() if not section.by_default)

DESCRIPTION = f"""\
Measures how fast easnn is on this machine's CPU, and how many times faster than the published
formulations that it replaces. All variants of a table compute the same and take turns.
docs/performance.md explains the tables.

sections:
{chr(10).join(f"  {name:<12}{section.title}" for name, section in SECTIONS.items())}

Without a section, all but {OPTIONAL} are measured.
"""

FULL = Settings()
QUICK = Settings(sizes=((256, 320),), rounds=3, frames=1000, workers=(0, 1), quick=True)


def _is_size(word: str) -> bool:
    return re.fullmatch(r"\d+x\d+", word) is not None


SEVERAL: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "--model": lambda word: "-" in word.strip("-"),  # no key has a dash
        "--size": _is_size,
        "--precision": PRECISIONS.__contains__,
        "--spike": SPIKE_MODES.__contains__,
        "--workers": str.isdigit,
    }
)
"""Options of several values: whether a word after a value is a further value."""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line without its sections."""
    parser = plain_parser(DESCRIPTION)
    parser.usage = "%(prog)s [SECTION ...] [options] [key value ...]"
    parser.add_argument(
        "--model", action="append", metavar="NAME", help="experiments (default: e-yolox-s)"
    )
    parser.add_argument(
        "--size",
        action="append",
        type=sensor_size,
        metavar="HxW",
        help="heights and widths of the network's input (default: 256x320 640x640)",
    )
    parser.add_argument(
        "--spike",
        action="append",
        choices=SPIKE_MODES,
        help="spiking parts, values of `use_spike` (default: True, the backbone)",
    )
    parser.add_argument(
        "--precision", action="append", choices=PRECISIONS, help="precisions (default: fp32 bf16)"
    )
    parser.add_argument(
        "--workers",
        action="append",
        type=int,
        metavar="N",
        help="numbers of loader processes of `load` (default: 0 1 2)",
    )
    parser.add_argument(
        "--batch",
        type=int,
        default=FULL.batch,
        metavar="N",
        help="samples per call (default: %(default)s)",
    )
    parser.add_argument(
        "--rounds",
        type=int,
        metavar="N",
        help=f"rounds in which all variants take turns (default: {FULL.rounds})",
    )
    parser.add_argument(
        "--threads",
        type=int,
        default=available_cores(),
        metavar="N",
        help="threads of torch (default: one per core, here %(default)s)",
    )
    parser.add_argument(
        "--frames",
        type=int,
        metavar="N",
        help=f"frames of `evaluation` (default: {FULL.frames})",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"other defaults, for a minute or two: size {size_text(QUICK.sizes[0])}, "
        f"{QUICK.rounds} rounds, {QUICK.frames} frames, and less data",
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="also write all numbers to this file"
    )
    parser.add_argument("--help-keys", action="store_true", help="print every key and exit")
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="key value",
        help="keys of the network to set, e.g. T 4",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    keys = EventExp.declarations()
    sections = list(takewhile(lambda word: not word.startswith("-") and word not in keys, words))
    options = parse(make_parser(), one_value_each(words[len(sections) :]))
    if options.help_keys:
        return exit_code_of(lambda: print(keys_table(EventExp())))
    return exit_code_of(lambda: benchmark(sections, options, words))


def benchmark(names: Sequence[str], options: argparse.Namespace, words: Sequence[str]) -> None:
    """Measure, print a table for each section and write the numbers.

    Args:
        names: sections.
        options: the options and keys.
        words: the command line, for the file.

    Raises:
        ConfigError: if an option or a key is wrong.
        OutputError: if the file cannot be written.
        TrainingError: if the process that measures memory fails.
    """
    setup_logging()
    sections = chosen_sections(names)
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
    misplaced = [name for name in options.pairs[::2] if name in SECTIONS]
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
        batch=options.batch,
        rounds=defaults.rounds if options.rounds is None else options.rounds,
        threads=options.threads,
        workers=tuple(options.workers or defaults.workers),
        frames=defaults.frames if options.frames is None else options.frames,
        quick=options.quick,
        words=tuple(options.pairs),
    )
    settings.check()
    return settings


def one_value_each(words: Iterable[str]) -> list[str]:
    """Repeat each option of several values before each of them.

    argparse would also take the keys that follow as values: ``--size 256x320 640x640 T 4`` becomes
    ``--size 256x320 --size 640x640 T 4``.
    """
    separate: list[str] = []
    option, values = "", 0
    for word in words:
        if word in SEVERAL:
            option, values = word, 0
        elif option and values and SEVERAL[option](word):
            separate.append(option)
        elif option and values:
            option = ""
        values += word not in SEVERAL
        separate.append(word)
    return separate
