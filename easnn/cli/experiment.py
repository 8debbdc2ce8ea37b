"""From a command's options and the checkpoint that it names to the experiment."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path

from loguru import logger

from easnn.engine import load_checkpoint
from easnn.exp import NETWORK_KEYS, EventExp, ExperimentRecord, get_exp
from easnn.utils.distributed import broadcast_object, is_main
from easnn.utils.seeding import seed_everything


class Checkpoint:
    """A checkpoint that the command line names.

    Args:
        path: its file.

    Attributes:
        path: its file.
        contents: what it holds.
        record: the experiment that it belongs to.

    Raises:
        CheckpointError: if it cannot be read or does not say which experiment it belongs to.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.contents = load_checkpoint(path)
        self.record = ExperimentRecord.read(self.contents["experiment"], path)

    def lies_in(self, directory: Path) -> bool:
        """Tell whether the file lies in ``directory``."""
        return self.path.resolve().parent == directory.resolve()


def named_experiment(options: argparse.Namespace) -> EventExp:
    """Return the experiment of ``-n`` or ``-f`` with the keys of the command line.

    Raises:
        ConfigError: if there is none, or a key is wrong.
    """
    experiment = get_exp(options.exp_file, options.name)
    experiment.merge(options.pairs)
    return experiment


def experiment_for(options: argparse.Namespace, checkpoint: Checkpoint, *, same_network: bool) -> EventExp:
    """Return the experiment to use a checkpoint in, and tell how it differs from the checkpoint's own.

    A key on the command line always wins. Everything else comes from the checkpoint, unless ``-n`` or ``-f``
    choose an experiment: then from that, but for the keys of the network if the weights have to fit it, and
    for the seed if it has none.

    Args:
        options: of the command line.
        checkpoint: the checkpoint.
        same_network: whether the weights have to fit; if not, they are a mere start for another network.

    Raises:
        ConfigError: if a key is wrong.
        CheckpointError: if the checkpoint's experiment does not fit this version.
    """
    record, source = checkpoint.record, checkpoint.path
    if options.name is None and options.exp_file is None:
        experiment = record.experiment(source)
    else:
        experiment = get_exp(options.exp_file, options.name)
        if same_network:
            record.give(experiment, NETWORK_KEYS, source)
        if experiment.seed is None:
            record.give(experiment, ["seed"], source)
    experiment.merge(options.pairs)
    differences = record.differences(experiment)
    if differences and is_main():
        logger.warning("Keys that differ from those of {}:\n{}", source, differences)
    return experiment


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
    embedding = experiment.detector_config().embedding
    return (1, 1, embedding.Tm, embedding.in_channels, *input_hw)


def run_directory_path(experiment: EventExp) -> Path:
    """Return ``<output_dir>/<exp_name>``."""
    return Path(experiment.output_dir) / (experiment.exp_name or "unnamed")
