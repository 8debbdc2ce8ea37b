"""Which process is to blame, decided from what the processes tell of themselves."""

from __future__ import annotations

import pytest
from torch.distributed import DistNetworkError

from easnn.engine.watch import Sighting, SignOfLife, is_lost_connection, verdict


def sign(rank, collectives, place="epoch 2, step 7"):
    return SignOfLife(rank, f"host{rank}", 100 + rank, place, collectives)


HERE = sign(0, 50)

HANGS = (
    "Process 2 (pid 102 on host2) hangs: the others have waited for it for more than 60 s. It is "
    "in epoch 2, step 7. See what it does (`py-spy dump --pid 102`) and whether its disks answer; "
    "`--timeout` sets the limit."
)
LOST = (
    "Process 2 (pid 102 on host2) was lost: it has given no sign of life for more than 60 s. It "
    "was last seen in epoch 2, step 7. Check its last message, its machine, its memory and the "
    "network."
)
ALL = (
    "All processes have waited for one another for more than 60 s, in epoch 2, step 7. Check the "
    "network between them; `--timeout` sets the limit."
)


@pytest.mark.parametrize(
    ("waited_s", "others", "message"),
    [
        (59, [(1, 50, 0.5), (2, 40, 0.5)], None),
        (61, [(1, 50, 0.5), (2, 49, 0.5)], HANGS),
        # The one that is furthest behind keeps the others waiting.
        (61, [(1, 49, 0.5), (2, 40, 0.5)], HANGS),
        (61, [(1, 50, 0.5), (2, 50, 0.5)], ALL),
        # Silence says that it is lost, even if nobody waits, but only after a while.
        (0, [(1, 50, 0.5), (2, 50, 61)], LOST),
        (61, [(1, 50, 0.5), (2, 40, 61)], LOST),
        (61, [(1, 50, 0.5), (2, 40, 59)], None),
    ],
)
def test_who_is_to_blame(waited_s, others, message):
    sightings = [Sighting(sign(rank, count), silent_s) for rank, count, silent_s in others]
    assert verdict(HERE, waited_s, sightings, timeout_s=60) == message


@pytest.mark.parametrize(
    ("error", "lost"),
    [
        (DistNetworkError("no route"), True),
        (RuntimeError("[gloo/transport/tcp/pair.cc:547] Connection closed by peer [::1]:3"), True),
        (RuntimeError("shape '[2, 3]' is invalid for input of size 5"), False),
    ],
)
def test_lost_connections_are_told_from_faults_of_the_program(error, lost):
    assert is_lost_connection(error) == lost
