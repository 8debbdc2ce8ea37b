"""Measure the speed of easnn on this machine: ``easnn benchmark``."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import takewhile
from types import MappingProxyType

from easnn.benchmark import FULL, OPTIONAL, PRECISIONS, QUICK, TITLES, size_text
from easnn.cli.arguments import exit_code_of, file_path, parse, plain_parser, sensor_size
from easnn.utils.options import RUNTIMES, SPIKE_MODES

DESCRIPTION = f"""\
Measures how fast easnn is on this machine's CPU, and how many times faster than the published
formulations that it replaces. All variants of a table compute the same and take turns.
docs/performance.md explains the tables.

sections:
{chr(10).join(f"  {name:<12}{title}" for name, title in TITLES.items())}

Without a section, all but {", ".join(name for name in TITLES if name in OPTIONAL)} are measured.
"""


def _is_size(word: str) -> bool:
    return re.fullmatch(r"\d+x\d+", word) is not None


SEVERAL: Mapping[str, Callable[[str], bool]] = MappingProxyType(
    {
        "--model": lambda word: "-" in word.strip("-"),  # no key has a dash
        "--size": _is_size,
        "--precision": PRECISIONS.__contains__,
        "--runtime": RUNTIMES.__contains__,
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
        "--precision", action="append", choices=PRECISIONS, help="precisions (default: exact bf16)"
    )
    parser.add_argument(
        "--runtime",
        action="append",
        choices=RUNTIMES,
        help="runtimes of `forward` and `latency`; torch is always measured (default: all)",
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
        metavar="N",
        help="threads of torch (default: one per core)",
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
        f"{QUICK.rounds} rounds, {QUICK.frames} frames, runtime {QUICK.runtimes[0]}, and less data",
    )
    parser.add_argument(
        "--json", type=file_path, metavar="FILE", help="also write all numbers to this file"
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
    sections = list(takewhile(TITLES.__contains__, words))
    options = parse(make_parser(), one_value_each(words[len(sections) :]))
    from easnn.cli.tasks.benchmark import benchmark, print_keys

    if options.help_keys:
        return exit_code_of(print_keys)
    return exit_code_of(lambda: benchmark(sections, options, words))


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
