"""A training that is killed and resumed until it is complete."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from easnn.checkpoints import load_checkpoint
from easnn.engine import RunDirectory
from easnn.soak import small_run
from easnn.soak.differences import differences
from easnn.soak.plan import Kill
from easnn.soak.report import KillRecord, RunRecord
from easnn.soak.sight import Sight, Watch
from easnn.soak.training import Training, Trainings
from easnn.utils.errors import CheckpointError, EasnnError
from easnn.utils.locks import is_held

LIMIT_S = 300.0
"""A training that takes longer to start, to end or to reach the moment of its kill hangs."""

_LOOK_EVERY_S = 0.001
_NOT_YET = ("start-up", "resuming")
"""Phases in which a signal may come before there is something new to save."""


class ProblemError(EasnnError):
    """Something was lost, or a training did not go on."""


@dataclass
class Durations:
    """How long the phases last that were seen, in seconds, to draw moments within them."""

    of: dict[tuple[str, bool], float]

    def saw(self, phase: str, forked: bool, seconds: float) -> None:
        """Record a phase that was seen from its beginning to its end."""
        self.of[phase, forked] = seconds

    def expected(self, phase: str, forked: bool) -> float:
        """Return how long a phase may last; a guess before it was seen."""
        return self.of.get((phase, forked), 0.1)


class KilledRun:
    """A training that is killed and resumed until it is complete.

    Args:
        trainings: starts the training.
        dataset: its dataset.
        path: its run directory; nothing is there.
        output: the file to which its output is appended.
        processes: number of processes that train.
        durations: of the phases, known from other runs; updated.
    """

    def __init__(
        self,
        trainings: Trainings,
        *,
        dataset: Path,
        path: Path,
        output: Path,
        processes: int,
        durations: Durations,
    ) -> None:
        self._trainings = trainings
        self._run = RunDirectory(path)
        self._output = output
        self._processes = processes
        self._words = small_run.words(dataset, path, processes=processes)
        self._durations = durations
        self._started: list[Training] = []
        self._saved = 0
        self.record = RunRecord(processes)

    def complete(self, kills: Sequence[Kill] = (), reference: Path | None = None) -> RunRecord:
        """Train to the end, with some kills, and compare the result.

        Args:
            kills: the kills, in their order; those that the training does not live to see are left
                out.
            reference: directory of a run without kills; None for that run itself.
        """
        begin = time.monotonic()
        try:
            if not any(self._start_and_kill(kill) for kill in kills):
                self._finish()
            self._check_nobody_left()
        except ProblemError as problem:
            self.record.problems.append(str(problem))
            if self.record.kills:
                self.record.kills[-1].resumed = False
        finally:
            for training in self._started:
                training.kill()
        if reference is not None and not self.record.problems:
            self.record.problems += differences(reference, self._run.path)
        for made in self.record.kills:
            made.lost = bool(self.record.problems)
        self.record.seconds = time.monotonic() - begin
        return self.record

    def keep(self, target: Path) -> None:
        """Move the run and its output to a folder."""
        target.mkdir(parents=True)
        for path in (self._run.path, self._output):
            if path.exists():
                shutil.move(path, target / path.name)
        self.record.kept = str(target)

    def remove(self) -> None:
        """Remove the run and its output."""
        shutil.rmtree(self._run.path, ignore_errors=True)
        self._output.unlink(missing_ok=True)

    def _start(self, *options: str, auto: bool = True, forked: bool) -> Training:
        resume = ["--resume"] if self._run.latest.is_file() else []
        words = [*self._words, *(["--auto-resume"] if auto else resume), *options]
        training = self._trainings.start(words, self._output, forked=forked)
        self._started.append(training)
        return training

    def _finish(self) -> None:
        """Start the training and let it end."""
        training = self._start(forked=bool(self.record.kills))
        code = training.wait(LIMIT_S)
        if code != 0:
            raise self._ended_wrongly(code, "instead of going on")

    def _start_and_kill(self, kill: Kill) -> bool:
        """Start the training and kill it; return whether it is complete.

        Raises:
            ProblemError: if it fails, hangs, or loses more than it may.
        """
        begin = time.monotonic()
        watch = Watch(self._run, steps_per_epoch=small_run.STEPS_PER_EPOCH)
        # Importing is a part of the start only if it is not forked.
        forked = kill.kind.phase != "start-up"
        options = ("--max-restarts", "1") if kill.restarts else ()
        training = self._start(*options, auto=kill.auto, forked=forked)
        before = self._kill_at_moment(training, watch, kill)
        code = training.wait(LIMIT_S)
        if before is None:
            if code != 0:
                raise self._ended_wrongly(code, "instead of going on")
            return True
        self._wait_for_lock()
        after = watch.sight()
        at_once = kill.kind.victim == "all"  # so the files do not change after the signal
        made = KillRecord(
            processes=self._processes,
            kill=kill,
            phase=after.phase if at_once else before.phase,
            iteration=after.iteration,
            saved=self._saved_iteration(),
            exit_code=code,
            forked=training.forked,
            seconds=time.monotonic() - begin,
        )
        self.record.kills.append(made)
        if code not in (0, *kill.kind.exit_codes):
            raise self._ended_wrongly(code, f"after {kill.kind.title} ({made.phase})")
        self._check_saved(made)
        return code == 0

    def _kill_at_moment(self, training: Training, watch: Watch, kill: Kill) -> Sight | None:
        """Wait for the moment of a kill and kill; return what the training did just before.

        Returns None if the training ended before.

        Raises:
            ProblemError: if it hangs.
        """
        kind, entered = kill.kind, 0
        phase, since = None, time.monotonic()
        end = since + LIMIT_S
        while training.exit_code is None:
            now = time.monotonic()
            sight = watch.sight()
            if sight.phase != phase:
                if phase is not None:
                    self._durations.saw(phase, training.forked, now - since)
                phase, since = sight.phase, now
                entered += phase == kind.phase
            if phase == kind.phase and entered > kill.after_times:
                time.sleep(kill.share * self._durations.expected(phase, training.forked))
                sight = watch.sight()
                if training.send(
                    kind.number, kind.victim, processes=self._processes, choice=kill.choice
                ):
                    return sight
            if now > end:
                raise ProblemError(f"did not come to {kind.phase} within {LIMIT_S:.0f} s")
            time.sleep(_LOOK_EVERY_S)
        return None

    def _wait_for_lock(self) -> None:
        """Wait until no process of the training trains any more.

        Processes whose launcher was killed save their state before they end.

        Raises:
            ProblemError: if that takes too long.
        """
        end = time.monotonic() + LIMIT_S
        while self._run.lock.exists() and is_held(self._run.lock):
            if time.monotonic() > end:
                raise ProblemError(f"still trained {LIMIT_S:.0f} s after it was killed")
            time.sleep(0.01)

    def _saved_iteration(self) -> int | None:
        if not self._run.latest.exists():
            return 0
        try:
            saved = load_checkpoint(self._run.latest)
        except CheckpointError:
            return None
        return int(saved["epoch"]) * small_run.STEPS_PER_EPOCH + int(saved["step"])

    def _check_saved(self, made: KillRecord) -> None:
        """Check that no more was lost than the steps since the last checkpoint.

        Raises:
            ProblemError: if more was lost.
        """
        if made.saved is None:
            raise ProblemError(f"{self._run.latest.name} is damaged")
        if made.saved < self._saved:
            raise ProblemError(f"went back from iteration {self._saved} to {made.saved}")
        self._saved = made.saved
        asked = made.kill.kind.number != signal.SIGKILL and made.phase not in _NOT_YET
        allowed = 0 if asked else small_run.SAVED_EVERY
        if made.iteration - made.saved > allowed:
            raise ProblemError(
                f"lost {made.iteration - made.saved} steps by {made.kill.kind.title} "
                f"({made.phase}), not {allowed} at most"
            )

    def _check_nobody_left(self) -> None:
        """Check that every process of every start has ended.

        Raises:
            ProblemError: if one has not.
        """
        end = time.monotonic() + LIMIT_S
        while left := [pid for training in self._started for pid in training.living()]:
            if time.monotonic() > end:
                raise ProblemError(f"left {len(left)} processes behind")
            time.sleep(0.05)

    def _ended_wrongly(self, code: int | None, when: str) -> ProblemError:
        if code is None:
            return ProblemError(f"did not end within {LIMIT_S:.0f} s {when}")
        lines = self._output.read_text(encoding="utf-8", errors="replace").splitlines()
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
        return ProblemError(f"ended with exit code {code} {when}: {last}")
