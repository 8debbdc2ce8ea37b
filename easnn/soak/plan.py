"""What is killed, how, and when: drawn from a seed."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Phase = Literal["start-up", "resuming", "step", "saving", "evaluating"]
"""What a training does, as its run directory shows.

``start-up``: it has not locked its directory yet. ``resuming``: it has, but neither a step nor an
evaluation is done since. ``saving``: a checkpoint is being written. ``evaluating``: the state after
an epoch is saved, and its evaluation is not done. ``step``: everything else.
"""

Victim = Literal["all", "main", "rank", "worker"]
"""Who gets the signal: all processes of the training, the one that was started (with several
processes, it launches the others), one of the processes that train, or one that loads data."""


@dataclass(frozen=True)
class Kind:
    """A kind of kill.

    Attributes:
        victim: who gets the signal.
        phase: in which phase of the training.
        number: the signal.
    """

    victim: Victim
    phase: Phase
    number: signal.Signals = signal.SIGKILL

    @property
    def title(self) -> str:
        """The victim and the signal, for the table."""
        name = {"all": "all processes", "main": "main process", "rank": "a rank"}
        victim = name.get(self.victim, "a loader worker")
        return f"{victim}, {self.number.name}"

    @property
    def exit_codes(self) -> tuple[int, ...]:
        """What the process that was started may return; −N if signal N ended it.

        It may also end well, if it was about to, or does not need the victim any more.
        """
        if self.victim in ("rank", "worker"):
            return (1,)
        if self.number == signal.SIGKILL:
            return (-self.number,)
        return (128 + self.number, -self.number)


_ANY_TIME: tuple[Phase, ...] = ("start-up", "resuming", "step", "saving", "evaluating")
_AT_WORK = _ANY_TIME[2:]

_ONE = (
    *(Kind("all", phase) for phase in _ANY_TIME),
    *(Kind("main", phase) for phase in _AT_WORK),
    *(Kind("worker", phase) for phase in ("step", "evaluating")),
    *(Kind("main", phase, signal.SIGTERM) for phase in _ANY_TIME),
    *(Kind("main", phase, signal.SIGUSR1) for phase in _AT_WORK),
)

KINDS: dict[bool, tuple[Kind, ...]] = {
    False: _ONE,
    True: (*_ONE, *(Kind("rank", phase) for phase in _ANY_TIME[1:])),
}
"""Every kind of kill, by whether there are several processes."""

_RESTARTS = 0.25
"""Share of the ranks that are killed in trainings that start them again."""


@dataclass(frozen=True)
class Kill:
    """A kill that is planned.

    Attributes:
        kind: what is killed, how and in which phase.
        after_times: how often the training enters the phase before.
        share: when within the phase, 0 (its beginning) to 1 (its end, as far as that is known).
        choice: which of several possible victims, 0 to 1.
        auto: whether the training is started with ``--auto-resume``, and not with ``--resume``.
        restarts: whether it starts its processes again by itself (``--max-restarts``).
    """

    kind: Kind
    after_times: int
    share: float
    choice: float
    auto: bool
    restarts: bool


def draw_kills(seed: int, processes: int) -> Iterator[Kill]:
    """Yield kills without end: every kind equally often, in random order, at random moments.

    Args:
        seed: the same seed draws the same kills.
        processes: number of processes of the training.
    """
    draw = random.Random(f"{seed} {processes}")
    kinds = list(KINDS[processes > 1])
    while True:
        draw.shuffle(kinds)
        for kind in kinds:
            once = kind.phase in ("start-up", "resuming")
            after_times = 0 if once else draw.randrange(3)
            yield Kill(
                kind,
                after_times,
                share=draw.random(),
                choice=draw.random(),
                auto=draw.random() < 0.5,
                restarts=kind.victim == "rank" and draw.random() < _RESTARTS,
            )
