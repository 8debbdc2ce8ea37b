"""Conversion of checkpoints to and from the published format."""

from __future__ import annotations

import argparse
from glob import escape
from pathlib import Path

from easnn.checkpoints import Checkpoint, save_checkpoint
from easnn.cli.tasks.experiment import check, experiment_of
from easnn.exp import EventExp, ExperimentRecord
from easnn.published import PublishedCheckpoint, PublishedRecord
from easnn.utils.errors import ConfigError
from easnn.utils.files import refuse_existing, remove_unfinished
from easnn.utils.logging import setup_logging


def convert(options: argparse.Namespace) -> None:
    """Convert the checkpoint and print a summary.

    Raises:
        CheckpointError: if the input cannot be read, or needs keys that are not given.
        ConfigError: if a key is wrong, or not allowed for this input.
        OutputError: if the output exists or cannot be written.
    """
    setup_logging()
    output: Path = options.output
    refuse_existing(output)
    remove_unfinished(output.parent, escape(output.name))
    checkpoint = Checkpoint(options.input)
    published = isinstance(checkpoint.record, PublishedRecord)
    if not published and options.pairs:
        raise ConfigError(
            f"Keys can only be given for a published checkpoint, but {options.input} is one of "
            f"this framework and contains its experiment. Omit `{' '.join(options.pairs)}`."
        )
    experiment = experiment_of(options, checkpoint, same_network=True)
    if published:
        check(experiment)
        _write_own(output, checkpoint, experiment)
        print(f"{output}: a checkpoint of this framework, to use with -c")
    else:
        _write_published(output, checkpoint, experiment)
        print(f"{output}: a checkpoint for the published code")


def _write_own(output: Path, checkpoint: Checkpoint, experiment: EventExp) -> None:
    """Write the weights of a published checkpoint, with an empty training state."""
    contents = checkpoint.contents
    save_checkpoint(
        output,
        {
            "model": contents["model"],
            "raw_model": contents["model"],
            "optimizer": None,
            "scaler": None,
            "ema_updates": 0,
            "epoch": contents["epoch"],
            "step": 0,
            "steps_per_epoch": None,
            "rng": [],
            "best_ap": contents["best_ap"],
            "best_epoch": None,
            "experiment": ExperimentRecord.of(experiment).plain(),
        },
    )


def _write_published(output: Path, checkpoint: Checkpoint, experiment: EventExp) -> None:
    contents = checkpoint.contents
    last_epoch_complete = contents["step"] > 0 and contents["step"] == contents["steps_per_epoch"]
    PublishedCheckpoint(
        config=experiment.detector_config(),
        weights=contents["model"],
        epochs=contents["epoch"] + (1 if last_epoch_complete else 0),
        best_ap=contents["best_ap"],
    ).save(output)
