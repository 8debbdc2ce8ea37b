"""The endurance test of trainings."""

from __future__ import annotations

import argparse
import sys

from loguru import logger

from easnn.cli.main import main
from easnn.soak import Program, Soak
from easnn.utils.errors import ConfigError, TrainingError
from easnn.utils.files import write_json
from easnn.utils.logging import setup_logging

PROGRAM = Program(
    main=main,
    command=(sys.executable, "-m", "easnn"),
    # What a training imports; torch imports its compiler when the first optimizer is built.
    imports=(
        "easnn.cli.tasks.train",
        "faster_coco_eval",
        "torch._dynamo",
        "torch.utils.tensorboard",
    ),
)
"""The program that is killed; its first argument is ``train``."""


def soak(options: argparse.Namespace, program: Program = PROGRAM) -> None:
    """Kill trainings, print the table and write all that was seen.

    Args:
        options: options of the command line.
        program: the program that is killed.

    Raises:
        ConfigError: if there are fewer kills than numbers of processes, or no /proc.
        OutputError: if the folder is not empty, or a file cannot be written.
        TrainingError: if something was lost.
    """
    setup_logging()
    count = len(options.processes)
    if options.kills < count:
        raise ConfigError(
            f"`--kills` must be at least {count}, the number of different `--processes`, but is "
            f"{options.kills}."
        )
    kills = {
        processes: options.kills // count + (index < options.kills % count)
        for index, processes in enumerate(options.processes)
    }
    report = Soak(program, options.keep, kills=kills, seed=options.seed).run()
    path = options.keep / "soak.json"
    write_json(path, report.plain())
    print(report.table(), flush=True)
    logger.info("All that was seen is in {}", path)
    if report.lost:
        raise TrainingError(
            f"Something was lost in {len(report.lost)} of {len(report.runs)} trainings, which are "
            f"kept in {options.keep}. The first: {report.lost[0].problems[0]}"
        )
