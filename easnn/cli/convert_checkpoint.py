"""Convert a checkpoint of the published code to one of ours, or back: ``tools/convert_checkpoint.py``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from easnn.checkpoints import Checkpoint, save_checkpoint
from easnn.cli.arguments import add_experiment_options
from easnn.cli.console import exit_code_of
from easnn.cli.experiment import check, experiment_of
from easnn.exp import EventExp, ExperimentRecord
from easnn.published import PublishedCheckpoint, PublishedRecord
from easnn.utils.errors import ConfigError
from easnn.utils.files import refuse_existing
from easnn.utils.logging import setup_logging

DESCRIPTION = """\
Converts a checkpoint of the published EAS-SNN code to one of this framework, which carries its
experiment, or one of this framework to one that the published code reads. INPUT decides which;
weights stay the same to the last bit. The output appears only when it is whole, and no file is ever
replaced.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add_experiment_options(parser)
    parser.add_argument(
        "input", type=Path, metavar="INPUT", help="checkpoint; its content tells its kind"
    )
    parser.add_argument("output", type=Path, metavar="OUTPUT", help="file to write")
    parser.add_argument(
        "pairs",
        nargs=argparse.REMAINDER,
        metavar="key value",
        help="for a published INPUT: the keys of its training, as in tools/eval_event.py",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Convert, print what was written, and return the exit code."""
    options = make_parser().parse_args(argv)
    return exit_code_of(lambda: convert(options))


def convert(options: argparse.Namespace) -> None:
    """Do what the options say.

    Raises:
        CheckpointError: if the input cannot be read, or what has to be known about it is not told.
        ConfigError: if a key is wrong, or has no meaning for this input.
        OutputError: if the output exists or cannot be written.
    """
    setup_logging()
    output: Path = options.output
    refuse_existing(output)
    checkpoint = Checkpoint(options.input)
    published = isinstance(checkpoint.record, PublishedRecord)
    if not published and options.pairs:
        raise ConfigError(
            f"Keys belong to a published checkpoint only, but {options.input} is one of this "
            "framework and "
            f"carries its experiment. Leave out `{' '.join(options.pairs)}`."
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
    """Write the weights of a published checkpoint; what only a run has stays empty."""
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
    last_epoch_is_whole = contents["step"] > 0 and contents["step"] == contents["steps_per_epoch"]
    PublishedCheckpoint(
        config=experiment.detector_config(),
        weights=contents["model"],
        epochs=contents["epoch"] + last_epoch_is_whole,
        best_ap=contents["best_ap"],
    ).save(output)
