"""Operations, spikes and energy of a checkpoint's network."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from loguru import logger
from torch import Tensor
from tqdm import tqdm

from easnn.analysis import energy_tables, measure_energy
from easnn.checkpoints import Checkpoint
from easnn.cli.tasks.experiment import check, experiment_of
from easnn.data import DetectionDataset
from easnn.engine import RunDirectory
from easnn.inference import Predictor
from easnn.models import fuse, quantiser_note
from easnn.utils.device import training_device
from easnn.utils.errors import ConfigError
from easnn.utils.files import write_json
from easnn.utils.logging import on_terminal, setup_logging


def report(options: argparse.Namespace) -> None:
    """Measure a checkpoint, print the tables and write the numbers.

    Raises:
        CheckpointError: if the checkpoint cannot be read or does not fit.
        ConfigError: if an option or a key is wrong.
        DataError: if the dataset's files are incomplete or wrong.
        OutputError: if the result cannot be written.
    """
    setup_logging()
    if options.ckpt is None:
        raise ConfigError("Give a checkpoint (-c FILE).")
    if options.samples < 1:
        raise ConfigError(f"`--samples` must be at least 1, but is {options.samples}.")
    checkpoint = Checkpoint(options.ckpt)
    experiment = experiment_of(options, checkpoint, same_network=True)
    check(experiment)
    model = checkpoint.build_model(experiment, training_device())
    model = fuse(model) if options.fuse else model
    predictor = Predictor.of(experiment, model, precision="exact")  # as the operations are counted
    run = RunDirectory(checkpoint.path.parent)
    run.make_results()
    dataset = experiment.get_dataset([experiment.eval_split])
    energy = measure_energy(predictor.model, inputs_of(predictor, dataset, options.samples))
    path = run.energy(checkpoint.path, dataset.split, fused=options.fuse)
    about = {
        "checkpoint": str(checkpoint.path),
        "split": dataset.split,
        "fused": options.fuse,
        "keys": experiment.plain(),
    }
    write_json(path, {**energy.to_dict(), **about})
    print(energy_tables(energy))
    note = quantiser_note(model)
    if note is not None:
        print(note)
    logger.info("The numbers are in {}", path)


def inputs_of(predictor: Predictor, dataset: DetectionDataset, samples: int) -> Iterator[Tensor]:
    """Yield network inputs ``[1, Tl, Tm, C, h, w]`` of frames spread evenly over a dataset.

    Args:
        predictor: prepares the frames as in an evaluation.
        dataset: source of the frames.
        samples: maximum number of frames.
    """
    count = min(samples, len(dataset))
    indices = [(2 * k + 1) * len(dataset) // (2 * count) for k in range(count)]
    for index in tqdm(indices, desc="energy", unit="frame", leave=False, disable=not on_terminal()):
        yield predictor.network_input(dataset.load(index).events)
