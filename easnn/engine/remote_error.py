"""Passing the error of a failed process to the process that launched it."""

from __future__ import annotations

import json
import os
import signal
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import NoReturn

from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

from easnn.engine.watch import SignOfLife
from easnn.utils import errors
from easnn.utils.errors import EasnnError, said_plainly


class WorkerError(Exception):
    """A process of a run failed because of a bug; the message contains its traceback."""


@contextmanager
def reported(folder: Path) -> Iterator[None]:
    """Write an exception of the block to ``folder`` and exit without printing a traceback."""
    try:
        yield
    except SystemExit as stop:
        if stop.code:
            _report(folder, {"exit_code": stop.code})
        raise
    except EasnnError as error:
        _report(folder, {"kind": type(error).__name__, "message": str(error)})
        raise SystemExit(1) from None
    except Exception as error:
        plain = said_plainly(error)
        if plain is not None:
            _report(folder, {"kind": type(plain).__name__, "message": str(plain)})
        else:  # a bug: the launching process shows the traceback
            _report(folder, {"traceback": traceback.format_exc()})
        raise SystemExit(1) from None


def raise_first_failure(folder: Path, failed: ChildFailedError) -> NoReturn:
    """Raise the error of the process that failed first, the usual cause of all later failures.

    Args:
        folder: where :func:`reported` wrote.
        failed: the launcher's report.

    Raises:
        EasnnError: with the class and the message of the original error.
        WorkerError: with the traceback of any other exception.
        LostProcessError: if the process was killed.
        SystemExit: if the process exited after a signal.
    """
    reports = sorted(
        (json.loads(file.read_text("utf-8")) for file in folder.glob("*.json")),
        key=lambda r: r["time_ns"],
    )
    # A killed process cannot write a report, but the processes that wait for it can.
    if not reports or _was_killed(failed):
        raise _killed(folder, failed) from None
    first = reports[0]
    if "exit_code" in first:
        raise SystemExit(first["exit_code"]) from None
    if "kind" in first:
        raise getattr(errors, first["kind"])(first["message"]) from None
    raise WorkerError(f"Process {first['rank']} failed:\n{first['traceback']}") from None


def report_and_exit(folder: Path, message: str) -> None:
    """Report that the run failed, and end this process at once, whatever its main thread does."""
    _report(folder, {"kind": errors.LostProcessError.__name__, "message": message})
    os._exit(1)


def note_sign(folder: Path, sign: SignOfLife) -> None:
    """Keep the last sign of life of this process for the process that launched it."""
    with suppress(OSError):  # a full disk must not end the watch: the messages are less exact
        unfinished = folder / f"{sign.rank}.sign-unfinished"
        unfinished.write_text(json.dumps(asdict(sign)), encoding="utf-8")
        unfinished.rename(folder / f"{sign.rank}.sign")


def _report(folder: Path, failure: dict[str, object]) -> None:
    rank = os.environ["RANK"]
    unfinished = folder / f"{rank}.unfinished"  # the launcher may end this process while it writes
    unfinished.write_text(
        json.dumps({"time_ns": time.time_ns(), "rank": rank, **failure}), encoding="utf-8"
    )
    unfinished.rename(folder / f"{rank}.json")


def _was_killed(failed: ChildFailedError) -> bool:
    by_launcher = -signal.SIGTERM  # the launcher terminates the other processes
    return any(
        failure.exitcode < 0 and failure.exitcode != by_launcher
        for failure in failed.failures.values()
    )


def _killed(folder: Path, failed: ChildFailedError) -> EasnnError:
    rank, failure = failed.get_first_failure()
    killed = failure.exitcode < 0
    how = signal.Signals(-failure.exitcode).name if killed else f"exit code {failure.exitcode}"
    hint = {
        "SIGKILL": "Usually the machine ran out of memory: use fewer `data_num_workers` or a "
        "smaller batch (-b).",
        "SIGABRT": "A collective operation may have timed out: see its output above.",
    }.get(how, "See its output above.")
    try:
        sign = SignOfLife(**json.loads((folder / f"{rank}.sign").read_text("utf-8")))
        who = f"{sign.process} was killed ({how}), last seen in {sign.place}."
    except FileNotFoundError:  # it had not even begun
        who = f"Process {rank} was killed ({how})."
    return errors.LostProcessError(f"{who} {hint}")
