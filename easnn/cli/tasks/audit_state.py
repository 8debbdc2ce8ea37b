"""The effect of the memory of a checkpoint's network."""

from __future__ import annotations

import argparse

from loguru import logger
from tqdm import tqdm

from easnn.analysis import audit_memory
from easnn.checkpoints import Checkpoint
from easnn.cli.tasks.experiment import check, experiment_of
from easnn.engine import RunDirectory
from easnn.inference import Predictor
from easnn.utils.device import training_device
from easnn.utils.errors import ConfigError
from easnn.utils.files import write_json
from easnn.utils.logging import on_terminal, setup_logging

BATCH = 8
"""Windows that are loaded at once."""


def report(options: argparse.Namespace) -> None:
    """Audit the memory of a checkpoint, print the table and write the numbers.

    Raises:
        CheckpointError: if the checkpoint cannot be read or does not fit.
        ConfigError: if an option or a key is wrong, or the network has no memory.
        DataError: if the dataset's files are incomplete or wrong.
        OutputError: if the result cannot be written.
    """
    setup_logging()
    if options.ckpt is None:
        raise ConfigError("Give a checkpoint (-c FILE).")
    if options.frames is not None and options.frames < 1:
        raise ConfigError(f"`--frames` must be at least 1, but is {options.frames}.")
    checkpoint = Checkpoint(options.ckpt)
    experiment = experiment_of(options, checkpoint, same_network=True)
    check(experiment)
    if experiment.memory == "none":
        raise ConfigError(
            f"`memory` must be lstm or spiking for this command, but is none in {options.ckpt}."
        )
    device = training_device()
    predictor = Predictor.of(experiment, checkpoint.build_model(experiment, device))
    loader = experiment.get_eval_loader(batch_size=BATCH, device=device)
    if options.frames is not None:
        loader.sampler.limit(options.frames)
    run = RunDirectory(checkpoint.path.parent)
    run.make_results()
    audit = audit_memory(
        predictor,
        lambda: tqdm(loader, desc="audit", unit="batch", leave=False, disable=not on_terminal()),
        experiment.get_evaluator(loader.dataset),
    )
    path = run.results / f"{checkpoint.path.stem}_{loader.dataset.split}_memory.json"
    about = {"checkpoint": str(checkpoint.path), "keys": experiment.plain()}
    write_json(path, {**audit.to_dict(), **about})
    print(audit.table())
    logger.info("The numbers are in {}", path)
