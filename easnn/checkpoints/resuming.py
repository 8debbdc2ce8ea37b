"""What differs from the checkpoint when a run is resumed: refused, or listed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from easnn.config import TAKES_EFFECT, Key, OnResume, refused
from easnn.exp import EventExp, ExperimentRecord
from easnn.utils.errors import CheckpointError

OPTIONS = {
    "batch_size": "-b",
    "processes": "processes (-d)",
    "threads": "threads (OMP_NUM_THREADS)",
    "deterministic": "--deterministic",
}
"""Names of the recorded options in messages; all of them take effect."""

_GONE = refused("this experiment does not have it")


@dataclass(frozen=True)
class Change:
    """A setting that differs from the checkpoint.

    Attributes:
        name: name of the key, or an option.
        before: value in the checkpoint, as text.
        now: value of the resumed run, as text.
        on_resume: what the change does.
        scores: whether an AP can only be compared with those of the same value.
    """

    name: str
    before: str
    now: str
    on_resume: OnResume
    scores: bool = False


def changes_of(
    contents: Mapping[str, Any],
    record: ExperimentRecord,
    experiment: EventExp,
    options: Mapping[str, Any],
) -> list[Change]:
    """Return every setting of a resumed run that differs from its checkpoint.

    A key that the checkpoint lacks, because a later version added it, had its default.

    Args:
        contents: entries of the checkpoint.
        record: its experiment.
        experiment: the experiment of the resumed run, complete.
        options: what else was given, see :data:`OPTIONS`.
    """
    declared = experiment.declarations()
    changes = [
        Change(name, str(value), "not there", _GONE)
        for name, value in record.keys.items()
        if name not in declared
    ]
    for name, key in declared.items():
        before = record.keys.get(name, key.kind.plain(key.default))
        now = key.kind.plain(getattr(experiment, name))
        if before != now:
            changes.append(
                Change(name, _text(key, before), _text(key, now), key.on_resume, key.scores)
            )
    now_record = ExperimentRecord.of(experiment)
    if None not in (digests := (record.digest, now_record.digest)) and len({*digests}) > 1:
        file = str(now_record.file)
        before = "with other text" if record.file == file else str(record.file)
        changes.append(Change("experiment file", before, file, TAKES_EFFECT))
    saved = contents.get("options", {})
    changes += [
        Change(title, str(saved[name]), str(options[name]), TAKES_EFFECT)
        for name, title in OPTIONS.items()
        if saved.get(name, options[name]) != options[name]
    ]
    return changes


def refuse_changes(changes: Sequence[Change], source: Path) -> None:
    """Raise an error if something has changed that must not.

    Args:
        changes: from :func:`changes_of`.
        source: the checkpoint, for messages.

    Raises:
        CheckpointError: naming each change and its reason.
    """
    wrong = [change for change in changes if change.on_resume.reason]
    if wrong:
        sentences = " ".join(
            f"`{change.name}` must stay {change.before} when {source} is resumed, because "
            f"{change.on_resume.reason}, but is {change.now}."
            for change in wrong
        )
        raise CheckpointError(
            f"{sentences} Set it as it was, or start a new run from these weights (-c without "
            "--resume)."
        )


def changes_table(changes: Sequence[Change]) -> str:
    """Return the changes as a table."""
    rows = [(c.name, c.before, c.now, c.on_resume.effect) for c in changes]
    headers = ("setting", "checkpoint", "here", "effect")
    return tabulate(rows, headers, disable_numparse=True)


def _text(key: Key, plain: object) -> str:
    try:
        return key.kind.text(key.kind.convert(plain))
    except ValueError:  # a value that this version does not accept any more
        return str(plain)
