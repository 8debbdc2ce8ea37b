"""What the commands that work with an experiment share."""

from __future__ import annotations

import argparse
import secrets
from collections.abc import Callable
from pathlib import Path

import torch
from loguru import logger
from torch import nn

from easnn.analysis import size_line, summarize
from easnn.checkpoints import Checkpoint, experiment_for
from easnn.cli.arguments import exit_code_of
from easnn.engine import launch
from easnn.exp import EventExp, get_exp, keys_table
from easnn.models import fuse, quantiser_note
from easnn.utils.distributed import broadcast_object, is_main
from easnn.utils.errors import ConfigError
from easnn.utils.logging import setup_logging
from easnn.utils.precision import check_precision, mixed_precision, usable_precision
from easnn.utils.seeding import seed_everything


def run_command(
    process: Callable[[argparse.Namespace], None],
    options: argparse.Namespace,
    *,
    stop_signal: int | None = None,
    max_restarts: int = 0,
    options_of_restart: argparse.Namespace | None = None,
) -> int:
    """Run a command in the processes that its options request, and return the exit code.

    Args:
        process: the function that each process runs with the options; it must be picklable.
        options: parsed by a parser of :func:`~easnn.cli.arguments.build_parser`.
        stop_signal: see :func:`~easnn.engine.launch`.
        max_restarts: how many times lost processes are started again.
        options_of_restart: their options then; None: ``options``.
    """
    if options.help_keys:
        return exit_code_of(lambda: print_keys(options))
    if options.summary:
        return exit_code_of(lambda: print_summary(options))
    setup_logging()
    return exit_code_of(
        lambda: launch(
            process,
            (options,),
            devices=options.devices,
            num_machines=options.num_machines,
            machine_rank=options.machine_rank,
            dist_backend=options.dist_backend,
            dist_url=options.dist_url,
            timeout_s=options.timeout,
            stop_signal=stop_signal,
            max_restarts=max_restarts,
            args_of_restart=None if options_of_restart is None else (options_of_restart,),
            local_rank=options.local_rank,
        )
    )


def print_keys(options: argparse.Namespace) -> None:
    """Print every key with its value in the experiment of ``-n`` or ``-f``, or with its default."""
    chosen = options.exp_file is not None or options.name is not None
    experiment = get_exp(options.exp_file, options.name) if chosen else EventExp()
    experiment.merge(options.pairs)
    print(keys_table(experiment))


def print_summary(options: argparse.Namespace) -> None:
    """Print the size of the network of the checkpoint (``-c``) or experiment (``-n`` or ``-f``)."""
    setup_logging()
    if options.ckpt is None:
        experiment = named_experiment(options)
    else:
        experiment = experiment_of(options, Checkpoint(options.ckpt), same_network=True)
    check(experiment)
    model = experiment.get_model()
    if vars(options).get("fuse"):  # only the evaluation has this option
        model = fuse(model)
    print(summarize(model, frame_shape(experiment, experiment.test_size)).table())
    note = quantiser_note(model)
    if note is not None:
        print(f"\n{note}")


def log_size(model: nn.Module, shape: tuple[int, ...]) -> None:
    """Log the size of a network for a frame of a shape, and whether its neurons have a memory."""
    logger.info("The network has {}", size_line(model, shape))
    note = quantiser_note(model)
    if note is not None:
        logger.info(note)


def named_experiment(options: argparse.Namespace) -> EventExp:
    """Return the experiment of ``-n`` or ``-f`` with the keys of the command line.

    Raises:
        ConfigError: if it does not exist, or a key is wrong.
    """
    experiment = get_exp(options.exp_file, options.name)
    experiment.merge(options.pairs)
    return experiment


def experiment_of(
    options: argparse.Namespace,
    checkpoint: Checkpoint,
    *,
    same_network: bool,
    compare: bool = True,
) -> EventExp:
    """Call :func:`~easnn.checkpoints.experiment_for` with the options.

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
        compare=compare,
    )


def check(experiment: EventExp) -> None:
    """Validate an experiment and log its notices.

    Raises:
        ConfigError: if its keys do not fit together.
    """
    experiment.validate()
    if is_main():
        for notice in experiment.notices():
            logger.warning(notice)


def set_precision(
    options: argparse.Namespace,
    experiment: EventExp,
    device: torch.device,
    *,
    recorded: bool = False,
) -> None:
    """Set ``precision`` as ``--fp16`` demands, and check that the device has it.

    Args:
        options: options of the command line.
        experiment: its ``precision`` is that of a file, a checkpoint or the command line.
        device: device of this process.
        recorded: whether the network is trained, so that ``precision`` may be from another device.
            If this one does not have it, the network is evaluated in float32.

    Raises:
        ConfigError: if the device does not have it, or the command line contradicts itself.
    """
    explicit = "precision" in options.pairs[::2]
    if options.fp16:
        mixed = mixed_precision(device)
        if explicit and experiment.precision != mixed:
            raise ConfigError(
                f"`--fp16` is `precision {mixed}` on this device, but `precision` is "
                f"{experiment.precision}. Give one of them."
            )
        experiment.precision = mixed
    elif recorded and not explicit:
        experiment.precision = usable_precision(experiment.precision, device)
    check_precision(experiment.precision, device)


def seed_run(experiment: EventExp) -> None:
    """Seed this process; without `seed`, draw one that all processes share."""
    if experiment.seed is None:
        experiment.seed = broadcast_object(secrets.randbelow(2**31))
        if is_main():
            logger.info("`seed` is {}", experiment.seed)
    seed_everything(experiment.seed)


def frame_shape(experiment: EventExp, input_hw: tuple[int, int]) -> tuple[int, ...]:
    """Return the shape ``(1, Tl, Tm, C, H, W)`` of an input of the experiment's network."""
    spec = experiment.frame_spec()
    return (1, *spec.slices, spec.channels, *input_hw)


def run_directory_path(experiment: EventExp) -> Path:
    """Return ``<output_dir>/<exp_name>``."""
    return Path(experiment.output_dir) / (experiment.exp_name or "unnamed")
