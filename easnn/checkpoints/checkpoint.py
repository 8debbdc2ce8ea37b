"""Reading a checkpoint and restoring its experiment."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from loguru import logger

from easnn.checkpoints.format import check_run, is_own, load_checkpoint, own_checkpoint
from easnn.checkpoints.weights import load_weights
from easnn.exp import NETWORK_KEYS, EventExp, ExperimentRecord, get_exp
from easnn.models import EventDetector
from easnn.published import PublishedCheckpoint, PublishedRecord
from easnn.utils.distributed import is_main
from easnn.utils.errors import CheckpointError, DamagedCheckpointError, DataError
from easnn.utils.files import file_stamp
from easnn.utils.tensor_file import read_tensor_file


class Checkpoint:
    """A checkpoint file of this framework or of the published code.

    Args:
        path: the file.

    Attributes:
        path: the file.
        contents: its entries; of a published checkpoint ``model`` (with the parameter names of this
            framework), ``epoch`` and ``best_ap``.
        record: the experiment; of a published checkpoint the part that its weights determine.

    Raises:
        CheckpointError: if the file cannot be read, has no experiment or is not a checkpoint, or if
            its weights are not finite.
    """

    contents: dict[str, Any]
    record: ExperimentRecord | PublishedRecord

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stamp = file_stamp(path)
        try:
            contents = read_tensor_file(path)
        except DamagedCheckpointError as error:
            raise DamagedCheckpointError(f"{error}{_newest_beside(path)}") from error
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

    def experiment(self) -> EventExp:
        """Return the experiment of the checkpoint, without running code named in the checkpoint.

        Raises:
            CheckpointError: if it needs an experiment file or another version of this framework, or
                if it is a published checkpoint, which does not contain its experiment.
        """
        return self.record.experiment(self.path)

    def class_names(self, experiment: EventExp) -> tuple[str, ...]:
        """Return the class names of the training data, or those of ``experiment`` if unknown.

        A checkpoint can be used where its dataset is missing or damaged.
        """
        recorded = self.record.class_names if isinstance(self.record, ExperimentRecord) else None
        if recorded is not None:
            return tuple(recorded)
        try:
            return experiment.class_names()
        except DataError as error:
            logger.warning("The classes have no names: {}", error)
            return ()

    def build_model(self, experiment: EventExp, device: torch.device) -> EventDetector:
        """Build the network of ``experiment`` on ``device`` and load the weights.

        Raises:
            CheckpointError: if the weights do not fit.
        """
        model = experiment.get_model().to(device)
        load_weights(model, self.contents["model"], strict=True, source=str(self.path))
        return model

    def check_resumable(self) -> None:
        """Check that the checkpoint contains what resuming a run needs.

        Raises:
            CheckpointError: if it is a published checkpoint, or was converted from one, or if its
                position or another entry cannot be that of a run.
        """
        if self.contents.get("optimizer") is None:
            raise CheckpointError(
                f"{self.path} cannot be resumed: it comes from the published code, whose optimizer "
                "state has another order. Leave out --resume to start a new run from its weights."
            )
        check_run(self.contents, self.path)

    def check_unchanged(self) -> None:
        """Check that the file is still the one that was read.

        Raises:
            CheckpointError: if a training has replaced it.
        """
        if file_stamp(self.path) != self._stamp:
            raise CheckpointError(
                f"{self.path} was replaced while it was read, by a training that has ended since. "
                "Run the command again."
            )


def _newest_beside(damaged: Path) -> str:
    """Return a sentence about the newest checkpoint in the folder that is whole; "" if none is."""
    found = []
    for path in sorted(damaged.parent.glob("*_ckpt.pth")):
        with suppress(CheckpointError):  # damaged, as well
            contents = load_checkpoint(path)
            if isinstance(contents["epoch"], int) and isinstance(contents["step"], int):
                found.append((contents["epoch"], contents["step"], path.name))
    if not found:
        return ""
    epoch, step, name = max(found)
    return (
        f" The newest whole checkpoint beside it is {name}, after {epoch} epochs and {step} steps; "
        "give it with -c."
    )


def experiment_for(
    checkpoint: Checkpoint,
    *,
    exp_name: str | None = None,
    exp_file: str | Path | None = None,
    words: Sequence[str] = (),
    same_network: bool = True,
    compare: bool = True,
) -> EventExp:
    """Return the experiment to use with a checkpoint, and log how it differs from the saved one.

    Keys in ``words`` take precedence. The others come from the experiment selected by a name or a
    file, or from the checkpoint if none is selected. A selected experiment takes its network keys
    from the checkpoint if ``same_network`` is set, and its seed if it has none. For published
    checkpoints, see :class:`PublishedRecord`.

    Args:
        checkpoint: the checkpoint.
        exp_name: name of an experiment, as for :func:`~easnn.exp.get_exp`.
        exp_file: file of an experiment, instead of a name.
        words: ``key value key value …``.
        same_network: whether the weights must fit; if not, they only initialise another network.
        compare: whether to log the differences.

    Raises:
        ConfigError: if a key is invalid.
        CheckpointError: if the experiment of the checkpoint does not fit this version, or that of a
            published checkpoint is unknown or contradicts its weights.
    """
    record, source = checkpoint.record, checkpoint.path
    unnamed = exp_name is None and exp_file is None
    if isinstance(record, PublishedRecord):
        experiment = EventExp() if unnamed else get_exp(exp_file, exp_name)
        experiment.merge(words)
        if unnamed or same_network:
            keys = record.complete(experiment, source)
            if is_main():
                logger.info("Keys not given for {}:\n{}", source, keys)
        return experiment
    if unnamed:
        experiment = record.experiment(source)
    else:
        experiment = get_exp(exp_file, exp_name)
        if same_network:
            record.give(experiment, NETWORK_KEYS, source)
        if experiment.seed is None:
            record.give(experiment, ["seed"], source)
    experiment.merge(words)
    differences = record.differences(experiment) if compare else ""
    if differences and is_main():
        logger.warning("Keys that differ from those of {}:\n{}", source, differences)
    return experiment
