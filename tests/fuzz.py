"""Fuzz everything that reads: ``python tests/fuzz.py --inputs 100000 --seed 1``.

Each input is valid, except for some changes that follow from seed, target and number. A target must
read it or raise an ``EasnnError``, within a limit of time and of memory. The table tells how it
went; every finding is printed with its number, so that ``--only TARGET --first NUMBER --inputs 1``
repeats it, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from fuzzing import mutated
from tabulate import tabulate

LIMIT_S = 20
LIMIT_BYTES = 2**31
"""Memory that a process may take in addition to what it has after importing everything."""
MAX_SHOWN = 20


class TooSlowError(BaseException):
    """An input took longer than LIMIT_S; not an ``Exception``, so that nobody catches it."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1000, help="of each of the fastest targets")
    parser.add_argument("--first", type=int, default=0, help="number of the first input")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="name of a target")
    parser.add_argument("--worker", metavar="TARGET", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.worker:
        work(options)
        return 0
    rows, findings = [], []
    for row, found in _supervised(options):
        rows.append(row)
        findings += found
    print(tabulate(rows, headers="keys", floatfmt=".1f"))
    print(f"{sum(row['inputs'] for row in rows):,} inputs, {len(findings)} findings")
    for finding in findings[:MAX_SHOWN]:
        print(f"FINDING {finding}")
    return int(bool(findings))


def _supervised(options: argparse.Namespace) -> Iterator[tuple[dict[str, object], list[str]]]:
    """Yield the row of each target and its findings, from processes that may die."""
    first, target, found = options.first, options.only or "", []
    while True:
        command = [sys.executable, __file__, "--worker", target or "all", "--first", str(first)]
        command += ["--inputs", str(options.inputs), "--seed", str(options.seed)]
        command += ["--only", options.only] if options.only else []
        position: dict[str, object] = {}
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                message = json.loads(line)
                if "row" in message:
                    yield message["row"], found + message["findings"]
                    found, position = [], {}
                else:
                    position = message
        if process.returncode == 0:
            return
        if not position:
            raise RuntimeError(f"The process of the targets ended with {process.returncode}.")
        target, number = str(position["target"]), int(str(position["number"]))
        found.append(f"{target} {number}: the process ended with {process.returncode}")
        first = number + 1


def work(options: argparse.Namespace) -> None:
    """Run targets, and print a line of JSON before each input and for each target."""
    from fuzz_targets import TARGETS
    from loguru import logger

    from easnn.utils.errors import EasnnError

    logger.remove()
    names = [target.name for target in TARGETS]
    start = 0 if options.worker == "all" else names.index(options.worker)
    used = int(re.search(r"VmSize:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) * 1024
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + LIMIT_BYTES, hard))
    signal.signal(signal.SIGALRM, _stop)
    first = options.first
    for target in TARGETS[start:]:
        if options.only not in (None, target.name):
            continue
        row = {"target": target.name, "inputs": 0, "read": 0, "refused": 0, "findings": 0}
        findings, slowest_s, begin = [], 0.0, time.perf_counter()
        count = options.inputs if options.only else max(1, round(options.inputs * target.share))
        with tempfile.TemporaryDirectory() as folder:
            path = target.write(Path(folder))
            content = path.read_bytes()
            target.read(path)  # the valid input
            others = [file for file in Path(folder).rglob("*") if file.is_file() and file != path]
            for number in range(first, max(count, first + bool(options.only) * count)):
                print(json.dumps({"target": target.name, "number": number}), flush=True)
                key = [options.seed, zlib.crc32(target.name.encode()), number]
                path.unlink()  # an open file stays as it is
                path.write_bytes(mutated(content, np.random.default_rng(key)))
                row["inputs"] += 1
                before = time.perf_counter()
                try:
                    with _limited():
                        target.read(path)
                    row["read"] += 1
                except EasnnError:
                    row["refused"] += 1
                except BaseException as error:  # whatever it is, it is a finding
                    if isinstance(error, KeyboardInterrupt):
                        raise
                    text = str(error).split("\n")[0][:150]
                    findings.append(f"{target.name} {number}: {type(error).__name__}: {text}")
                slowest_s = max(slowest_s, time.perf_counter() - before)
                assert all(file.exists() for file in others)
        first = 0
        row["findings"] = len(findings)
        row["slowest ms"] = 1000 * slowest_s
        row["peak MB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        row["s"] = time.perf_counter() - begin
        print(json.dumps({"row": row, "findings": findings}), flush=True)


@contextmanager
def _limited() -> Iterator[None]:
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _stop(*_: object) -> None:
    raise TooSlowError(f"longer than {LIMIT_S} s")


if __name__ == "__main__":
    sys.exit(main())
