"""Training, in each of its processes."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from loguru import logger
from torch import nn

from easnn.checkpoints import (
    Change,
    Checkpoint,
    changes_of,
    changes_table,
    load_weights,
    refuse_changes,
)
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
from easnn.cli.tasks.grid_search import check_grid_search, note_grid_search
from easnn.data import FrameCache
from easnn.engine import (
    SIGNALS,
    Position,
    RunDirectory,
    RunOwner,
    TrainConfig,
    Trainer,
    build_writers,
    check_writer,
    evaluation_of,
    freeze_parts,
)
from easnn.exp import EventExp, ExperimentRecord
from easnn.inference import Predictor
from easnn.utils.determinism import deterministic_algorithms, guarantee
from easnn.utils.device import training_device
from easnn.utils.distributed import broadcast_object, is_main, world_size
from easnn.utils.errors import ConfigError
from easnn.utils.logging import setup_logging
from easnn.utils.options import CONFIDENCE

if TYPE_CHECKING:
    from easnn.analysis import Picture

BRIEF_US = 100_000
"""Length of the clip where a few frames are enough."""


@dataclass(frozen=True)
class Plan:
    """What a training will do: its command line, decided and checked; no file has been written.

    Attributes:
        options: options of the command line; ``resume`` says whether the run is resumed.
        experiment: the experiment, complete and valid.
        device: device of this process.
        checkpoint: of the run to resume, or initial weights; if any.
        changes: what differs from the checkpoint of a resumed run.
    """

    options: argparse.Namespace
    experiment: EventExp
    device: torch.device
    checkpoint: Checkpoint | None
    changes: Sequence[Change]


def train(options: argparse.Namespace) -> None:
    """Train as one process of the command."""
    setup_logging()
    with deterministic_algorithms(options.deterministic):
        plan = plan_training(options)
        note_guarantee(plan)
        if plan.options.occupy:
            occupy_memory(plan.device)
        with RunOwner(run_directory_path(plan.experiment)) as owner:
            if plan.checkpoint:
                plan.checkpoint.check_unchanged()
            _train_in(owner, plan)


def plan_training(options: argparse.Namespace) -> Plan:
    """Decide what a command line asks for, check it, and seed this process.

    Raises:
        ConfigError: if an option or a key is wrong, or they contradict each other.
        CheckpointError: if the checkpoint cannot be read, or does not fit.
        OutputError: if the table of ``--grid_search`` cannot be written.
    """
    options = _with_decided_resume(options)
    checkpoint = _checkpoint(options)
    if checkpoint and options.resume:
        checkpoint.check_resumable()
    experiment = (
        experiment_of(options, checkpoint, same_network=options.resume, compare=not options.resume)
        if checkpoint
        else named_experiment(options)
    )
    check(experiment)
    device = training_device()
    set_precision(options, experiment, device)
    _check_options(options, experiment, device)
    if options.cache and experiment.speed_aug and is_main():
        logger.warning(
            "`speed_aug` makes other training frames in every epoch: --cache only speeds up "
            "evaluation."
        )
    seed_run(experiment)
    changes = _changes(options, experiment, checkpoint, device)
    return Plan(options, experiment, device, checkpoint, changes)


def _train_in(owner: RunOwner, plan: Plan) -> None:
    """Train in a run directory that is ours; its files are touched when all else is checked."""
    experiment, options = plan.experiment, plan.options
    model = build_model(plan)
    with open_cache(plan) as cache:
        trainer = build_trainer(experiment, model, options, plan.device, owner, cache)
        set_start(trainer, plan)
        run = owner.start(resume=continues_its_files(plan))
        setup_logging(run.log)
        note_changes(plan)
        result = trainer.train()
        if cache is not None:
            cache.report_all()
    if not is_main():
        return
    if result.best_ap is not None:
        logger.info("The best AP is {:.4f}, after epoch {}", result.best_ap, result.best_epoch)
    note_grid_search(options, result, run)  # a resumed run that was finished has its row already
    if experiment.pictures:
        files = draw_run(experiment, trainer.evaluated_model)
        logger.info("Pictures: {}", ", ".join(map(str, files)))


def build_model(plan: Plan) -> nn.Module:
    """Build the network on its device, with the initial weights of a new run and frozen parts.

    Raises:
        CheckpointError: if no weights fit.
        ConfigError: if ``freeze`` does not fit the network.
    """
    model = plan.experiment.get_model().to(plan.device)
    if is_main():
        shape = frame_shape(plan.experiment, plan.experiment.input_size)
        log_size(model, shape)
    if plan.checkpoint and not plan.options.resume:
        _load_start_weights(model, plan.checkpoint)
    freeze_parts(model, plan.experiment.freeze)
    if plan.experiment.freeze and is_main():
        _note_frozen(model, plan)
    return model


def open_cache(plan: Plan) -> AbstractContextManager[FrameCache | None]:
    """Return the cache of the frames, a context manager, empty without ``--cache``."""
    kind = plan.options.cache
    return plan.experiment.open_cache(kind) if kind else nullcontext()


def set_start(trainer: Trainer, plan: Plan) -> None:
    """Set where the run begins: at its checkpoint, at the epoch of ``-e``, or with the first step.

    Raises:
        CheckpointError: if the checkpoint does not fit.
    """
    if plan.checkpoint and plan.options.resume:
        trainer.resume(plan.checkpoint.contents, plan.checkpoint.path, plan.changes)
    if plan.options.start_epoch is not None:
        trainer.start_from(plan.options.start_epoch)


def note_guarantee(plan: Plan) -> None:
    """Log what ``--deterministic`` promises, if it is given."""
    if plan.options.deterministic and is_main():
        logger.info("--deterministic: {}", guarantee(plan.device))


def note_changes(plan: Plan) -> None:
    """Log what differs from the checkpoint of a resumed run."""
    if plan.changes and is_main():
        logger.warning("Resumed with other settings:\n{}", changes_table(plan.changes))


def build_trainer(
    experiment: EventExp,
    model: nn.Module,
    options: argparse.Namespace,
    device: torch.device,
    owner: RunOwner,
    cache: FrameCache | None = None,
    *,
    eval_frames: int | None = None,
) -> Trainer:
    """Build the trainer of a run; no file of the run directory is touched.

    Args:
        experiment: builds the parts.
        model: its network, on ``device``.
        options: options of the command line.
        device: device of this process.
        owner: the right to write to the run directory.
        cache: cache of the frames, if any.
        eval_frames: evaluate only the first frames, so many; None: all.

    Raises:
        ConfigError: if a key does not fit the dataset or this version.
        DataError: if the dataset is incomplete.
    """
    batch_size = options.batch_size
    train_loader = experiment.get_train_loader(batch_size=batch_size, device=device, cache=cache)
    evaluate = evaluation_of(
        experiment, batch_size=batch_size, device=device, cache=cache, frames=eval_frames
    )
    optimizer = experiment.get_optimizer(model, batch_size=batch_size)
    run = RunDirectory(run_directory_path(experiment))
    return Trainer(
        model=model,
        optimizer=optimizer,
        schedule=experiment.get_schedule(batch_size=batch_size, steps_per_epoch=len(train_loader)),
        train_loader=train_loader,
        prepare=experiment.get_prepare(training=True),
        evaluate=evaluate,
        config=TrainConfig.of(experiment),
        run=run,
        device=device,
        experiment=ExperimentRecord.of(experiment).plain(),
        options=_recorded_options(options, device),
        open_writers=partial(build_writers, options.logger, run, experiment=experiment.plain()),
        stop_signals=(*SIGNALS, options.stop_signal),
        check_owned=owner.check,
        after_epoch=None if cache is None else cache.report,
        draw=drawing_of(experiment) if experiment.pictures else None,
    )


def drawing_of(experiment: EventExp) -> Callable[[nn.Module], Mapping[str, Picture]]:
    """Return the function that draws a few samples in each evaluation.

    What it draws with takes half a second to import, so that waits for the first evaluation.
    """

    @cache
    def drawing() -> Callable[[nn.Module], Mapping[str, Picture]]:
        from easnn.analysis import evaluation_pictures

        return evaluation_pictures(experiment)

    return lambda model: drawing()(model)


def draw_run(experiment: EventExp, model: nn.Module, *, brief: bool = False) -> list[Path]:
    """Write pictures to the run directory: curves, samples of ``eval_split``, a clip.

    Args:
        experiment: the experiment.
        model: its network.
        brief: whether one sample and a clip of a few frames are enough.

    Raises:
        OutputError: if a file cannot be written.
    """
    from easnn.analysis import write_run_pictures

    write = partial(write_run_pictures, sheets=1, clip_us=BRIEF_US) if brief else write_run_pictures
    return write(
        run_directory_path(experiment),
        Predictor.of(experiment, model, confidence=CONFIDENCE),
        experiment.get_dataset([experiment.eval_split]),
    )


def occupy_memory(device: torch.device) -> None:
    """Let torch reserve 90 % of the free GPU memory, so that no other process takes it."""
    if device.type != "cuda":
        logger.info("-o has no effect on a CPU.")
        return
    free_bytes, _ = torch.cuda.mem_get_info(device)
    # The tensor is freed at once, but torch's allocator keeps the memory.
    torch.empty(int(0.9 * free_bytes), dtype=torch.uint8, device=device)


def _with_decided_resume(options: argparse.Namespace) -> argparse.Namespace:
    """Return the options with ``resume`` set if ``--auto-resume`` is given and finds a checkpoint.

    A process that ``torchrun`` has started again does the same without the option.

    Raises:
        ConfigError: if another option contradicts it.
    """
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0
    if not (options.auto_resume or restarted):
        return options
    if options.start_epoch is not None:
        raise ConfigError(
            "`-e` cannot be given with --auto-resume or restarts: each time the run would go back "
            f"to epoch {options.start_epoch}. Leave one of them out."
        )
    latest = RunDirectory(run_directory_path(named_experiment(options))).latest
    found = broadcast_object(latest.is_file())
    decided = {"resume": True, "ckpt": None} if found else {"resume": False}
    return argparse.Namespace(**{**vars(options), **decided})


def _checkpoint(options: argparse.Namespace) -> Checkpoint | None:
    if options.ckpt is not None:
        return Checkpoint(options.ckpt)
    if not options.resume:
        return None
    latest = RunDirectory(run_directory_path(named_experiment(options))).latest
    if not latest.is_file():
        raise ConfigError(
            f"There is no run to --resume: {latest} does not exist. Give the name of the run "
            "(-expn) or its checkpoint (-c)."
        )
    return Checkpoint(latest)


def _recorded_options(options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Return the options that a checkpoint records besides the keys.

    Sums on a CPU can be rounded differently with another number of threads.
    """
    threads = {"threads": torch.get_num_threads()} if device.type == "cpu" else {}
    return {
        "batch_size": options.batch_size,
        "processes": world_size(),
        "deterministic": options.deterministic,
        **threads,
    }


def _changes(
    options: argparse.Namespace,
    experiment: EventExp,
    checkpoint: Checkpoint | None,
    device: torch.device,
) -> list[Change]:
    """Return what differs from the checkpoint of a resumed run.

    Raises:
        CheckpointError: if something differs that must not.
    """
    if not options.resume or checkpoint is None:
        return []
    assert isinstance(checkpoint.record, ExperimentRecord), "`check_resumable` refuses others"
    changes = changes_of(
        checkpoint.contents, checkpoint.record, experiment, _recorded_options(options, device)
    )
    refuse_changes(changes, checkpoint.path)
    return changes


def continues_its_files(plan: Plan) -> bool:
    """Return whether the run goes on with the files that lie in its directory.

    From any other checkpoint than the last one, or from an earlier epoch, it would remove what they
    say about epochs that are finished.
    """
    options, checkpoint = plan.options, plan.checkpoint
    latest = RunDirectory(run_directory_path(plan.experiment)).latest
    if not options.resume or checkpoint is None or checkpoint.path.resolve() != latest.resolve():
        return False
    done = Position(checkpoint.contents["epoch"], checkpoint.contents["step"])
    return options.start_epoch is None or Position(options.start_epoch) >= done


def _check_options(options: argparse.Namespace, experiment: EventExp, device: torch.device) -> None:
    if options.batch_size < world_size():
        raise ConfigError(
            "`-b`, the samples per step over all processes, must be at least their number "
            f"({world_size()}), but is {options.batch_size}."
        )
    TrainConfig.of(experiment).check_device(device)
    check_writer(options.logger)
    if options.json is not None and not options.dry_run:
        raise ConfigError("`--json` is for the table of --dry-run. Leave it out.")
    if is_main():
        check_grid_search(options)
    if options.start_epoch is not None and not 0 <= options.start_epoch < experiment.max_epoch:
        raise ConfigError(
            f"`-e` must be at least 0 and below `max_epoch` ({experiment.max_epoch}), but is "
            f"{options.start_epoch}."
        )


def _note_frozen(model: nn.Module, plan: Plan) -> None:
    parameters = list(model.parameters())
    frozen = sum(p.numel() for p in parameters if not p.requires_grad)
    logger.info(
        "`freeze` {}: {} of {} parameters are not trained",
        ",".join(plan.experiment.freeze),
        frozen,
        sum(p.numel() for p in parameters),
    )
    if plan.checkpoint is None:
        logger.warning("What `freeze` names keeps its random weights. Give initial weights (-c).")


def _load_start_weights(model: nn.Module, checkpoint: Checkpoint) -> None:
    report = load_weights(
        model, checkpoint.contents["model"], strict=False, source=str(checkpoint.path)
    )
    if not is_main():
        return
    if report.complete:
        logger.info("All weights are initialized from {}:\n{}", checkpoint.path, report.table())
    else:
        logger.warning("Not all weights of {} fit this model:\n{}", checkpoint.path, report.table())
