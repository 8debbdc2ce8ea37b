"""From a command's options and the checkpoint that it names to the experiment."""

from __future__ import annotations

import argparse
import secrets
from pathlib import Path
from typing import Any

from loguru import logger

from easnn.engine import is_own, own_checkpoint
from easnn.exp import NETWORK_KEYS, EventExp, ExperimentRecord, get_exp
from easnn.published import PublishedCheckpoint, PublishedRecord
from easnn.utils.distributed import broadcast_object, is_main
from easnn.utils.errors import CheckpointError
from easnn.utils.seeding import seed_everything
from easnn.utils.tensor_file import read_tensor_file


class Checkpoint:
    """A checkpoint that the command line names: of this framework, or of the published code.

    Args:
        path: its file.

    Attributes:
        path: its file.
        contents: what it holds; of a published one ``model`` (under our names), ``epoch`` and ``best_ap``.
        record: the experiment that it belongs to, or what the weights of a published one tell of it.

    Raises:
        CheckpointError: if it cannot be read, does not say which experiment it belongs to, or is something
            else.
    """

    contents: dict[str, Any]
    record: ExperimentRecord | PublishedRecord

    def __init__(self, path: Path) -> None:
        self.path = path
        contents = read_tensor_file(path)
        if is_own(contents):
            self.contents = own_checkpoint(contents, path)
            self.record = ExperimentRecord.read(self.contents["experiment"], path)
        else:
            published = PublishedCheckpoint.of(contents, path)
            self.contents = {
                "model": published.weights,
                "epoch": published.epochs,
                "best_ap": published.best_ap,
            }
            self.record = PublishedRecord(published.config)

    def check_resumable(self) -> None:
        """Check that it holds the state of a run.

        Raises:
            CheckpointError: if it is a published one, or was converted from one.
        """
        if self.contents.get("optimizer") is None:
            raise CheckpointError(
                f"{self.path} cannot be resumed: it comes from the published code, whose optimiser keeps its state "
                "in another order. Leave out --resume to start a new run from its weights."
            )

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
    for the seed if it has none. A published checkpoint tells less: see :class:`PublishedRecord`.

    Args:
        options: of the command line.
        checkpoint: the checkpoint.
        same_network: whether the weights have to fit; if not, they are a mere start for another network.

    Raises:
        ConfigError: if a key is wrong.
        CheckpointError: if the checkpoint's experiment does not fit this version, or that of a published one
            is not known or contradicts its weights.
    """
    record, source = checkpoint.record, checkpoint.path
    if isinstance(record, PublishedRecord):
        return _published_experiment(options, record, source, same_network=same_network)
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


def _published_experiment(
    options: argparse.Namespace, record: PublishedRecord, source: Path, *, same_network: bool
) -> EventExp:
    unnamed = options.name is None and options.exp_file is None
    experiment = EventExp() if unnamed else get_exp(options.exp_file, options.name)
    experiment.merge(options.pairs)
    if unnamed or same_network:
        keys = record.complete(experiment, source)
        if is_main():
            logger.info("Keys that were not given for {}:\n{}", source, keys)
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
