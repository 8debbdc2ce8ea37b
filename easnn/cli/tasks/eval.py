"""Evaluation of a checkpoint, in each of its processes."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch
from loguru import logger
from torch import nn

from easnn.analysis import binary_slots, write_strata
from easnn.checkpoints import Checkpoint
from easnn.cli.tasks.experiment import (
    check,
    experiment_of,
    frame_shape,
    log_size,
    named_experiment,
    run_directory_path,
    seed_run,
    set_precision,
)
from easnn.data import DetectionDataset
from easnn.engine import RunDirectory, evaluation_of
from easnn.evaluation import EvaluationResult, FrameResult, refuse_unwritable, write_detections
from easnn.exp import EventExp
from easnn.models import fuse
from easnn.utils.device import training_device
from easnn.utils.distributed import is_main
from easnn.utils.errors import ConfigError, OutputError
from easnn.utils.files import read_text, write_json
from easnn.utils.logging import setup_logging


def evaluate(options: argparse.Namespace) -> None:
    """Evaluate a checkpoint as one process of the command."""
    setup_logging()
    checkpoint = Checkpoint(_checkpoint_path(options))
    experiment = experiment_of(options, checkpoint, same_network=True)
    check(experiment)
    if options.batch_size < 1:
        raise ConfigError(f"`-b` must be at least 1, but is {options.batch_size}.")
    if options.binary and options.runtime != "torch":
        raise ConfigError(
            f"`--binary` needs `--runtime torch`, but it is {options.runtime}: how many slots are "
            "filled depends on the values."
        )
    device = training_device()
    set_precision(options, experiment, device, recorded=True)
    seed_run(experiment)
    model = checkpoint.build_model(experiment, device)
    shape = frame_shape(experiment, experiment.test_size)
    if is_main():
        log_size(model, shape)
    if options.fuse:
        model = fuse(model)
    if options.binary:
        model = binary_slots(model, torch.zeros(shape, device=device))
    save = None
    if options.save_detections is not None:
        refuse_unwritable(options.save_detections)
        save = partial(_save_detections, options, checkpoint, experiment, model)
    with experiment.open_cache(options.cache) if options.cache else nullcontext() as cache:
        run_evaluation = evaluation_of(
            experiment,
            batch_size=options.batch_size,
            device=device,
            timed=options.speed,
            cache=cache,
            runtime=options.runtime,
            strata=options.strata,
            written=save,
        )
        run = _run_directory(options, checkpoint, experiment)
        training = run.record().get("run")
        result = run_evaluation(model)
        if cache is not None:
            cache.report()
    if is_main():
        print(result.table())
        if run.record().get("run") != training:
            raise OutputError(
                f"The result above is not written to {run.results}: a training that began in the "
                "meantime has moved the evaluated run to a folder `earlier-N` beside it. Evaluate "
                "its checkpoint there."
            )
        path = run.evaluation(checkpoint.path, experiment.eval_split, experiment.protocols())
        about = {
            "checkpoint": str(checkpoint.path),
            "fused": options.fuse,
            "binary": options.binary,
            "runtime": options.runtime,
            "keys": experiment.plain(),
        }
        write_json(path, {**result.to_dict(), **about})
        logger.info("The result is in {}", path)
        if options.strata:
            picture = write_strata(result, run.strata_picture(path))
            logger.info("Its strata are drawn in {}", picture)


def _save_detections(
    options: argparse.Namespace,
    checkpoint: Checkpoint,
    experiment: EventExp,
    model: nn.Module,
    dataset: DetectionDataset,
    frames: Sequence[FrameResult],
    result: EvaluationResult,
) -> None:
    """Write the detections of an evaluation, and what made them."""
    energy = RunDirectory(checkpoint.path.parent).energy(checkpoint.path, dataset.split)
    about = {
        "checkpoint": str(checkpoint.path),
        "data_name": experiment.data_name,
        "split": dataset.split,
        "train_splits": list(experiment.train_splits),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "energy_pj": json.loads(read_text(energy))["total"]["energy_pj"]
        if energy.is_file()
        else None,
        "ms_per_frame": sum(result.timing.values()) if result.timing else None,
        "fused": options.fuse,
        "runtime": options.runtime,
        "keys": experiment.plain(),
    }
    path = options.save_detections
    left_out = write_detections(path, frames, dataset.class_names, dataset.sensor_hw, about)
    logger.info("The detections are in {}", path)
    if left_out:
        logger.warning("{} invalid detections are not among them.", left_out)


def _checkpoint_path(options: argparse.Namespace) -> Path:
    if options.ckpt is not None:
        return options.ckpt
    if options.name is None and options.exp_file is None:
        raise ConfigError(
            "Give a checkpoint (-c FILE), or the experiment (-n or -f) of a run with a "
            "best_ckpt.pth."
        )
    best = RunDirectory(run_directory_path(named_experiment(options))).best
    if not best.is_file():
        raise ConfigError(
            f"There is no checkpoint {best}. Give one with -c, or the name of the run with -expn."
        )
    return best


def _run_directory(
    options: argparse.Namespace, checkpoint: Checkpoint, experiment: EventExp
) -> RunDirectory:
    """Return the run directory of the checkpoint or, with ``-expn``, of that name.

    Raises:
        OutputError: if results cannot be written there.
    """
    if "exp_name" in options.pairs[::2]:
        run = RunDirectory(run_directory_path(experiment))
        if is_main():
            run.mark()
        return run
    run = RunDirectory(checkpoint.path.parent)
    if is_main():
        run.make_results()
    return run
