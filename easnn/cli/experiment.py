"""From the options of a command to its experiment, checked and seeded."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path

from loguru import logger

from easnn.checkpoints import Checkpoint, experiment_for
from easnn.exp import EventExp, get_exp
from easnn.utils.distributed import broadcast_object, is_main
from easnn.utils.seeding import seed_everything


def named_experiment(options: argparse.Namespace) -> EventExp:
    """Return the experiment of ``-n`` or ``-f`` with the keys of the command line.

    Raises:
        ConfigError: if there is none, or a key is wrong.
    """
    experiment = get_exp(options.exp_file, options.name)
    experiment.merge(options.pairs)
    return experiment


def experiment_of(
    options: argparse.Namespace, checkpoint: Checkpoint, *, same_network: bool
) -> EventExp:
    """Return the experiment to use a checkpoint in: :func:`~easnn.checkpoints.experiment_for` with the options.

    Raises:
        ConfigError: if a key is wrong.
        CheckpointError: if the checkpoint's experiment is unknown or does not fit.
    """
    return experiment_for(
        checkpoint,
        exp_name=options.name,
        exp_file=options.exp_file,
        words=options.pairs,
        same_network=same_network,
    )


def check(experiment: EventExp) -> None:
    """Validate an experiment and tell what is notable about it.

    Raises:
        ConfigError: if its keys do not fit together.
    """
    experiment.validate()
    if is_main():
        for notice in experiment.notices():
            logger.warning(notice)


def seed_run(experiment: EventExp) -> None:
    """Seed this process; an experiment without a seed gets one, the same on every process."""
    if experiment.seed is None:
        experiment.seed = broadcast_object(secrets.randbelow(2**31))
        if is_main():
            logger.info("`seed` is {}", experiment.seed)
    seed_everything(experiment.seed)


def frame_shape(experiment: EventExp, input_hw: tuple[int, int]) -> tuple[int, ...]:
    """Return the shape ``(1, 1, slices, C, H, W)`` of a frame that the network of an experiment takes."""
    spec = experiment.frame_spec()
    return (1, 1, spec.Tm, spec.channels, *input_hw)


def run_directory_path(experiment: EventExp) -> Path:
    """Return ``<output_dir>/<exp_name>``."""
    return Path(experiment.output_dir) / (experiment.exp_name or "unnamed")
