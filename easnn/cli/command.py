"""What the commands of training and evaluation do with their options."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from easnn.analysis import summarize
from easnn.checkpoints import Checkpoint
from easnn.cli.arguments import parse
from easnn.cli.console import exit_code_of
from easnn.cli.experiment import check, experiment_of, frame_shape, named_experiment
from easnn.engine import launch
from easnn.exp import EventExp, get_exp, keys_table
from easnn.models import fuse
from easnn.utils.logging import setup_logging


def run_command(
    process: Callable[[argparse.Namespace], None],
    parser: argparse.ArgumentParser,
    argv: Sequence[str] | None,
) -> int:
    """Run a command in as many processes as its options say, and return the exit code.

    An error that the user can act on is printed as one line and gives 1. Every other exception is a
    fault of the program and goes on, with its traceback.

    Args:
        process: a function of a module: what each process does with the options.
        parser: of the options, from :func:`~easnn.cli.arguments.build_parser`.
        argv: the command line without the program; ``None``: that of this program.
    """
    options = parse(parser, argv)
    if options.help_keys:
        return exit_code_of(lambda: print_keys(options))
    if options.summary:
        return exit_code_of(lambda: print_summary(options))
    return exit_code_of(
        lambda: launch(
            process,
            (options,),
            devices=options.devices,
            num_machines=options.num_machines,
            machine_rank=options.machine_rank,
            dist_backend=options.dist_backend,
            dist_url=options.dist_url,
        )
    )


def print_keys(options: argparse.Namespace) -> None:
    """Print every key with its value in the experiment of ``-n`` or ``-f``, or else its default."""
    chosen = options.exp_file is not None or options.name is not None
    experiment = get_exp(options.exp_file, options.name) if chosen else EventExp()
    experiment.merge(options.pairs)
    print(keys_table(experiment))


def print_summary(options: argparse.Namespace) -> None:
    """Print the size of the network of the checkpoint of ``-c``, or else of ``-n`` or ``-f``."""
    setup_logging()
    if options.ckpt is None:
        experiment = named_experiment(options)
    else:
        experiment = experiment_of(options, Checkpoint(Path(options.ckpt)), same_network=True)
    check(experiment)
    model = experiment.get_model()
    if vars(options).get("fuse"):  # an option of the evaluation alone
        model = fuse(model)
    print(summarize(model, frame_shape(experiment, experiment.test_size)).table())
