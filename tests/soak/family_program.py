"""A program with the processes of a training: it starts others, which fork workers, and waits."""

from __future__ import annotations

import multiprocessing
import sys
import time
from multiprocessing.resource_tracker import ensure_running
from pathlib import Path


def work(folder: Path, name: str) -> None:
    (folder / name).touch()
    time.sleep(600)


def train(folder: Path, name: str) -> None:
    context = multiprocessing.get_context("fork")
    context.Process(target=work, args=(folder, f"{name}-worker"), daemon=True).start()
    work(folder, name)


if __name__ == "__main__":
    ensure_running()
    spawn = multiprocessing.get_context("spawn")
    ranks = [spawn.Process(target=train, args=(Path(sys.argv[1]), str(rank))) for rank in range(2)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
