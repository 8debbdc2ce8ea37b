"""A dry run: one step of everything that a training does, in a folder that is removed."""

from __future__ import annotations

import argparse
import math
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from loguru import logger
from tabulate import tabulate
from torch import nn

from easnn.cli.arguments import check_result_file
from easnn.cli.tasks.experiment import run_directory_path
from easnn.cli.tasks.train import (
    Plan,
    build_model,
    build_trainer,
    continues_its_files,
    draw_run,
    note_changes,
    note_guarantee,
    occupy_memory,
    open_cache,
    plan_training,
    set_start,
)
from easnn.data import DetectionBatch
from easnn.engine import SIGNALS, RunDirectory, RunOwner, StopSignals, Trainer
from easnn.engine.step import TOTAL
from easnn.exp import EventExp
from easnn.utils.determinism import deterministic_algorithms
from easnn.utils.device import peak_memory_mb, synchronize, training_device
from easnn.utils.distributed import barrier, broadcast_object, gather_objects, is_main, world_size
from easnn.utils.errors import OutputError, TrainingError, lacks_memory, what_was_refused
from easnn.utils.files import ABANDONED_S, make_directory, write_json
from easnn.utils.logging import setup_logging
from easnn.utils.meters import format_duration

PREFIX = ".dry-run-"
"""Beginning of the name of the temporary folder, which is in ``output_dir``."""

FINISHED = "nothing is left to train"
"""Result of a part of the dry run of a run that is finished."""

DETERMINISTIC = "deterministic"
"""Name of the part that measures the cost of ``--deterministic``."""

EVAL_FRAMES = 8
"""Frames that are evaluated, or one for each process if there are more processes."""


@dataclass
class Part:
    """A part of a dry run, a row of its table.

    Attributes:
        name: what is done.
        seconds: how long it took.
        result: what came out, as text.
        works: whether it ended without an error.
    """

    name: str
    seconds: float = 0.0
    result: str = ""
    works: bool = False


@dataclass
class DryRun:
    """What a dry run found.

    Attributes:
        parts: what was done, in order.
        error: why the run would not work; None if it would.
        steps_per_epoch: steps of an epoch.
        step_s: seconds of the last step, without loading its batch.
        batch_s: seconds until its batch was there, with the start of the data workers.
        workers: data workers of a process.
        eval_frames: frames of the evaluation split.
        eval_frame_s: seconds for each frame in the evaluation of the first few.
        deterministic_ratio: how many times as long a step takes with ``--deterministic``, if given.
        peak_memory_mb: most memory of a process in MiB, of the GPU if there is one.
    """

    parts: list[Part] = field(default_factory=list)
    error: str | None = None
    steps_per_epoch: int | None = None
    step_s: float | None = None
    batch_s: float | None = None
    workers: int | None = None
    eval_frames: int | None = None
    eval_frame_s: float | None = None
    deterministic_ratio: float | None = None
    peak_memory_mb: float | None = None

    @property
    def epoch_s(self) -> float | None:
        """Rough number of seconds of an epoch, without its evaluation; None if unknown.

        Data workers load batches while the network computes; without workers, it waits for them.
        """
        if self.steps_per_epoch is None or self.step_s is None or self.batch_s is None:
            return None
        if self.workers:
            return self.steps_per_epoch * max(self.step_s, self.batch_s / self.workers)
        return self.steps_per_epoch * (self.step_s + self.batch_s)

    @property
    def evaluation_s(self) -> float | None:
        """Rough number of seconds of an evaluation; None if unknown."""
        if self.eval_frames is None or self.eval_frame_s is None:
            return None
        return self.eval_frames * self.eval_frame_s

    @contextmanager
    def part(self, name: str) -> Iterator[Part]:
        """Time the block, as a part of the dry run; lack of memory becomes a plain error.

        Raises:
            TrainingError: if the memory does not suffice.
        """
        part = Part(name, result="failed")
        self.parts.append(part)
        start = time.perf_counter()
        try:
            yield part
            synchronize(training_device())
            part.works = True
        except (MemoryError, RuntimeError) as error:
            if not lacks_memory(error):
                raise
            raise TrainingError(
                f"The memory does not suffice ({name}){what_was_refused(error)}. "
                "Use a smaller batch (-b), --fp16, more processes (-d) or "
                "`activation_checkpointing True`."
            ) from error
        finally:
            part.seconds = time.perf_counter() - start

    def table(self) -> str:
        """Return all as text for a terminal."""
        rows = [(part.name, f"{part.seconds:.2f}", part.result) for part in self.parts]
        texts = [
            tabulate(
                rows,
                ("part", "seconds", "result"),
                disable_numparse=True,
                colalign=("left", "right", "left"),
            )
        ]
        if self.epoch_s is not None:
            texts.append(
                f"Rough estimate, from one step: an epoch of {self.steps_per_epoch} steps takes "
                f"{format_duration(self.epoch_s)}."
            )
        if self.evaluation_s is not None:
            texts.append(
                f"Rough estimate, from the first frames: an evaluation of {self.eval_frames} "
                f"frames takes {format_duration(self.evaluation_s)}."
            )
        if self.peak_memory_mb is not None:
            texts.append(f"Peak memory of a process: {self.peak_memory_mb:.0f} MiB.")
        texts.append(f"The run would {'work' if self.works else 'not work'}.")
        return "\n".join([texts[0], "", *texts[1:]])

    @property
    def works(self) -> bool:
        """Whether the run would work."""
        return self.error is None and all(part.works for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """Return all as plain values, for JSON."""
        return {
            "works": self.works,
            **asdict(self),
            "epoch_s": self.epoch_s,
            "evaluation_s": self.evaluation_s,
        }


def dry_run(options: argparse.Namespace) -> None:
    """Do one step of everything as one process of the command, and print a table.

    Raises:
        EasnnError: what the run would fail with.
        SystemExit: with 128 and the number of the signal that stopped it.
    """
    setup_logging()
    check_result_file(options.json, "--json")
    report = DryRun()
    try:
        with (
            StopSignals((*SIGNALS, options.stop_signal)) as signals,
            deterministic_algorithms(options.deterministic),
        ):
            _rehearse(options, report, signals)
    except Exception as error:
        report.error = str(error) or type(error).__name__
        _show(report, options)
        raise
    _show(report, options)


def _show(report: DryRun, options: argparse.Namespace) -> None:
    """Print the table and write it as JSON, if requested by the options."""
    if is_main():
        print(report.table())
        if options.json is not None:
            write_json(options.json, report.to_dict())


def _rehearse(options: argparse.Namespace, report: DryRun, signals: StopSignals) -> None:
    """Do all parts. A signal ends them at once, but not the removal of the folder."""
    with signals.immediate():
        with report.part("settings") as part:
            plan = plan_training(options)
            part.result = _settings(plan)
        with report.part("run directory") as part:
            part.result = _run_directory(plan)
        if options.occupy:
            occupy_memory(plan.device)
        note_guarantee(plan)
        note_changes(plan)
    with (
        _temporary_folder(Path(plan.experiment.output_dir)) as folder,
        RunOwner(folder / "run") as owner,
        signals.immediate(),
    ):
        setup_logging(owner.start(resume=False).log)
        _write_to(folder, plan)
        if is_main():
            logger.info("One step of everything, in {}, which is removed in the end.", folder)
        with report.part("data") as part:
            part.result = _datasets(plan.experiment, report)
        latest = _begin(plan, report, owner)
        _go_on(plan, latest, report, owner, folder)
        report.peak_memory_mb = max(gather_objects(peak_memory_mb(plan.device)))
        barrier("the end of the dry run")


def _begin(plan: Plan, report: DryRun, owner: RunOwner) -> Path:
    """Do a step from where the run would start, save, and return the checkpoint."""
    with open_cache(plan) as cache:
        with report.part("network") as part:
            model = build_model(plan)
            trainer = _trainer(plan, model, report, owner, cache)
            part.result = _start(plan, model)
        with trainer.recording():
            _do_step(trainer, report, "first")
            with report.part("checkpoint") as part:
                latest = trainer.save()
                part.result = f"{latest.stat().st_size / 2**20:.1f} MiB" if is_main() else ""
    return latest


def _go_on(plan: Plan, latest: Path, report: DryRun, owner: RunOwner, folder: Path) -> None:
    """Resume from the checkpoint, with a network of its own; do a step, evaluate and draw."""
    with ExitStack() as opened:
        with report.part("resume") as part:
            asked = {"ckpt": latest, "resume": True, "auto_resume": False, "start_epoch": None}
            resumed = plan_training(argparse.Namespace(**{**vars(plan.options), **asked}))
            _write_to(folder, resumed)
            model = build_model(resumed)
            cache = opened.enter_context(open_cache(resumed))
            trainer = _trainer(resumed, model, report, owner, cache)
            epoch, step = trainer.position
            finished = epoch >= resumed.experiment.max_epoch
            part.result = FINISHED if finished else f"epoch {epoch + 1}, step {step}"
        opened.enter_context(trainer.recording())
        batch = _do_step(trainer, report, "second")
        if resumed.options.deterministic and batch is not None:
            with report.part(DETERMINISTIC) as part:
                report.deterministic_ratio = _time_ratio(trainer, batch)
                part.result = f"a step takes {report.deterministic_ratio:.2f} times as long"
        with report.part("evaluation") as part:
            given = trainer.evaluate().given
            part.result = f"{given.frames} of {report.eval_frames} frames"
        report.eval_frame_s = part.seconds / max(1, given.frames)
        if resumed.experiment.pictures:
            with report.part("pictures") as part:
                drawn = len(trainer.draw())
                if is_main():
                    drawn += len(draw_run(resumed.experiment, trainer.evaluated_model, brief=True))
                part.result = f"{drawn} pictures"


def _do_step(trainer: Trainer, report: DryRun, which: str) -> DetectionBatch | None:
    """Load a batch and do a step with it; return the batch, None if there is none."""
    with report.part(f"{which} batch") as loading:
        batch = trainer.next_batch()
        if batch is None:
            loading.result = FINISHED
            return None
        loading.result = f"{len(batch)} samples"
    with report.part(f"{which} step") as part:
        losses = trainer.train_on(batch).losses
        part.result = f"{TOTAL} {losses[TOTAL]:.4g}"
    report.batch_s, report.step_s = loading.seconds, part.seconds
    return batch


def _time_ratio(trainer: Trainer, batch: DetectionBatch) -> float:
    """Return how many times as long steps take with ``--deterministic``, in turn with others."""
    seconds: dict[bool, list[float]] = {True: [], False: []}
    for deterministic in (True, False, False, True, True, False):
        with deterministic_algorithms(deterministic):
            start = time.perf_counter()
            trainer.train_on(batch)
            synchronize(training_device())
            seconds[deterministic].append(time.perf_counter() - start)
    return median(seconds[True]) / median(seconds[False])


def _trainer(plan: Plan, model: nn.Module, report: DryRun, owner: RunOwner, cache: Any) -> Trainer:
    # What Weights & Biases received could not be taken back.
    options = argparse.Namespace(**vars(plan.options))
    options.logger = None if options.logger == "wandb" else options.logger
    trainer = build_trainer(
        plan.experiment,
        model,
        options,
        plan.device,
        owner,
        cache,
        eval_frames=max(EVAL_FRAMES, world_size()),
    )
    set_start(trainer, plan)
    report.steps_per_epoch = trainer.steps_per_epoch
    report.workers = plan.experiment.data_num_workers
    return trainer


def _write_to(folder: Path, plan: Plan) -> None:
    """Let a planned training write to ``folder / "run"`` instead of to its run directory."""
    plan.experiment.output_dir, plan.experiment.exp_name = str(folder), "run"


def _settings(plan: Plan) -> str:
    return (
        f"-b {plan.options.batch_size}, {world_size()} process{'es'[: 2 * (world_size() > 1)]} on "
        f"{plan.device.type}, precision {plan.experiment.precision}, seed {plan.experiment.seed}"
    )


def _run_directory(plan: Plan) -> str:
    """Check the run directory without touching it, and say what the run would do there.

    Raises:
        OutputError: if another training owns it, if it holds something else, or is not writable.
    """
    path = run_directory_path(plan.experiment)
    RunOwner(path).check_free()
    run = RunDirectory(path)
    if continues_its_files(plan):
        return f"{path} would be continued"
    target, files = run.next_aside()
    if files:
        return f"{files} files of an earlier run would be moved to {target}"
    return f"{path} {'would be used' if path.is_dir() else 'would be created'}"


def _datasets(experiment: EventExp, report: DryRun) -> str:
    train = experiment.get_train_dataset()
    evaluated = experiment.get_dataset([experiment.eval_split])
    report.eval_frames = len(evaluated)
    return (
        f"{'+'.join(experiment.train_splits)}: {len(train)} frames; {experiment.eval_split}: "
        f"{len(evaluated)} frames"
    )


def _start(plan: Plan, model: nn.Module) -> str:
    size = f"{sum(p.numel() for p in model.parameters()) / 1e6:.2f} M parameters"
    if plan.checkpoint is None:
        return f"{size}, new weights"
    return f"{size}, {'resumed' if plan.options.resume else 'weights'} from {plan.checkpoint.path}"


@contextmanager
def _temporary_folder(output_dir: Path) -> Iterator[Path]:
    """Make a folder in ``output_dir`` for the block; every process enters it.

    What killed dry runs left there is removed, and in the end also ``output_dir`` if it is new.

    Raises:
        OutputError: if it cannot be written to.
    """
    new_folders: list[Path] = []
    name = ""
    if is_main():
        new_folders = [f for f in (output_dir, *output_dir.parents) if not f.exists()]
        make_directory(output_dir)
        _remove_abandoned(output_dir)
        try:
            name = tempfile.mkdtemp(prefix=PREFIX, dir=output_dir)
        except OSError as error:
            raise OutputError(
                f"Cannot write to directory {output_dir}: {error.strerror}. Choose another "
                "directory or free some space."
            ) from error
    folder = Path(broadcast_object(name))
    try:
        yield folder
    finally:
        if is_main():
            shutil.rmtree(folder, ignore_errors=True)
            if folder.exists():
                logger.warning("{} could not be removed. Remove it.", folder)
            with suppress(OSError):  # something else lies in it by now
                for new in new_folders:
                    new.rmdir()


def _remove_abandoned(output_dir: Path) -> None:
    """Remove folders of dry runs that have not changed for so long that nobody uses them."""
    for folder in output_dir.glob(f"{PREFIX}*"):
        files = [folder, *folder.rglob("*")]
        ages = [_age_s(path) for path in files]
        if min(ages) > ABANDONED_S:
            shutil.rmtree(folder, ignore_errors=True)


def _age_s(path: Path) -> float:
    """Return the seconds since a change; infinity if the path has gone."""
    try:
        return time.time() - path.stat().st_mtime
    except FileNotFoundError:
        return math.inf
