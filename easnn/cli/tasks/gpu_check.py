"""The check of a machine with a GPU."""

from __future__ import annotations

import argparse
import math
from dataclasses import asdict
from typing import Any

import torch
from loguru import logger

from easnn.gpu_check import CHECKS, Outcome, Setting, machine, run_checks, table
from easnn.utils.errors import ConfigError, TrainingError, did_you_mean
from easnn.utils.files import write_json
from easnn.utils.logging import setup_logging


def check(options: argparse.Namespace) -> None:
    """Run the checks, print their table and write the numbers.

    Raises:
        ConfigError: if there is no GPU, or no such check.
        OutputError: if the file cannot be written.
        TrainingError: if a check failed.
    """
    if options.device == "cuda" and not torch.cuda.is_available():
        raise ConfigError(
            "`easnn gpu-check` needs a GPU, but torch "
            f"{torch.__version__} finds none on this machine."
        )
    setup_logging()
    names = options.only or list(CHECKS)
    for name in names:
        if name not in CHECKS:
            raise ConfigError(
                f"`--only` must be one of {', '.join(CHECKS)}, but is {name}."
                f"{did_you_mean(name, CHECKS)}"
            )
    device = torch.device("cuda", 0) if options.device == "cuda" else torch.device("cpu")
    setting = Setting(device, quick=options.quick or device.type == "cpu")
    done: dict[str, tuple[Outcome, float]] = {}
    for name, outcome, seconds in run_checks(setting, names, options.limit_s):
        done[name] = outcome, seconds
        logger.info("{}: {}", name, outcome.detail)
    write_json(options.output, {"machine": machine(device), "checks": _plain(done)})
    print(table(done))
    logger.info("The numbers are in {}", options.output)
    failed = [name for name, (outcome, _) in done.items() if outcome.passed is False]
    if failed:
        raise TrainingError(f"{len(failed)} of {len(done)} checks failed: {', '.join(failed)}.")


def _plain(done: dict[str, tuple[Outcome, float]]) -> dict[str, Any]:
    """Return the outcomes as plain values; JSON has no NaN or infinity, so these become text."""
    plain = {}
    for name, (outcome, seconds) in done.items():
        numbers = {
            what: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for what, value in outcome.numbers.items()
        }
        plain[name] = {**asdict(outcome), "numbers": numbers, "seconds": seconds}
    return plain
